import json

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch18
from tests import paths

TASKS = of_chapter(18)
REFERENCE = json.loads((paths.REFERENCE / "toenail.json").read_text())


def test_the_answers_are_those_of_other_programs():
    assert TASKS["18.1"].answer() == "the same"
    monte_carlo = REFERENCE["glmmadaptive_agq50"]["marginal_coefs_monte_carlo"]["time"]
    assert TASKS["18.2"].answer() == pytest.approx(monte_carlo, abs=TASKS["18.2"].tolerance)
    known = {m.name: m.answer() for m in TASKS["18.2"].misconceptions}
    assert known["conditional for marginal"] == pytest.approx(
        REFERENCE["agq50"]["fixef"]["time"], abs=1e-3
    )
    assert known["GEE for the averaged mixed model"] == pytest.approx(
        REFERENCE["gee_exchangeable"]["coef"]["time"], abs=1e-3
    )


def test_the_share_is_near_the_one_observed_and_the_report_s_is_not():
    share = TASKS["18.3"].answer()
    assert share == pytest.approx(ch18._observed_share(), abs=0.04)
    assert ch18._share("population") < share / 30


def test_twenty_nodes_are_enough_for_the_tolerance():
    """The chapter uses fifty."""
    fifty = REFERENCE["agq50"]["fixef"]["time"]
    assert ch18._conditional().fixef["time"] == pytest.approx(fifty, abs=5e-4)


def test_the_figures_that_the_chapter_quotes_of_the_toenails():
    """Odds ratios as Rabe-Hesketh and Skrondal print them; the spread by nodes."""
    nails = ml.load("toenail")
    for coef, printed in (
        (ch18._conditional().fixef, (0.68, 0.87)),
        (ch18._marginal().coef, (0.84, 0.93)),
    ):
        ratios = np.exp(coef[["time", "treatment:time"]])
        np.testing.assert_allclose(ratios, printed, atol=0.0051)
    visits = nails.groupby("patient", observed=True)["y"].agg(["sum", "size"])
    assert len(visits) == 294
    assert (visits["sum"] == 0).sum() == 163
    assert (visits["size"] < 7).sum() == 70
    assert ch18._conditional().varcorr["sdcor"].iloc[0] == pytest.approx(4.0, abs=0.05)
    assert REFERENCE["agq1"]["sd_patient"] == pytest.approx(4.6, abs=0.05)
