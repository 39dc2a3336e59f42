"""A question changes nothing: every answer is the same whatever was asked before, or meanwhile."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from tests import models_cache
from tests.contract.questions import QUESTIONS, SLOW, ask, same


@cache
def alone(name: str, question: str):
    """The answer of a fit that was asked nothing before."""
    return ask(models_cache.fresh(name), name, question)


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_every_question_after_every_other(name):
    for first in QUESTIONS:
        fit = models_cache.fresh(name)
        ask(fit, name, first)
        for second in QUESTIONS:
            assert same(ask(fit, name, second), alone(name, second)), (first, second)


@pytest.mark.parametrize("name", models_cache.NAMES)
@pytest.mark.parametrize("slow", SLOW)
def test_no_answer_changes_after_a_long_question(name, slow):
    fit = models_cache.fresh(name)
    ask(fit, name, slow)
    for question in QUESTIONS:
        assert same(ask(fit, name, question), alone(name, question)), question
    assert same(ask(fit, name, slow), alone(name, slow))


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_a_far_evaluation_changes_nothing(name):
    fit = models_cache.fresh(name)
    if not hasattr(fit, "loglik_at"):
        pytest.skip("this fit has no other parameters to be asked about")
    fit.loglik_at(fit.parameters * 3 + 1)
    for question in QUESTIONS:
        assert same(ask(fit, name, question), alone(name, question)), question


@pytest.mark.parametrize("name", models_cache.NAMES)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda fit: pickle.loads(pickle.dumps(fit))]
)
def test_a_copy_answers_as_the_fit_does(name, again):
    fit = models_cache.fresh(name)
    for question in QUESTIONS:
        ask(fit, name, question)
    other = again(fit)
    for question in QUESTIONS:
        assert same(ask(other, name, question), alone(name, question)), question


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_two_threads_may_ask_at_once(name):
    fit = models_cache.fresh(name)
    orders = [list(QUESTIONS), list(reversed(QUESTIONS)), list(QUESTIONS)[::2]]
    for question in QUESTIONS:
        alone(name, question)

    def asked(order):
        return [(question, ask(fit, name, question)) for question in order]

    with ThreadPoolExecutor(3) as pool:
        for answers in pool.map(asked, orders):
            for question, answer in answers:
                assert same(answer, alone(name, question)), question


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_fits_are_keys(name):
    fit = models_cache.fresh(name)
    assert {fit: "kept"}[fit] == "kept"
    assert fit != models_cache.fresh(name)
