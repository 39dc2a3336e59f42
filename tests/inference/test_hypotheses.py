import numpy as np
import pytest

import mixedlab as ml
from mixedlab.inference.hypotheses import hypotheses


@pytest.fixture(scope="module")
def fit():
    return ml.lmm("distance ~ age * Sex + (1 | Subject)", ml.load("orthodont"))


def test_type_iii_averages_equally_over_levels(fit):
    L = hypotheses(fit, 3, by_information=False)
    assert list(L) == ["age", "Sex", "age:Sex"]
    age = L["age"][0] / L["age"][0, 1 + list(fit.names).index("age") - 1]
    at = dict(zip(fit.names, age, strict=True))
    (slope,) = (name for name in fit.names if "age:" in name or ":age" in name)
    assert at["age"] == pytest.approx(1.0)
    assert at[slope] == pytest.approx(0.5)
    assert np.count_nonzero(np.abs(age) > 1e-9) == 2


def test_type_i_is_orthogonal_in_the_metric_of_the_data(fit):
    L = np.vstack(list(hypotheses(fit, 1, by_information=False).values()))
    inner = L @ np.linalg.inv(fit.X.T @ fit.X) @ L.T
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0.0, atol=1e-8 * inner.max())


def test_sequential_chi_squared_adds_up_to_that_of_all_terms(fit):
    L = hypotheses(fit, 1, by_information=True)
    parts = [(l @ fit.beta) ** 2 / (l @ fit.vcov_beta @ l) for (l,) in L.values()]
    V, beta = fit.vcov_beta[1:, 1:], fit.beta[1:]
    assert sum(parts) == pytest.approx(beta @ np.linalg.solve(V, beta))
