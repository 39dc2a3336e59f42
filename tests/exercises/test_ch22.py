import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch22
from mixedlab.labs.ranking import State, replay

TASKS = of_chapter(22)
YEARS, WARDS, STABILITY = 20_000, 20, 0.8
SD_WARD, ERROR = 12 * np.sqrt(0.06), 12 * np.sqrt(0.94 / 15)


@pytest.fixture(scope="module")
def years():
    """True and own means of 20 wards, this year and next, as the lab's default draws them."""
    rng = np.random.default_rng(1)
    z = SD_WARD * rng.standard_normal((2, YEARS, WARDS))
    b = np.stack([z[0], STABILITY * z[0] + np.sqrt(1 - STABILITY**2) * z[1]])
    own = b + ERROR * rng.standard_normal(b.shape)
    return b, own


def of(values, ward):
    return np.take_along_axis(values, ward[:, None], axis=1)[:, 0]


def test_the_answers():
    assert TASKS["22.1"].answer() == "less often"
    assert TASKS["22.3"].answer() == "between"
    assert TASKS["22.4"].answer() == pytest.approx(2.805, abs=1e-3)


def test_more_wards_make_the_first_more_seldom_the_best_in_the_lab_too():
    """Drawn patient by patient in the exercise, by the wards' means in the lab."""
    icc = ch22.SD_WARD**2 / (ch22.SD_WARD**2 + ch22.SD_PATIENT**2)
    for wards in (20, 40):
        hits = [(replay(State(wards=wards, icc=icc, seed=s))["own"] == 1).mean() for s in range(10)]
        assert ch22._share_best(wards) == pytest.approx(np.mean(hits), abs=0.04)


def test_the_first_batch_is_better_as_often_as_draws_of_both_say():
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    effect, sd = (part["Batch"]["(Intercept)"] for part in (fit.ranef, fit.ranef_sd))
    drawn = effect.to_numpy() + sd.to_numpy() * np.random.default_rng(1).standard_normal(
        (400_000, 6)
    )
    first, second = (effect.index.get_loc(name) for name in effect.nlargest(2).index)
    share = np.mean(drawn[:, first] > drawn[:, second])
    assert TASKS["22.2"].answer() == pytest.approx(share, abs=0.003)


def test_predicted_effects_lose_part_of_the_difference():
    right, shrunken = TASKS["22.4"].answer(), ch22._by_predicted_effects()
    assert 0.85 * right < shrunken < 0.95 * right


def test_the_figures_that_the_chapter_quotes_of_wards():
    rank = np.concatenate([replay(State(seed=s))["own"] for s in range(10)])
    assert np.mean(rank == 1) == pytest.approx(0.35, abs=0.02)
    assert np.mean(rank <= 5) > 0.7
    keep = [n / (n + (1 - 0.06) / 0.06) for n in (15, 4)]
    np.testing.assert_allclose(keep, [0.49, 0.20], atol=0.005)
    assert State().sd_ward == pytest.approx(3, abs=0.1)
    assert State().sd_patient == pytest.approx(12, abs=0.5)


def test_next_year_as_the_chapter_tells_it(years):
    _, (now, later) = years
    first, last = now.argmax(axis=1), now.argmin(axis=1)
    assert np.mean(later.argmax(axis=1) == first) == pytest.approx(0.16, abs=0.01)
    change = of(later, last) - of(now, last)
    assert np.mean(change > 0) == pytest.approx(0.88, abs=0.01)
    assert 4.6 < change.mean() < 5.0, "nearly five points"


def test_first_less_last_by_own_means_by_shrunken_ones_and_in_truth(years):
    """15.7, 7.7 and 7.7 points; 90 % intervals hold the truth in 38, 90 and 73 % of years."""
    (b, _), (own, _) = years
    first, last = own.argmax(axis=1), own.argmin(axis=1)
    raw, true = (of(v, first) - of(v, last) for v in (own, b))
    keep = SD_WARD**2 / (SD_WARD**2 + ERROR**2)
    means = raw.mean(), (keep * raw).mean(), true.mean()
    np.testing.assert_allclose(means, [15.7, 7.7, 7.7], atol=0.06)

    estimated = np.maximum(0, own.var(axis=1, ddof=1) - ERROR**2)
    share = estimated / (estimated + ERROR**2)
    z = 1.645 * np.sqrt(2)
    covered = [
        np.abs(raw - true) < z * ERROR,
        np.abs(keep * raw - true) < z * SD_WARD * np.sqrt(1 - keep),
        np.abs(share * raw - true) < z * np.sqrt(estimated * (1 - share)),
    ]
    np.testing.assert_allclose(np.mean(covered, axis=1), [0.38, 0.90, 0.73], atol=0.01)


def test_the_figures_that_the_chapter_quotes_of_schools():
    """Raudenbush and Bryk, chapter 4."""
    schools = ml.load("hsb82")
    fit = ml.lmm("mAch ~ 1 + (1 | school)", schools)
    between, within = fit.varcorr["vcov"]
    assert (between, within) == pytest.approx((8.61, 39.15), abs=0.005)
    table = schools.groupby("school", observed=True)["mAch"].agg(["mean", "size"])
    size = table["size"]
    assert np.mean(size / (size + within / between)) == pytest.approx(0.90, abs=0.005)
    ends = fit.fixef.iloc[0] + 1.96 * np.sqrt(between) * np.array([-1, 1])
    np.testing.assert_allclose(ends, [6.89, 18.39], atol=0.01)
    effect = fit.ranef["school"]["(Intercept)"]
    assert size[table["mean"].idxmax()] < size[effect.idxmax()], "the former has fewer pupils"
