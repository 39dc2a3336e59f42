import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.one_way import reml_criterion, reml_icc
from mixedlab.models.linear import fit_linear


def groups(seed, sd, sizes=(2, 5, 9, 4, 7, 3, 12, 6)):
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(len(sizes)), sizes)
    y = 3 + sd * rng.standard_normal(len(sizes))[index] + rng.standard_normal(index.size)
    mean = np.bincount(index, y) / sizes
    return index, y, np.array(sizes), mean, float(((y - mean[index]) ** 2).sum())


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_solver_s_estimate(seed):
    index, y, size, mean, within = groups(seed, 1.0)
    fit = fit_linear(y, np.ones((y.size, 1)), [RandomTerm.from_arrays(index)])
    ratio = fit.theta[0] ** 2
    assert reml_icc(size, mean, within) == pytest.approx(ratio / (1 + ratio), abs=2e-4)


def test_the_criterion_is_the_solver_s_but_for_a_constant():
    index, y, size, mean, within = groups(1, 1.0)
    fit = fit_linear(y, np.ones((y.size, 1)), [RandomTerm.from_arrays(index)])
    ratio = fit.theta[0] ** 2
    icc = np.array([ratio / (1 + ratio), 0.0])
    at = reml_criterion(icc, size, mean, within)
    n = y.size
    constant = (n - 1) * (1 + np.log(2 * np.pi / (n - 1)))
    assert at[0] + constant == pytest.approx(fit.criterion, abs=1e-6)
    assert at[1] > at[0]


def test_no_difference_between_groups_is_an_icc_of_zero():
    size, within = groups(0, 0.0)[2::2]
    assert reml_icc(size, np.full(size.size, 3.0), within) == 0.0
