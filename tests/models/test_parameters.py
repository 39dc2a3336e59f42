"""Named parameters of random terms and their covariance by the delta method."""

import numpy as np
import pytest

from mixedlab.inference.values import Parameter
from mixedlab.models.parameters import joint_covariance, sd_or_correlation
from tests import models_cache

COV = np.array([[4.0, 3.0], [3.0, 9.0]])


def test_standard_deviations_and_correlations():
    assert sd_or_correlation(COV, 1, 1) == 3.0
    assert sd_or_correlation(COV, 0, 1) == pytest.approx(0.5)
    assert np.isnan(sd_or_correlation(np.diag([1.0, 0.0]), 0, 1))


def test_names_say_coefficient_and_group():
    names = [p.name for p in models_cache.fit("slopes").named_parameters]
    assert names == [
        "sd (Intercept) | Subject",
        "cor (Intercept), Days | Subject",
        "sd Days | Subject",
        "sigma",
        "(Intercept)",
        "Days",
    ]


def test_a_zero_variance_is_at_its_boundary():
    (sd, sigma, _) = models_cache.fit("singular").named_parameters
    assert sd.at_boundary
    assert not sigma.at_boundary


def state(at):
    """Two entries of a covariance, log dispersion, one coefficient."""
    return [np.diag(at[:2] ** 2)], at[2], at[3:]


PARAMETERS = [
    Parameter("sd", "sd a", 2.0, "log", 0, 0, 0),
    Parameter("sd", "sd b", 3.0, "log", 0, 1, 1),
    Parameter("sigma", "sigma", 1.0, "log"),
    Parameter("beta", "x", 5.0),
]
AT = np.array([2.0, 3.0, 0.0, 5.0])


def test_delta_method_on_the_log_scale():
    covariance = np.diag([0.04, 0.09, 0.16, 0.25])
    covariance[0, 3] = covariance[3, 0] = 0.01
    found = joint_covariance(PARAMETERS, state, AT, covariance)
    np.testing.assert_allclose(np.diag(found), [0.01, 0.01, 0.04, 0.25], rtol=1e-8)
    assert found[0, 3] == pytest.approx(0.005)


def test_what_is_unknown_stays_unknown_and_spoils_nothing_else():
    covariance = np.diag([0.04, np.nan, 0.16, 0.25])
    found = joint_covariance(PARAMETERS, state, AT, covariance)
    assert np.isnan(found[1]).all()
    rest = np.delete(np.delete(found, 1, 0), 1, 1)
    np.testing.assert_allclose(np.diag(rest), [0.01, 0.04, 0.25], rtol=1e-8)
