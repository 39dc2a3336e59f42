"""A diagnosis says what was checked; what is wrong is found, what is right is not accused."""

import re
import warnings

import pytest

import mixedlab as ml
from mixedlab.data.formula import parse
from tests.diagnosis.tables import HARD, KINDS, ordinary


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", HARD)
def test_each_fault_is_found(name):
    kind, make = HARD[name]
    fit = make()
    found = ml.diagnose(fit)
    assert kind in [f.kind for f in found], str(found)
    for f in found:
        for term in re.findall(r"\([^()]*\|[^()]*\)", f.remedy):
            response = fit.formula.split("~")[0]
            assert parse(f"{response} ~ 1 + {term}").bars, term


@pytest.mark.parametrize("seed", range(50))
def test_an_ordinary_table_is_accused_of_nothing(seed):
    found = ml.diagnose(ordinary(seed))
    assert not found, f"{KINDS[seed % 5]}: {found}"


def test_it_says_what_was_checked_and_what_was_not():
    found = ml.diagnose(ordinary(1))
    text = str(found)
    assert text.startswith(f"Nothing found by the {len(found.checked)} checks made")
    for name in ("separation", "influential groups", "few groups", "labels that look nested"):
        assert name in text.split("Not checked")[0]
    assert "Not checked: overdispersion: single 0/1 responses" in text
    assert "overdispersion" not in found.checked
    assert "separation" in found.checked


def test_a_hierarchical_model_is_diagnosed_too():
    table = ml.load("epil")
    fit = ml.hglm("y ~ base + (1 | subject)", table, family="poisson", random_family="gamma")
    found = ml.diagnose(fit)
    assert "overdispersed" in [f.kind for f in found]
    assert "Not checked: influential groups" in str(found)
