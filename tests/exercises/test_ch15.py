import json
from pathlib import Path

import pytest

from mixedlab.answers import of_chapter
from mixedlab.exercises import ch15

TASKS = of_chapter(15)
REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "toenail.json").read_text())


def test_the_answers_are_those_of_other_programs():
    assert TASKS["15.1"].answer() == "the same"
    monte_carlo = REFERENCE["glmmadaptive_agq50"]["marginal_coefs_monte_carlo"]["time"]
    assert TASKS["15.2"].answer() == pytest.approx(monte_carlo, abs=TASKS["15.2"].tolerance)
    known = {m.name: m.answer() for m in TASKS["15.2"].misconceptions}
    assert known["conditional for marginal"] == pytest.approx(
        REFERENCE["agq50"]["fixef"]["time"], abs=1e-3
    )
    assert known["GEE for the averaged mixed model"] == pytest.approx(
        REFERENCE["gee_exchangeable"]["coef"]["time"], abs=1e-3
    )


def test_the_share_is_near_the_one_observed_and_the_report_s_is_not():
    share = TASKS["15.3"].answer()
    assert share == pytest.approx(ch15._observed_share(), abs=0.04)
    assert ch15._share("population") < share / 30


def test_twenty_nodes_are_enough_for_the_tolerance():
    """The chapter uses fifty."""
    fifty = REFERENCE["agq50"]["fixef"]["time"]
    assert ch15._conditional().fixef["time"] == pytest.approx(fifty, abs=5e-4)
