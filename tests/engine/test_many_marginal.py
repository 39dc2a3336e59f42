"""Many marginal models at once are those one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.many_marginal import many_marginal
from mixedlab.errors import DataError
from mixedlab.models.gee.model import fit_marginal


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    ("name", "link"),
    [("binomial", "logit"), ("binomial", "probit"), ("poisson", "log"), ("gaussian", "identity")],
)
def test_fits_are_those_of_one_data_set(name, link, planned):
    rng = np.random.default_rng(4)
    made, J, m = family(name, link), 30, 5
    index = (
        np.repeat(np.arange(J), 4) if planned else np.repeat(np.arange(J), rng.integers(1, 7, J))
    )
    n = index.size
    x = np.tile(np.arange(4.0), J) if planned else rng.normal(size=n)
    X = np.column_stack([np.ones(n), x])
    eta = (X @ [0.2, -0.3])[:, None] + 0.8 * rng.normal(size=(J, m))[index]
    y = made.draw(rng, made.link.mu(eta), 1.0, 0.5)
    order = rng.permutation(n)
    many = many_marginal(y[order], X[order], index[order], family=made)
    assert many.converged.all()
    for k in range(m):
        one = fit_marginal(y[:, k], X, index, family=made)
        np.testing.assert_allclose(many.beta[k], one.beta, atol=1e-7)
        assert many.alpha[k] == pytest.approx(float(one.correlation), abs=1e-6)
        assert many.scale[k] == pytest.approx(one.scale, abs=1e-7)


def test_a_separated_response_has_no_estimate():
    rng = np.random.default_rng(5)
    index, x = np.repeat(np.arange(20), 3), rng.normal(size=60)
    y = rng.integers(0, 2, (60, 3)).astype(float)
    y[:, 1] = x > 0
    many = many_marginal(y, np.column_stack([np.ones(60), x]), index, family="binomial")
    np.testing.assert_array_equal(many.converged, [True, False, True])
    assert np.isnan(many.beta[1]).all()


def test_what_has_no_answer_is_refused():
    y, X = np.zeros((6, 2)), np.ones((6, 1))
    with pytest.raises(DataError, match="no pair"):
        many_marginal(y, X, np.arange(6))
    with pytest.raises(DataError, match="linearly dependent"):
        many_marginal(y, np.ones((6, 2)), np.repeat(np.arange(3), 2))
    with pytest.raises(DataError, match="a column of Y for each data set"):
        many_marginal(y[:5], X, np.repeat(np.arange(3), 2))
