import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.labs.cluster_trials import State, power, variance_of_mean
from tests.labs.test_cluster_trials import villages_needed

TASKS = of_chapter(12)


def test_the_answers_are_those_of_the_fits():
    assert TASKS["12.1"].answer() == "never"
    trial = ml.simulate.villages(outcome="binary", n_villages=12, n_people=45, seed=5).to_frame()
    fit = ml.glmm("infected ~ treated + (1 | village)", trial, family="binomial")
    assert TASKS["12.4"].answer() == fit.se["treated"]
    rows = ml.glmm("infected ~ treated", trial, family="binomial")
    assert fit.se["treated"] > 1.2 * rows.se["treated"]
    assert 100 < TASKS["12.2"].answer() < 300


def test_the_chapter_s_figures_of_the_lab():
    """44 % power, a ceiling of 54 %, three quarters of a mean's variance shared, 18 villages."""
    state = State()
    k, m, icc, d = state.villages, state.people, state.icc, state.effect
    assert power(k, m, icc, d) == pytest.approx(0.44, abs=0.005)
    assert power(k, 1e9, icc, d) == pytest.approx(0.54, abs=0.005)
    assert icc / variance_of_mean(m, icc) == pytest.approx(0.75, abs=0.03)
    formula = 1 + 2 * (1.96 + 0.84) ** 2 * variance_of_mean(m, icc) / d**2
    assert formula == pytest.approx(17.6, abs=0.05)
    assert villages_needed(state) == 18


def test_people_as_rows_are_too_sure():
    """With nothing to find a third of trials alarm; 95 % intervals hold the truth in 68 %."""
    rng = np.random.default_rng(12)
    k, m, icc, R = 8, 30, 0.1, 4000
    people = np.sqrt(icc) * rng.standard_normal((R, 2, k, 1))
    people = (people + np.sqrt(1 - icc) * rng.standard_normal((R, 2, k, m))).reshape(R, 2, -1)
    miss = people[:, 1].mean(axis=1) - people[:, 0].mean(axis=1)
    se = np.sqrt(people.var(axis=2, ddof=1).mean(axis=1) * 2 / (k * m))
    assert np.mean(np.abs(miss) < 1.96 * se) == pytest.approx(0.68, abs=0.02)


def test_degrees_of_freedom_are_the_villages():
    trial = ml.simulate.villages(
        outcome="continuous", n_villages=8, n_people=30, intercept=150, effect=-5, sd_village=5,
        sd_person=15, seed=11,
    ).to_frame()  # fmt: skip
    tests = ml.lmm("haemoglobin ~ treated + (1 | village)", trial).tests()
    assert tests.loc["treated", "df"] == pytest.approx(14, abs=1e-3)


@pytest.mark.parametrize(
    ("outcome", "column", "family"),
    [("binary", "infected", "binomial"), ("count", "episodes", "poisson")],
)
def test_few_villages_make_a_wald_test_too_bold(outcome, column, family):
    """Five villages an arm: z alarms in 13 to 15 %, t on 8 degrees of freedom in 7 to 9 %."""
    z = []
    for seed in range(150):
        trial = ml.simulate.villages(
            n_villages=5, n_people=30, effect=0.0, sd_village=0.5, outcome=outcome, seed=seed
        ).to_frame()
        fit = ml.glmm(f"{column} ~ treated + (1 | village)", trial, family=family)
        z.append(abs(fit.fixef["treated"] / fit.se["treated"]))
    bold, careful = np.mean(np.array(z) > 1.96), np.mean(np.array(z) > 2.306)
    assert 0.08 < bold < 0.21
    assert careful < bold - 0.015
    assert careful < 0.13
