"""The methods against one another."""

import pytest

import mixedlab as ml
from tests.models.hglm.cases import BY_H, SEMI


def test_normal_normal_with_its_own_standard_errors_agrees_with_quadrature():
    table = ml.load("sleepstudy")
    formula = "Reaction ~ Days + (1 | Subject)"
    closed, numeric = (ml.hglm(formula, table, method=m) for m in ("exact", "quadrature"))
    assert closed.loglik == pytest.approx(numeric.loglik, abs=1e-7)
    assert closed.se.to_numpy() == pytest.approx(numeric.se.to_numpy(), rel=1e-5)
    assert closed.dispersion_coefs["se"].to_numpy() == pytest.approx(
        numeric.dispersion_coefs["se"].to_numpy(), rel=1e-4
    )


@pytest.mark.parametrize(
    ("name", "family", "effects"),
    [("epil-poisson-gamma", "poisson", "gamma"), ("seeds-binomial-normal", "binomial", "gaussian")],
)
def test_quadrature_and_exact_agree(name, family, effects):
    formula, table, _ = BY_H[name]
    fits = [
        ml.hglm(formula, table(), family=family, random_family=effects, method=m)
        for m in ("exact", "quadrature")
    ]
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-7)
    assert fits[0].beta == pytest.approx(fits[1].beta, abs=1e-6)
    assert fits[0].ranef_sd[fits[0].terms[0].group].to_numpy() == pytest.approx(
        fits[1].ranef_sd[fits[0].terms[0].group].to_numpy(), rel=1e-4
    )


def test_exact_with_a_dispersion_model_beats_the_constant_one():
    table = ml.load("semiconductor")
    options = {"family": "gamma", "random_family": "inverse_gamma"}
    constant, modelled = (
        ml.hglm(SEMI, table, dispersion=d, **options) for d in (None, "~ x2 + x3")
    )
    by_quadrature = ml.hglm(SEMI, table, dispersion="~ x2 + x3", method="quadrature", **options)
    assert modelled.loglik > constant.loglik + 3
    assert modelled.loglik == pytest.approx(by_quadrature.loglik, abs=1e-7)
    assert modelled.n_params == constant.n_params + 2
    assert list(modelled.dispersion_coefs.loc["phi"].index) == ["(Intercept)", "x2", "x3"]
