"""What does not fit together is refused in words; the parts of an estimate agree."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.models.hglm.data import phi_of, predictor
from tests.models.hglm.cases import BY_H, pump, simulated


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "negative_binomial"}, "poisson' with gamma"),
        ({"random_family": "cauchy"}, "no family of random effects"),
        ({"random_family": "beta"}, "family='binomial'"),
        ({"random_family": ["gamma", "gamma"]}, "2 families for 1"),
        ({"random_family": {"pumps": "gamma"}}, "grouping factors are pump"),
        ({"link": "identity"}, "needs link='log'"),
        ({"link": "identity", "random_family": "inverse_gamma"}, "needs link='log'"),
        ({"link": "inverse", "random_family": "inverse_gamma"}, "go with family='gamma'"),
        ({"link": "loglog"}, "no link"),
        ({"method": "laplace"}, "exact, h-likelihood, quadrature"),
        ({"dispersion": "group"}, "write it as '~ x'"),
        ({"formula": "failures ~ 1 + (log_time | pump)"}, "correlated"),
        ({"formula": "failures ~ 1 + (0 + log_time | pump)"}, r"\(1 \| pump\)"),
        ({"formula": "failures ~ 1"}, "no random term"),
        ({"formula": "failures ~ tiem + (1 | pump)"}, "time"),
        ({"formula": "time ~ 1 + (1 | pump)"}, "counts"),
    ],
)  # fmt: skip
def test_bad_input(changes, words):
    formula = changes.get("formula", "failures ~ 1 + (1 | pump)")
    options = {"family": "poisson", "random_family": "gamma"} | {
        k: v for k, v in changes.items() if k != "formula"
    }
    with pytest.raises(ValueError, match=words):
        ml.hglm(formula, pump(), **options)


def test_random_dispersion_must_be_constant_in_groups():
    table = simulated("poisson", "gamma", 0.3, J=20)
    with pytest.raises(DataError, match="varies within levels of 'g'"):
        ml.hglm("y ~ 1 + (1 | g)", table, family="poisson", random_family="gamma",
                method="h-likelihood", random_dispersion="~ x")  # fmt: skip


def test_several_terms_of_different_families():
    table = ml.load("salamander_mating")
    formula = "Mate ~ TypeF * TypeM + (1 | Female) + (1 | Male)"
    options = {"family": "binomial", "method": "h-likelihood"}
    named = ml.hglm(formula, table, random_family={"Female": "gaussian", "Male": "beta"}, **options)
    listed = ml.hglm(formula, table, random_family=["gaussian", "beta"], **options)
    assert named.beta == pytest.approx(listed.beta)
    assert named.random_families == {"Female": "gaussian", "Male": "beta"}
    turned = ml.hglm(
        "Mate ~ TypeF * TypeM + (1 | Male) + (1 | Female)", table,
        random_family=["beta", "gaussian"], **options,
    )  # fmt: skip
    assert turned.beta == pytest.approx(named.beta, abs=1e-6)
    assert turned.dispersion_random["Male"] == pytest.approx(named.dispersion_random["Male"])
    with pytest.raises(MixedlabError, match="one group at a time"):
        ml.hglm(formula, table, family="binomial", random_family="beta")


@pytest.mark.parametrize("name", ["semiconductor-gamma-normal", "pump-poisson-gamma"])
@pytest.mark.parametrize("method", ["exact", "h-likelihood"])
def test_parts_agree(name, method):
    formula, table, options = BY_H[name]
    fit = ml.hglm(formula, table(), method=method, **options)
    made, data = fit.estimates, fit.data
    assert made.phi == pytest.approx(phi_of(data, made.gamma))
    assert predictor(data, made.beta, made.b) == pytest.approx(fit.linear_predictor)
    assert made.u[0] == pytest.approx(data.random[0].u(made.b[0]))
    assert made.u_sd[0] == pytest.approx(np.abs(data.random[0].slope(made.b[0])) * made.b_sd[0])
    assert made.vcov.shape == (made.beta.size + made.n_phi + 1,) * 2
    assert made.vcov_beta == pytest.approx(fit.vcov.to_numpy())
    assert fit.dispersion_coefs["se"].to_numpy() == pytest.approx(made.dispersion_se)
    assert np.exp(made.log_lambda[0]) == pytest.approx(made.lam[0][:1])
