"""Evaluations are values: any start gives the same one, and nothing is kept between them."""

import dataclasses

import numpy as np
import pytest

from mixedlab.engine.crossed_likelihood import CrossedLikelihood
from mixedlab.engine.grouped_likelihood import GroupedLikelihood
from mixedlab.engine.terms import RandomTerm
from tests.engine.generalized_samples import N, sample

THETA, BETA = np.array([0.6, 0.1, 0.3]), np.array([0.3, 0.2])


def likelihood(kind):
    fam, y, X, w, g, _ = sample("poisson", "log")
    if kind == "crossed":
        terms = [RandomTerm.from_arrays(g, X, group="a")]
        return CrossedLikelihood(fam, y, X, [*terms, other()], w, np.zeros(N))
    return GroupedLikelihood(fam, y, X, [RandomTerm.from_arrays(g, X)], w, np.zeros(N), int(kind))


def other():
    return RandomTerm.from_arrays(np.arange(N) % 5, group="b")


def theta_of(kind):
    return np.append(THETA, 0.4) if kind == "crossed" else THETA


@pytest.mark.parametrize("kind", ["1", "5", "crossed"])
def test_a_far_evaluation_leaves_a_near_one_as_it_was(kind):
    form, theta = likelihood(kind), theta_of(kind)
    before = form(theta, BETA)
    attributes = dict(vars(form))
    covariances = before.mode_covariances()
    far = form(3 * theta, BETA - 1, start=before)
    assert far.loglik != before.loglik
    again = form(theta, BETA)
    assert vars(form) == attributes
    assert again.loglik == before.loglik
    for name in ("d_theta", "d_beta", "u", "eta"):
        np.testing.assert_array_equal(getattr(again, name), getattr(before, name))
    for now, then in zip(before.mode_covariances(), covariances, strict=True):
        np.testing.assert_array_equal(now, then)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.loglik = 0.0


@pytest.mark.parametrize("kind", ["1", "5", "crossed"])
def test_any_start_leads_to_the_same_modes(kind):
    form, theta = likelihood(kind), theta_of(kind)
    cold = form(theta, BETA)
    warm = form(theta, BETA, start=form(2 * theta, BETA + 1))
    assert warm.loglik == pytest.approx(cold.loglik, abs=1e-9)
    np.testing.assert_allclose(warm.d_theta, cold.d_theta, atol=1e-5)
    for a, b in zip(warm.modes(), cold.modes(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


@pytest.mark.parametrize("kind", ["1", "crossed"])
def test_modes_move_with_beta_as_their_derivative_says(kind):
    form, theta, h = likelihood(kind), theta_of(kind), 1e-5
    by_beta = form.modes_by_beta(form(theta, BETA), 1.0)
    for k in range(2):
        step = h * np.eye(2)[k]
        up, down = form(theta, BETA + step).modes(), form(theta, BETA - step).modes()
        for term, a, b in zip(by_beta, up, down, strict=True):
            np.testing.assert_allclose(-term[:, :, k], (a - b) / (2 * h), atol=1e-5)


@pytest.mark.parametrize("kind", ["1", "crossed"])
def test_information_of_beta_is_that_of_the_marginal_working_model(kind):
    form, theta = likelihood(kind), theta_of(kind)
    at = form(theta, BETA)
    V = form.effects(theta)
    columns = [V.spread(unit.reshape(at.u.shape)) for unit in np.eye(at.u.size)]
    V = np.stack(columns, axis=1)
    W = form.family.fisher_weights(at.eta, form.weights, 1.0)
    exact = form.X.T @ np.linalg.solve(np.diag(1 / W) + V @ V.T, form.X)
    np.testing.assert_allclose(form.information_of_beta(at, 1.0), exact, rtol=1e-8)


def test_a_point_out_of_range_is_minus_infinity():
    fam, y, X, w, g, _ = sample("gamma", "inverse")
    form = GroupedLikelihood(fam, y, X, [RandomTerm.from_arrays(g)], w, np.zeros(N))
    at = form(np.array([0.3]), np.array([-5.0, 0.0]))
    assert at.loglik == -np.inf
    assert not at.finite
    assert at.modes() == []
