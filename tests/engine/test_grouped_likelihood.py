"""One grouping factor: gradients against differences; quadrature in chunks."""

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.grouped_likelihood import GroupedLikelihood
from mixedlab.engine.terms import RandomTerm
from tests.engine.generalized_samples import FAMILIES, N, gradient_error, sample


@pytest.mark.parametrize(("name", "link"), FAMILIES)
@pytest.mark.parametrize(("q", "nagq"), [(1, 1), (1, 5), (2, 1), (2, 3), (3, 3)])
def test_gradient_with_one_factor(name, link, q, nagq):
    fam, y, X, w, g, rng = sample(name, link)
    Z = np.column_stack([X, X[:, 1] * rng.normal(size=N)])[:, :q]
    term = RandomTerm.from_arrays(g, Z)
    likelihood = GroupedLikelihood(fam, y, X, [term], w, np.zeros(N), nagq)
    theta = 0.3 * rng.normal(size=q * (q + 1) // 2) + 0.3
    beta = np.array([1.5, 0.1]) if link == "inverse" else np.array([0.3, 0.2])
    assert gradient_error(likelihood, theta, beta) < 1e-5


def test_node_and_row_chunks_do_not_change_the_sum(monkeypatch):
    fam, y, X, w, g, _ = sample("poisson", "log")
    arguments = (fam, y, X, [RandomTerm.from_arrays(g, X)], w, np.zeros(N), 7)
    point = (np.array([0.5, 0.1, 0.3]), np.array([0.3, 0.2]))
    whole = GroupedLikelihood(*arguments)(*point)
    monkeypatch.setattr("mixedlab.engine.grouped_likelihood._CELLS", 20)
    pieces = GroupedLikelihood(*arguments)(*point)
    assert pieces.loglik == pytest.approx(whole.loglik, abs=1e-10)
    np.testing.assert_allclose(pieces.d_theta, whole.d_theta, rtol=1e-8)


def test_quadrature_memory_stays_bounded():
    import tracemalloc

    fam, J, m = family("binomial"), 500, 40
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(J), m), rng.normal(size=J * m)
    X = np.column_stack([np.ones(J * m), x])
    y = rng.integers(0, 2, J * m).astype(float)
    term = [RandomTerm.from_arrays(g, np.column_stack([X, x**2]))]
    likelihood = GroupedLikelihood(fam, y, X, term, 1.0, np.zeros(J * m), 7)
    tracemalloc.start()
    likelihood(np.array([0.5, 0, 0, 0.5, 0, 0.5]), np.zeros(2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # 343 nodes x 20 000 rows at once would be 55 MB for one array alone
