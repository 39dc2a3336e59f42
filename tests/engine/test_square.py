"""The dense block against matrices written out."""

import numpy as np
import pytest

from mixedlab.engine.square import Square


@pytest.mark.parametrize("singular", [False, True])
def test_factor_inverse_and_slope(singular):
    rng = np.random.default_rng(0)
    square = Square(np.arange(7), slice(0, 49), {1: [slice(0, 3), slice(3, 6)], 2: [slice(6, 7)]})
    half = rng.normal(size=(7, 9))
    G = half @ half.T
    lambdas = [None, np.array([[0.8, 0.0], [0.3, 0.0 if singular else 0.5]]), np.array([[1.3]])]
    whole = np.zeros((7, 7))
    for j in range(3):
        whole[np.ix_([j, 3 + j], [j, 3 + j])] = lambdas[1]
    whole[6, 6] = 1.3
    done = square.factor_at(np.tril(G).ravel(), lambdas)
    K = np.eye(7) + whole.T @ G @ whole
    assert done.logdet == pytest.approx(np.linalg.slogdet(K)[1])
    C = whole @ np.linalg.inv(K) @ whole.T
    found, slopes = np.zeros(49), {1: np.zeros((2, 2)), 2: np.zeros((1, 1))}
    done.fill_inverse(found, slopes)
    np.testing.assert_allclose(found.reshape(7, 7), C, atol=1e-12)
    s = rng.normal(size=(2, 7))
    np.testing.assert_allclose(done.covariance_times(s), s @ C, atol=1e-12)
    S = G - G @ C @ G
    slope = sum(S[np.ix_([j, 3 + j], [j, 3 + j])] for j in range(3))
    np.testing.assert_allclose(slopes[1], slope, atol=1e-9)
    assert slopes[2] == pytest.approx(S[6, 6])


def test_what_is_not_positive_definite_is_refused():
    square = Square(np.arange(2), slice(0, 4), {1: [slice(0, 2)]})
    with pytest.raises(np.linalg.LinAlgError):
        square.factor_at(np.array([-3.0, 0.0, 0.0, 1.0]), [None, np.eye(1)])
