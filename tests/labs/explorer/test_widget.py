"""The explorer in Jupyter: traits for all settings, what leaves it, a new table."""

import pytest
import traitlets as t

import mixedlab as ml
from mixedlab.errors import DataError
from tests.labs.explorer import tables


@pytest.fixture
def explorer():
    return ml.explore(tables.sleepstudy(), y="Reaction", x="Days", group="Subject")


def test_all_settings_are_traits(explorer):
    explorer.slope = True
    assert explorer.fit.loglik == pytest.approx(-871.8, abs=0.05)  # published: REML 1743.6
    explorer.pooling = 2
    assert explorer.pooling == 1
    assert explorer.value["slope"] is True
    with pytest.raises(t.TraitError, match="'Days'"):
        explorer.x = "days"
    with pytest.raises(t.TraitError):
        explorer.slope = 3


def test_what_leaves_it(explorer, tmp_path):
    assert "Reaction ~ Days + (1 | Subject)" in explorer.code
    assert "lmer(" in explorer.code_of_lme4
    assert "REML" in explorer.report
    assert explorer.figure().axes
    assert explorer.save(tmp_path / "it.svg").read_text().count("<path") > 10
    assert "180 rows" in explorer.check


def test_it_answers_messages_and_repeats(explorer):
    sent = []
    explorer.send = sent.append
    explorer._answer(explorer, {"id": 1, "kind": "scene", "state": {"pooling": 0}}, [])
    explorer._answer(explorer, {"id": 2, "kind": "replicate", "state": {}, "count": 3}, [])
    assert [m["kind"] for m in sent] == ["scene", "replicate"], sent[-1].get("message")
    assert len(sent[1]["values"]["icc"]) == 3


def test_it_follows_a_new_table(explorer):
    explorer.slope = True
    explorer.df = tables.sleepstudy().head(90)
    assert (explorer.fit.n_obs, explorer.y, explorer.slope) == (90, "Reaction", True)
    before = explorer.shell
    explorer.df = tables.counts()
    assert explorer.y != "Reaction"
    assert explorer.shell != before
    assert explorer.description["defaults"]["y"] == explorer.y


def test_a_table_that_is_none_leaves_the_old_one(explorer):
    with pytest.raises(DataError):
        explorer.df = tables.sleepstudy()[["Reaction"]]
    assert explorer.fit.n_obs == 180
