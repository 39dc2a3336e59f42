"""The likelihood as one function of one vector: gradients, penalties, starts, parameters held."""

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.joint_likelihood import JointLikelihood

NAMES = ("(Intercept)", "x")


def problem(name="poisson", link=None, **options):
    rng = np.random.default_rng(2)
    kind, g, x = family(name, link), np.repeat(np.arange(15), 6), rng.normal(size=90)
    X = np.column_stack([np.ones(90), x])
    mu = kind.link.mu(0.4 + 0.3 * x + 0.5 * rng.normal(size=15)[g])
    y = kind.draw(rng, mu, np.ones(90), 2.0 if kind.has_dispersion else 1.0)
    term = RandomTerm.from_arrays(g, X)
    return JointLikelihood(kind, y, X, (term,), 1.0, np.zeros(90), 1, NAMES, **options)


@pytest.mark.parametrize("options", [{}, {"prior_sd": 0.7}, {"penalty": "firth"}])
@pytest.mark.parametrize("name", ["poisson", "binomial", "negative_binomial"])
def test_gradient_in_internal_units_penalties_included(name, options):
    model, h = problem(name, **options), 1e-5
    x = np.array([0.5, 0.1, 0.4, 0.3, 0.2, 0.6])[: 6 if name == "negative_binomial" else 5]
    at = model.evaluate(x)
    numeric = [
        (model.evaluate(x + s, at).value - model.evaluate(x - s, at).value) / (2 * h)
        for s in h * np.eye(x.size)
    ]
    np.testing.assert_allclose(at.gradient, numeric, rtol=2e-5, atol=2e-5)


def test_a_maximum_is_above_the_model_without_effects_and_its_gradient_is_zero():
    model = problem()
    found = model.maximise()
    assert found.converged
    assert found.value < model.without_effects[1].value
    assert np.abs(found.at.gradient).max() < 1e-3
    assert np.linalg.eigvalsh(found.hessian)[0] > 0
    quick = model.maximise(prove=False)
    assert quick.value == pytest.approx(found.value, abs=1e-7)


def test_a_model_is_a_value():
    model = problem()
    x = np.array([0.5, 0.1, 0.4, 0.3, 0.2])
    before = model.evaluate(x)
    kept = dict(vars(model))
    model.maximise_fixing(3, 0.1, model.vector.to_user(x))
    model.evaluate(4 * x, before)
    assert all(vars(model)[key] is value for key, value in kept.items())
    assert model.evaluate(x).value == before.value


def test_a_parameter_is_held_at_its_value():
    model = problem()
    found = model.maximise()
    user = model.vector.to_user(found.x)
    value, parameters = model.maximise_fixing(3, user[3], user, found.hessian, found.at)
    assert value == pytest.approx(-found.value, abs=1e-7)
    lower, parameters = model.maximise_fixing(3, user[3] + 0.2, user, found.hessian, found.at)
    assert parameters[3] == user[3] + 0.2
    assert lower < value
    again, _ = model.maximise_fixing(3, user[3] + 0.2, user)
    assert again == pytest.approx(lower, abs=1e-7)
