"""Coordinates of T."""

import numpy as np

from mixedlab.engine.frames import framed, lower_factor


def test_lower_factor_keeps_the_covariance():
    half = np.random.default_rng(0).normal(size=(3, 3))
    L = lower_factor(half)
    np.testing.assert_allclose(L @ L.T, half @ half.T)
    assert (np.triu(L, 1) == 0).all()
    assert (np.diag(L) >= 0).all()


def test_a_frame_is_of_eigenvectors_largest_first():
    half = np.random.default_rng(1).normal(size=(3, 3))
    F, L = framed(half)
    np.testing.assert_allclose(F @ L @ L.T @ F.T, half @ half.T)
    np.testing.assert_allclose(F.T @ F, np.eye(3), atol=1e-12)
    sd = np.diag(L)
    assert (np.diff(sd) <= 0).all()
    again, same = framed(L, F)
    np.testing.assert_allclose(again @ same @ same.T @ again.T, half @ half.T)
