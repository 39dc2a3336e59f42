import json

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch18
from tests import paths

TASKS = of_chapter(18)
REFERENCE = json.loads((paths.REFERENCE / "toenail.json").read_text())
Z, WEIGHT = np.polynomial.hermite_e.hermegauss(100)
WEIGHT = WEIGHT / WEIGHT.sum()


def logit(p):
    return np.log(p / (1 - p))


def averaged(eta, sd):
    """Log odds of the mean over patients, by quadrature."""
    return logit((1 / (1 + np.exp(-(np.asarray(eta)[..., None] + sd * Z)))) @ WEIGHT)


@pytest.fixture(scope="module")
def nails():
    return ml.load("toenail")


@pytest.fixture(scope="module")
def patient(nails):
    return ml.glmm("y ~ treatment * time + (1 | patient)", nails, family="binomial", nagq=50)


@pytest.fixture(scope="module")
def crowd(nails):
    return ml.gee("y ~ treatment * time", nails, groups="patient", family="binomial")


def test_the_answers():
    assert TASKS["18.1"].answer() == "further"
    assert TASKS["18.3"].answer() == "whose"
    fit = ch18._children()
    integral = ml.marginal_coefs(fit).coef["(Intercept)"]
    assert TASKS["18.2"].answer() == pytest.approx(integral, abs=1e-5)
    fit = ch18._patients()
    by_hand = np.exp(fit.fixef["(Intercept)"] + fit.varcorr["vcov"].iloc[0] / 2)
    assert TASKS["18.4"].answer() == pytest.approx(100 * by_hand, abs=0.01)


def test_the_mean_of_seizures_is_nearer_to_the_one_observed_than_the_plan():
    plan, mean = ch18._seizures("population"), ch18._seizures("marginal")
    assert abs(mean - ch18._observed_seizures()) < abs(plan - ch18._observed_seizures()) / 3


def test_severity_alike_in_both_arms_moves_the_coefficient_away_from_0():
    rng = np.random.default_rng(1)
    n = 40_000
    arm, severity = np.repeat([0, 1], n // 2), 2 * rng.standard_normal(n)
    y = rng.random(n) < 1 / (1 + np.exp(-(severity - arm)))
    table = {"y": y.astype(int), "arm": arm, "severity": severity}
    alone = ml.glmm("y ~ arm", table, family="binomial").fixef["arm"]
    both = ml.glmm("y ~ arm + severity", table, family="binomial").fixef["arm"]
    assert -0.7 < alone < -0.5
    assert both == pytest.approx(-1, abs=0.1)


def test_the_odds_ratios_of_the_airways():
    table = ml.load("respiratory")
    table["patient"] = table["center"].astype(str) + "-" + table["id"].astype(str)
    model = "outcome ~ treat + baseline"
    one = ml.glmm(f"{model} + (1 | patient)", table, family="binomial", nagq=20)
    every = ml.gee(model, table, groups="patient", family="binomial")
    ratios = np.exp([one.fixef["treat[T.A]"], every.coef["treat[T.A]"]])
    np.testing.assert_allclose(ratios, [7.6, 3.5], atol=0.05)


def test_the_ratio_of_marginal_and_conditional_runs_from_19_to_50_percent(patient):
    table = ml.marginal_coefs(patient).table
    assert table["ratio"].min() == pytest.approx(0.19, abs=0.005)
    assert table["ratio"].max() == pytest.approx(0.50, abs=0.005)
    assert table["ratio"].idxmin() == "treatment"
    assert table["ratio"].idxmax() == "treatment:time"
    assert abs(table["z"]["treatment"]) < 0.2, "far smaller than its standard error"
    rule = 1 / np.sqrt(1 + 0.346 * patient.varcorr["vcov"].iloc[0])
    assert rule == pytest.approx(0.39, abs=0.005)


def test_the_average_s_log_odds_bend(patient):
    """0.37 times as steep as a patient at month 0, 0.52 times at month 12 under terbinafine."""
    b = patient.fixef
    eta = (
        b["(Intercept)"]
        + b["treatment"]
        + (b["time"] + b["treatment:time"]) * np.array([0, 0.01, 11.99, 12])
    )
    factor = np.diff(averaged(eta, patient.varcorr["sdcor"].iloc[0])) / np.diff(eta)
    np.testing.assert_allclose(factor[[0, 2]], [0.37, 0.52], atol=0.005)


def test_the_means_over_patients_by_link():
    """Log and probit as the chapter derives them; the logit's rule at a spread of 3."""
    from scipy.stats import norm

    eta, sd = np.array([-1.0, 0.5]), 1.3
    log_mean = np.exp(eta[:, None] + sd * Z) @ WEIGHT
    np.testing.assert_allclose(log_mean, np.exp(eta + sd**2 / 2), rtol=1e-9)
    probit = norm.cdf(eta[:, None] + sd * Z) @ WEIGHT
    np.testing.assert_allclose(probit, norm.cdf(eta / np.sqrt(1 + sd**2)), rtol=1e-9)
    assert np.sqrt(1 + 0.346 * 9) == pytest.approx(2.0, abs=0.05)


def test_with_random_slopes_the_slope_moves_under_the_log_link():
    rng = np.random.default_rng(1)
    b = rng.standard_normal((200_000, 2)) * 0.5
    mean = np.exp(b[:, :1] + (1 + b[:, 1:]) * np.array([0.0, 1.0])).mean(axis=0)
    assert np.log(mean[1] / mean[0]) == pytest.approx(1 + 0.125, abs=0.01)


def test_the_figures_that_the_chapter_quotes_of_the_toenails(nails, patient, crowd):
    """Odds ratios as Rabe-Hesketh and Skrondal print them; the spread by nodes."""
    for coef, printed in ((patient.fixef, (0.68, 0.87)), (crowd.coef, (0.84, 0.93))):
        ratios = np.exp(coef[["time", "treatment:time"]])
        np.testing.assert_allclose(ratios, printed, atol=0.0051)
    visits = nails.groupby("patient", observed=True)["y"].agg(["sum", "size"])
    assert len(visits) == 294
    assert (visits["sum"] == 0).sum() == 163
    assert (visits["size"] < 7).sum() == 70
    assert patient.varcorr["sdcor"].iloc[0] == pytest.approx(4.0, abs=0.05)
    assert REFERENCE["agq1"]["sd_patient"] == pytest.approx(4.6, abs=0.05)
    times = patient.fixef["time"], crowd.coef["time"], ml.marginal_coefs(patient).coef["time"]
    assert times == pytest.approx((-0.391, -0.171, -0.160), abs=5e-4)
    monte_carlo = REFERENCE["glmmadaptive_agq50"]["marginal_coefs_monte_carlo"]["time"]
    assert times[2] == pytest.approx(monte_carlo, abs=0.002)
