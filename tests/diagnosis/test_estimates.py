"""What is unusual is named in words; what is ordinary raises no alarm."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataWarning
from mixedlab.models.linear import fit_linear
from tests.diagnosis.tables import ordinary


def kinds(fit):
    return [f.kind for f in ml.diagnose(fit)]


def groups(J=12, n=8, seed=0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    x = rng.normal(size=J * n)
    return pd.DataFrame({"g": g, "x": x, "y": x + rng.normal(size=J)[g] + rng.normal(size=J * n)})


def test_nothing_to_say_of_an_ordinary_fit():
    found = ml.diagnose(ordinary(0))
    assert not found
    assert len(found) == 0
    assert "Nothing found by the" in str(found)
    assert "Nothing found by the" in found._repr_html_()


def test_a_variance_of_zero():
    found = ml.diagnose(ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2")))
    (finding,) = found
    assert finding.kind == "singular"
    assert finding.about == "Batch"
    assert "sd of (Intercept) over 'Batch' is estimated as zero" in finding.text
    assert "not a failure" in str(found)


def one_direction(J, n, columns, seed):
    """Groups whose intercept and slopes are one and the same number."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    table = pd.DataFrame(rng.normal(size=(J * n, len(columns))), columns=list(columns))
    table["y"] = rng.normal(size=J)[g] * (1 + table.sum(axis=1)) + rng.normal(size=J * n)
    return table.assign(g=g)


def test_a_correlation_of_one():
    fit = ml.lmm("y ~ x + (x | g)", one_direction(12, 8, "x", seed=1))
    assert fit.singular
    (finding,) = ml.diagnose(fit)
    assert finding.kind == "singular"
    assert "correlation of 1" in finding.text
    assert "(1 + x || g)" in finding.remedy


def test_a_combination_that_does_not_vary():
    fit = ml.lmm("y ~ x + z + (x + z | g)", one_direction(15, 10, "xz", seed=0))
    (finding,) = ml.diagnose(fit)
    assert "move in fewer than 3 directions" in finding.text


def test_aliased_columns_are_recalled():
    table = groups().assign(twice=lambda d: 2 * d.x)
    with pytest.warns(DataWarning):
        fit = ml.lmm("y ~ x + twice + (1 | g)", table)
    (finding,) = ml.diagnose(fit)
    assert (finding.kind, finding.about) == ("unidentified", "twice")


def terms_of(table, *columns):
    """Random terms over g, from names of columns; "1" is the intercept."""
    known = table.assign(**{"1": 1.0})
    return [
        RandomTerm.from_arrays(table.g, known[list(names)].to_numpy(float), names=names)
        for names in columns
    ]


def test_a_column_varying_twice_over_the_same_groups():
    table = groups()
    X = np.column_stack([np.ones(len(table)), table.x])
    fit = fit_linear(table.y, X, terms_of(table, ("1",), ("1", "x")))
    findings = [f for f in ml.diagnose(fit) if f.kind == "unidentified"]
    assert len(findings) == 1
    assert "let 1 vary over the same groups" in findings[0].text


def test_every_finding_is_told():
    """Two columns that vary twice and one far from zero: three things to know, at the least."""
    table = groups(J=20).assign(stamp=lambda d: 1.7e9 + 60 * np.cos(np.arange(len(d))))
    X = np.column_stack([np.ones(len(table)), table.x, table.stamp])
    terms = terms_of(table, ("1", "x"), ("x",), ("1",))
    fit = fit_linear(table.y, X, terms, names=["1", "x", "stamp"])
    findings = list(ml.diagnose(fit))
    assert "stamp" in [f.about for f in findings]
    shared = [f.text for f in findings if "same groups" in f.text]
    assert "let x vary" in shared[0]
    assert "let 1 vary" in shared[1]


def test_all_columns_that_vary_twice_are_named():
    table = groups(J=20)
    term = ml.lmm("y ~ x + (x | g)", table).terms[0]
    fit = fit_linear(table.y, np.column_stack([np.ones(len(table)), table.x]), [term, term])
    told = [f.text for f in ml.diagnose(fit) if "same groups" in f.text]
    assert len(told) == 1
    assert "let (Intercept), x vary" in told[0]


def test_a_dispersion_at_its_limit():
    table = groups(J=20).assign(n=lambda d: 5 + (d.x > 0))  # less spread than a Poisson has
    fit = ml.glmm("n ~ x + (1 | g)", table, family="negative_binomial")
    assert "no variation beyond that of the plain family" in str(ml.diagnose(fit))


def test_a_coefficient_without_a_standard_error_is_named():
    fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    lost = fit.vcov_beta.copy()
    lost[1, :] = lost[:, 1] = np.nan
    (finding,) = ml.diagnose(replace(fit, vcov_beta=lost))
    assert (finding.kind, finding.about) == ("unidentified", fit.names[1])


def test_two_names_for_the_same_groups():
    table = groups().assign(h=lambda d: d.g.map(lambda k: f"group {k}"))
    fit = ml.lmm("y ~ x + (1 | g) + (1 | h)", table)
    assert "unidentified" in kinds(fit)


def test_a_column_far_from_zero():
    table = groups().assign(stamp=lambda d: 1.7e9 + 60 * d.x)
    fit = ml.lmm("y ~ stamp + (1 | g)", table)
    (finding,) = ml.diagnose(fit)
    assert (finding.kind, finding.about) == ("badly scaled", "stamp")
    assert "center(stamp)" in finding.remedy


def test_units_alone_are_no_finding():
    table = groups().assign(x=lambda d: d.x * 1e-6, y=lambda d: d.y * 1e6)
    assert not ml.diagnose(ml.lmm("y ~ x + (1 | g)", table))


def test_generalised_fits():
    table = ml.load("cbpp")
    fit = ml.glmm("incidence / size ~ period + (1 | herd)", table, weights="size")
    assert not ml.diagnose(fit)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    ("data", "formula"),
    [
        ("dyestuff", "Yield ~ 1 + (1 | Batch)"),
        ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ("pastes", "strength ~ 1 + (1 | batch/cask)"),
        ("machines", "score ~ Machine + (0 + Machine | Worker)"),
        ("orthodont", "distance ~ age * Sex + (age | Subject)"),
        ("rail", "travel ~ 1 + (1 | Rail)"),
    ],
)
def test_no_false_alarm_on_classic_data(data, formula, reml):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = ml.lmm(formula, ml.load(data), reml=reml)
        assert not ml.diagnose(fit)


@pytest.mark.parametrize("seed", range(8))
def test_a_correlation_of_one_is_never_passed_over(seed):
    """Slopes and intercepts that move together, with a year so far from zero that digits go."""
    rng = np.random.default_rng(seed)
    g, year = np.repeat(np.arange(24), 10), 2000 + np.tile(np.arange(10), 24)
    y = rng.normal(size=24)[g] * (1 + 0.5 * (year - 2004)) + rng.normal(size=240)
    fit = ml.lmm("y ~ year + (year | g)", pd.DataFrame({"g": g, "year": year, "y": y}))
    assert abs(fit.varcorr["sdcor"].iloc[2]) > 0.999
    assert {"singular", "badly scaled"} & set(kinds(fit))
