import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.engine.closed_forms import reml_icc
from mixedlab.exercises import ch04
from mixedlab.labs.shrinkage import LAB, State, shrunken, simulate

TASKS = of_chapter(4)


def test_the_answers_are_those_of_the_fits():
    assert TASKS["4.1"].answer() == "more"
    batches = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    assert TASKS["4.2"].answer() == batches.ranef["Batch"].loc["E", "(Intercept)"]
    assert TASKS["4.2"].answer() == pytest.approx(56.733, abs=5e-3)
    assert TASKS["4.4"].answer() == pytest.approx(-77.85, abs=0.01)


def test_ridge_with_the_right_penalty_is_the_mixed_model():
    between, within = ch04._variances(ch04._sleep())
    assert ch04._ridge(within / between) == pytest.approx(TASKS["4.4"].answer(), abs=1e-8)


def test_the_figures_that_the_chapter_quotes_of_hospitals():
    stays = simulate(State())
    moved = abs(shrunken(stays, State().penalty) - stays.mean)
    assert (stays.size[0], stays.size[19]) == (3, 50)
    assert (round(stays.mean[0]), stays.mean[19]) == (24, 39)
    assert stays.mean[0] <= np.sort(stays.mean)[1], "one of the shortest"
    assert moved[19] == pytest.approx(0.6, abs=0.05)
    assert moved[0] == pytest.approx(4, abs=0.05)
    small = simulate(State(size=3))
    assert abs(shrunken(small, State().penalty) - small.mean)[19] > 4


def test_too_strong_a_pull_is_worse_than_none():
    error = LAB.replicate(State(spread=4, penalty=60), 0, 100)
    assert np.mean(error["yours"]) > 1.1 * np.mean(error["none"])
    assert pytest.approx(2, abs=0.3) == (6 / 4) ** 2


@pytest.mark.parametrize(("groups", "rows", "share"), [(24, 10, 0.94), (6, 5, 0.86)])
def test_intervals_of_empirical_bayes_leave_out_that_the_variances_are_estimated(
    groups, rows, share
):
    rng, icc, covered = np.random.default_rng(1), 0.3, []
    for _ in range(1500):
        true = rng.normal(0, icc**0.5, groups)
        y = true[:, None] + rng.normal(0, (1 - icc) ** 0.5, (groups, rows))
        mean, within = y.mean(1), float(((y - y.mean(1)[:, None]) ** 2).sum())
        share_between = reml_icc(np.full(groups, rows), mean, within)
        between_rows = rows * ((mean - mean.mean()) ** 2).sum()
        if share_between:
            error = within / (groups * (rows - 1))
        else:  # all spread is within
            error = (within + between_rows) / (groups * rows - 1)
        effects = error * share_between / (1 - share_between)
        keeps = effects / (effects + error / rows)
        variance = effects * (1 - keeps) + (1 - keeps) ** 2 * (effects + error / rows) / groups
        estimate = mean.mean() + keeps * (mean - mean.mean())
        covered.append(np.mean(abs(estimate - true) < 1.96 * variance**0.5))
    assert np.mean(covered) == pytest.approx(share, abs=0.01)


def test_two_directions_of_the_drivers_plane_are_pulled_differently():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    (covariance,) = fit.covariances
    X = np.column_stack([np.ones(10), np.arange(10)])
    error = fit.sigma**2 * np.linalg.inv(X.T @ X)
    kept, directions = np.linalg.eig(covariance @ np.linalg.inv(covariance + error))
    assert np.sort(kept) == pytest.approx([0.63, 0.96], abs=5e-3)
    start, slope = directions[:, kept.argmin()]
    assert start * slope < 0, "high and flat is pulled most"
    start, slope = directions[:, kept.argmax()]
    assert start * slope > 0, "high and steep least"
