"""ml.hglm on input that it must refuse, and on data that hardly have an answer."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError
from tests.models.hglm.cases import hard_case


def test_one_zero_or_one_a_group_is_refused():
    table = pd.DataFrame({"y": [0, 1, 1, 0, 1, 0], "g": range(6)})
    with pytest.raises(DataError, match="one response of 0 or 1"):
        ml.hglm("y ~ 1 + (1 | g)", table, family="binomial", random_family="beta")


@pytest.mark.parametrize("method", ["exact", "h-likelihood"])
def test_separation_is_said(method):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"g": np.repeat(np.arange(30), 6), "x": rng.normal(size=180)})
    table["y"] = (table["x"] > 0).astype(int)
    with pytest.raises(DataError, match=r"Separation.*'x'.*ml\.glmm"):
        ml.hglm("y ~ x + (1 | g)", table, family="binomial", method=method)


@pytest.mark.parametrize(
    "name",
    ["groups of zeros", "counts of a million", "offsets over six decades", "groups all 0 or all 1",
     "rare events", "tiny responses", "inverse link", "normal with a log link", "probit"],
)  # fmt: skip
def test_hard_cases_converge_to_the_top(name):
    table, formula, options = hard_case(name)
    exact, by_h = (ml.hglm(formula, table, method=m, **options) for m in ("exact", "h-likelihood"))
    assert exact.converged
    assert by_h.converged
    assert np.all(np.isfinite(exact.se))
    # quadrature at the other method's estimates is no higher
    assert exact.both.loc["loglik", "apart"] < 1e-6


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize(
    ("kind", "effects", "link"),
    [("gaussian", "gaussian", "log"), ("gamma", "gaussian", "inverse")],
)
def test_units_of_the_response_do_not_matter(kind, effects, link, factor):
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), 6)
    table = pd.DataFrame({"g": g, "y": rng.gamma(4, 0.25, 30)[g] * rng.gamma(9, 1 / 9, 180)})
    scaled = table.assign(y=table["y"] * factor)
    options = {"family": kind, "random_family": effects, "link": link}
    for method in ("exact", "h-likelihood"):
        plain, moved = (
            ml.hglm("y ~ 1 + (1 | g)", t, method=method, **options) for t in (table, scaled)
        )
        assert moved.converged
        assert moved.loglik == pytest.approx(plain.loglik - 180 * np.log(factor), abs=1e-4)
        unit = 1.0 if link == "log" else factor**-2
        assert moved.dispersion_random["g"] / unit == pytest.approx(
            plain.dispersion_random["g"], rel=1e-3
        )
