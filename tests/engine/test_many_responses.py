"""Groups that are alike stand once; a group's log density by one logarithm."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.many_responses import Groups, merge_groups, responses


def test_merged_groups_are_the_groups_with_their_numbers():
    rng = np.random.default_rng(0)
    J, per, m = 60, 4, 7
    design = np.tile(rng.normal(size=(per, 2)), (J, 1))
    y = rng.integers(0, 2, (J * per, m)).astype(float)
    merged = merge_groups(y, design, Groups(np.full(J, per)))
    K = len(merged.counts)
    assert 2**per >= K
    np.testing.assert_array_equal(merged.counts.sum(0), J)
    for k in range(m):
        patterns, counts = np.unique(y[:, k].reshape(J, per), axis=0, return_counts=True)
        found = merged.y[:, k].reshape(K, per)[merged.counts[:, k] > 0]
        order = np.lexsort(found.T[::-1])
        np.testing.assert_array_equal(found[order], patterns)
        np.testing.assert_array_equal(merged.counts[merged.counts[:, k] > 0, k][order], counts)


def test_groups_are_merged_only_where_designs_agree_and_it_saves():
    rng = np.random.default_rng(0)
    groups = Groups(np.full(60, 4))
    y = rng.integers(0, 2, (240, 3)).astype(float)
    assert merge_groups(y, np.ones((240, 1)), groups) is not None
    assert merge_groups(y, rng.normal(size=(240, 1)), groups) is None
    assert merge_groups(rng.normal(size=(240, 3)), np.ones((240, 1)), groups) is None
    assert merge_groups(y, np.ones((240, 1)), Groups(np.array([3, 5] * 30))) is None


@pytest.mark.parametrize(
    ("name", "link", "trials"),
    [
        ("binomial", "logit", False),
        ("binomial", "logit", True),
        ("binomial", "probit", False),
        ("binomial", "probit", True),
        ("poisson", "log", False),
    ],
)
@pytest.mark.parametrize("reach", [1.0, 30.0])
def test_densities_and_derivatives_are_the_families(name, link, trials, reach):
    rng = np.random.default_rng(3)
    made, groups = family(name, link), Groups(np.array([5, 3, 4]))
    w = rng.integers(2, 6, (12, 1)).astype(float) if trials else 1.0
    y = rng.integers(0, 2, (12, 4)).astype(float)
    if trials:
        y = np.round(rng.uniform(size=(12, 4)) * w) / w
    # A probit beyond -30 is 1e-197; of a count beyond exp(30) nothing is left but its mean.
    eta = reach * rng.uniform(-1, 0.2, (12, 4))
    model = responses(made, y, w)
    value, score = model.value_and_score(eta, groups)
    total = value.sum(0) + model.constant()
    np.testing.assert_allclose(total, made.loglik(y, eta, w).sum(0), rtol=1e-11)
    for mine, theirs in zip(model.derivatives(eta), made.derivatives(y, eta, w), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(score, made.derivatives(y, eta, w)[0], rtol=1e-8, atol=1e-12)


def test_a_product_too_long_for_a_double_is_not_taken():
    groups = Groups(np.array([4000]))
    y, eta = np.zeros((4000, 1)), np.full((4000, 1), -3.0)
    y[::2] = 1.0
    value, _ = responses(family("binomial"), y, 1.0).value_and_score(eta, groups)
    assert value[0, 0] == pytest.approx(family("binomial").loglik(y, eta).sum(), rel=1e-12)
