import numpy as np
import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter
from mixedlab.labs.within_between_fit import SD_ERROR, SD_PERSON, State, simulate

TASKS = of_chapter(7)


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


@pytest.fixture(scope="module")
def pupils():
    return ml.within_between(ml.load("hsb82")[["school", "ses", "mAch"]], "ses", "school")


def dummies(y, x, group):
    """The slope of a regression with a level for each group."""
    levels = (np.asarray(group)[:, None] == np.unique(group)).astype(float)
    X = np.column_stack([x, levels])
    return np.linalg.lstsq(X, y, rcond=None)[0][0]


def test_the_answers():
    assert TASKS["7.1"].answer() == "within"
    assert TASKS["7.3"].answer() == "short night"
    assert TASKS["7.2"].answer() == pytest.approx(0.3 * (-5.0630 + 3.5536), abs=1e-3)


def test_the_slope_within_counties_is_the_one_of_dummies():
    radon = ml.load("radon")
    county = radon["county"].cat.codes if hasattr(radon["county"], "cat") else radon["county"]
    slope = dummies(radon["log_radon"].to_numpy(), radon["floor"].to_numpy(), county)
    assert TASKS["7.4"].answer() == pytest.approx(slope, abs=1e-6)
    assert abs(ml.lmm("log_radon ~ floor + (1 | county)", radon).fixef["floor"] - slope) > 0.02


def test_two_schools_are_compared_by_the_coefficient_of_the_mean_beside_the_raw_column():
    table = ml.load("hsb82")[["school", "minrty", "mAch"]]
    table["minority"] = (table["minrty"] == "Yes").astype(float)
    table = ml.within_between(table, "minority", "school")
    fit = ml.lmm("mAch ~ minority + minority_mean + (1 | school)", table)
    assert ml.check("7.2", 0.3 * fit.fixef["minority_mean"])


def test_same_days_leave_no_slope_between_and_the_blend_is_the_slope_within():
    study = ml.within_between(ml.load("sleepstudy"), "Days", "Subject")
    assert set(study["Days_mean"]) == {4.5}
    blend = ml.lmm("Reaction ~ Days + (1 | Subject)", study).fixef["Days"]
    slope = dummies(*(study[c].to_numpy() for c in ("Reaction", "Days")), study["Subject"])
    assert blend == pytest.approx(slope, abs=1e-6)


def test_the_figures_that_the_chapter_quotes_of_schools(pupils):
    """Raudenbush and Bryk print 2.19 within, 5.87 between and 2.39 for one slope."""
    both = ml.lmm("mAch ~ ses_dev + ses_mean + (1 | school)", pupils)
    wider = ml.lmm("mAch ~ ses_dev + ses_mean + (ses_dev | school)", pupils)
    blend = ml.lmm("mAch ~ ses + (1 | school)", pupils)
    assert both.fixef[["ses_dev", "ses_mean"]].tolist() == pytest.approx([2.19, 5.87], abs=5e-3)
    assert both.fixef["ses_mean"] - both.fixef["ses_dev"] == pytest.approx(3.7, abs=0.05)
    assert wider.fixef["ses_dev"] == pytest.approx(both.fixef["ses_dev"], abs=1e-3)
    assert both.se["ses_dev"] == pytest.approx(0.109, abs=5e-4)
    assert wider.se["ses_dev"] == pytest.approx(0.128, abs=5e-4)
    assert blend.fixef["ses"] == pytest.approx(2.39, abs=5e-3)
    assert blend.se["ses"] == pytest.approx(0.106, abs=5e-4)


def test_dummies_give_the_slope_within_exactly(pupils):
    both = ml.lmm("mAch ~ ses_dev + ses_mean + (1 | school)", pupils)
    slope = dummies(pupils["mAch"].to_numpy(), pupils["ses"].to_numpy(), pupils["school"])
    assert slope == pytest.approx(both.fixef["ses_dev"], abs=1e-6)


def test_mundlak_s_coefficient_of_the_mean_is_between_less_within(pupils):
    both = ml.lmm("mAch ~ ses_dev + ses_mean + (1 | school)", pupils).fixef
    mundlak = ml.lmm("mAch ~ ses + ses_mean + (1 | school)", pupils).fixef
    assert mundlak["ses_mean"] == pytest.approx(both["ses_mean"] - both["ses_dev"], abs=1e-6)


def test_the_blend_takes_its_own_variances_and_not_the_true_ones():
    """Long run of the lab: -0.33 by the true variances, -0.64 by those the model estimates."""
    state, n = State(), 5
    truth = simulate(state)[0].truth
    w = SD_ERROR**2 / (SD_ERROR**2 + n * SD_PERSON**2)
    within_xx, means_xx, noise_xx = n - 1, n * state.sd_means**2, 1.0
    above = within_xx * state.within + w * (means_xx * state.between + noise_xx * state.within)
    by_true = above / (within_xx + w * (means_xx + noise_xx))
    assert by_true == pytest.approx(-0.33, abs=0.005)
    assert truth["slope_random_intercept"] == pytest.approx(-0.64, abs=0.005)
    assert truth["slope_aggregated"] == pytest.approx(0.37, abs=0.005)
