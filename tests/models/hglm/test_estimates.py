"""One record for what any method has estimated."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.models.hglm.estimates import phi_of, predictor
from tests.models.hglm.cases import BY_H


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
