import numpy as np
import pytest
from scipy import stats

from mixedlab.structures.kinship.tails import log10_chi2_1, log10_t_two_sided


@pytest.mark.parametrize("df", [1.0, 3.0, 498.0, 1e5])
def test_ordinary_t_values_are_scipys(df):
    t = np.array([0.0, 0.1, 1.0, 2.5, 6.0, -6.0])
    expected = np.log10(2 * stats.t.sf(np.abs(t), df))
    np.testing.assert_allclose(log10_t_two_sided(t, df), expected, rtol=1e-11, atol=1e-14)


def test_two_degrees_of_freedom_have_a_closed_form_however_far_out():
    t = 10.0 ** np.array([0, 10, 100, 139, 141, 153])
    # P(|T| > t) = 1 - t / sqrt(t^2 + 2), written without cancellation.
    root = np.hypot(t, np.sqrt(2.0))
    expected = np.log10(2.0) - np.log10(root) - np.log10(root + t)
    np.testing.assert_allclose(log10_t_two_sided(t, 2.0), expected, rtol=1e-12)


def test_series_and_incomplete_beta_agree_on_both_sides_of_the_switch():
    # 4 degrees of freedom: P(|T| > t) = 1 - 3/2 s + 1/2 s^3 with s = t / sqrt(t^2 + 4),
    # which is (1 - s)^2 (2 + s) / 2, and 1 - s = 4 / (root (root + t)).
    t = 10.0 ** np.array([69.0, 69.9, 70.2, 75.0])
    root = np.hypot(t, 2.0)
    expected = 2 * (np.log10(4.0) - np.log10(root) - np.log10(root + t)) + np.log10(1.5)
    np.testing.assert_allclose(log10_t_two_sided(t, 4.0), expected, rtol=1e-12)


def test_p_of_1e_minus_300_with_many_degrees_of_freedom():
    t = np.linspace(40, 80, 400)
    log_p = log10_t_two_sided(t, 1398.0)
    assert log_p[0] > -250
    assert log_p[-1] < -300
    assert log10_t_two_sided(80.0, 1398.0) == log_p[-1]
    # No jump where the method changes: the second differences stay small and of one sign.
    bends = np.diff(log_p, 2)
    assert np.ptp(bends) < 1e-3 * np.abs(np.diff(log_p)).max()


def test_chi_squared():
    x = np.array([0.0, 0.5, 3.84, 40.0])
    np.testing.assert_allclose(10 ** log10_chi2_1(x), stats.chi2.sf(x, 1), rtol=1e-12)
    # Leading terms of the tail: p = sqrt(2 / (pi x)) exp(-x/2) (1 - 1/x + 3/x^2 - ...).
    x = 5000.0
    expected = (0.5 * np.log(2 / (np.pi * x)) - x / 2 + np.log1p(-1 / x + 3 / x**2)) / np.log(10)
    assert log10_chi2_1(x) == pytest.approx(expected, rel=1e-12)
