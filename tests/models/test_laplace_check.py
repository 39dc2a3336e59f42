"""Laplace is compared with quadrature where that can be done, and not where it cannot."""

import numpy as np
import pytest

from mixedlab.models.laplace_check import laplace_error
from tests import models_cache


def error(name):
    fit = models_cache.fit(name)
    return laplace_error(fit.problem, fit.parameters, fit.vcov_parameters, fit.evaluation)


def test_the_error_is_what_quadrature_moves_the_estimates_by():
    import mixedlab as ml

    fit = models_cache.fit("binomial")
    finer = ml.glmm(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", ml.load("cbpp"), nagq=7
    )
    moved = (finer.parameters - fit.parameters) / np.sqrt(np.diag(fit.vcov_parameters))
    np.testing.assert_allclose(error("binomial"), moved, atol=0.02)


@pytest.mark.parametrize("name", ["quadrature", "poisson crossed"])
def test_where_there_is_nothing_to_compare(name):
    assert error(name) is None
