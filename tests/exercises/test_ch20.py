import json

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.labs.extra_variation import State, fit, simulate
from tests import paths

TASKS = of_chapter(20)
REFERENCE = paths.REFERENCE / "hglm.json"
TICKS = "TICKS ~ YEAR + cHEIGHT"
EVERY = f"{TICKS} + (1 | INDEX) + (1 | BROOD) + (1 | LOCATION)"
YEAR = "YEAR[T.96]"


@pytest.fixture(scope="module")
def ticks():
    return ml.load("grouseticks")


def test_the_answers():
    """The exact Poisson-gamma fit of the reference has the shape 1 / Var u."""
    (case,) = (
        c for c in json.loads(REFERENCE.read_text()) if c["id"] == "epil-poisson-gamma-exact"
    )
    assert TASKS["20.1"].answer() == "treatment"
    assert TASKS["20.2"].answer() == pytest.approx(10 + 100 / case["gamma_shape"], abs=0.01)
    assert TASKS["20.3"].answer() == "classrooms"
    assert TASKS["20.4"].answer() == pytest.approx(0.273, abs=1e-3)


def test_only_effects_for_classrooms_make_the_filter_s_standard_error_right():
    """Estimates less truth, in their own standard errors, have sd 1 with effects for both."""
    rng, off = np.random.default_rng(1), {"pupils": [], "classrooms": []}
    room, pupil = np.repeat(np.arange(30), 40), np.repeat(np.arange(300), 4)
    for _ in range(25):
        effect = 0.5 * rng.standard_normal(30)[room] + 0.5 * rng.standard_normal(300)[pupil]
        table = {
            "y": rng.poisson(np.exp(0.5 + effect)),
            "filter": room % 2,
            "room": room,
            "pupil": pupil,
        }
        for name, terms in (("pupils", ""), ("classrooms", " + (1 | room)")):
            made = ml.glmm(f"y ~ filter + (1 | pupil){terms}", table, family="poisson")
            off[name].append(made.fixef["filter"] / made.se["filter"])
    assert np.std(off["classrooms"]) < 1.4
    assert np.std(off["pupils"]) > 1.5


def test_a_random_effect_of_the_patient_leaves_the_period_alone_exactly():
    """Given a patient's total the Poisson-gamma likelihood is multinomial in the periods."""
    epil = ml.load("epil")
    formula = "y ~ lbase * trt + lage + V4"
    plain = ml.glmm(formula, epil, family="poisson")
    fit = ml.hglm(f"{formula} + (1 | subject)", epil, family="poisson", random_family="gamma")
    assert fit.fixef["V4"] == pytest.approx(plain.fixef["V4"], abs=1e-6)
    assert fit.se["V4"] == pytest.approx(plain.se["V4"], rel=1e-5)


def test_the_figures_that_the_chapter_quotes_of_chicks(ticks):
    count = ticks["TICKS"]
    assert (len(count), ticks["BROOD"].nunique()) == (403, 118)
    assert count.mean() == pytest.approx(6.4, abs=0.05)
    assert count.var() == pytest.approx(173, abs=0.5)
    assert count.max() == 85
    assert (count == 0).mean() == pytest.approx(0.31, abs=0.005), "nearly every third"


def test_the_coefficient_of_1996_moves_by_one_and_a_half_robust_ses(ticks):
    plain = ml.glmm(TICKS, ticks, family="poisson")
    every = ml.glmm(EVERY, ticks, family="poisson")
    gee = ml.gee(TICKS, ticks, groups="BROOD", family="poisson", correlation="independence")
    assert gee.coef[YEAR] == pytest.approx(plain.fixef[YEAR], abs=1e-5)
    values = plain.fixef[YEAR], every.fixef[YEAR], plain.se[YEAR], gee.se[YEAR]
    assert values == pytest.approx((0.41, 1.18, 0.045, 0.51), abs=5e-3)
    moved = values[1] - values[0]
    assert moved / gee.se[YEAR] == pytest.approx(1.5, abs=0.05)
    assert moved / plain.se[YEAR] == pytest.approx(17, abs=0.5)


def test_one_brood_decides_in_the_poisson_model_and_not_in_the_one_with_effects(ticks):
    total = ticks.groupby("BROOD", observed=True)["TICKS"].sum().nlargest(3)
    assert total.sum() / ticks["TICKS"].sum() == pytest.approx(0.38, abs=0.005)
    first = ticks["BROOD"] == total.index[0]
    assert set(ticks.loc[first, "YEAR"].astype(str)) == {"95"}
    rest = ticks[~first]
    assert ml.glmm(TICKS, rest, family="poisson").fixef[YEAR] == pytest.approx(1.05, abs=5e-3)
    assert ml.glmm(EVERY, rest, family="poisson").fixef[YEAR] == pytest.approx(1.25, abs=5e-3)


def test_the_seizure_trial_s_coefficient_moves_by_one_honest_se():
    epil = ml.load("epil")
    assert epil["y"].sum() == 1948
    assert epil.groupby("subject", observed=True)["y"].sum().max() == 302
    formula, name = "y ~ lbase * trt + lage + V4", "trt[T.progabide]"
    plain = ml.glmm(formula, epil, family="poisson")
    mixed = ml.glmm(f"{formula} + (1 | subject)", epil, family="poisson")
    gee = ml.gee(formula, epil, groups="subject", family="poisson", correlation="independence")
    moved = abs(mixed.fixef[name] - plain.fixef[name])
    assert moved / gee.se[name] == pytest.approx(1, abs=0.1)
    assert moved / mixed.se[name] == pytest.approx(1, abs=0.1)


def test_with_groups_of_like_weight_the_coefficient_hardly_moves():
    """In 200 samples of the lab the two estimates differ by 0.12, half of an honest SE."""
    fits = [fit(simulate(State(seed=seed))).models for seed in range(200)]
    moved = np.array([m["normal"].beta[2] - m["plain"].beta[2] for m in fits])
    honest = np.mean([m["normal"].se[2] for m in fits])
    assert moved.std() == pytest.approx(0.12, abs=0.01)
    assert moved.std() / honest == pytest.approx(0.5, abs=0.1)


def test_with_groups_of_unequal_weight_poisson_is_the_noisier_one():
    """0.39 and 0.25 in 300 samples; here in 100."""
    rng, found = np.random.default_rng(1), []
    for _ in range(100):
        size = rng.choice([2, 2, 2, 3, 30], 40)
        brood = np.repeat(np.arange(40), size)
        mean = np.exp(1 + 0.5 * (brood % 2) + 0.7 * rng.standard_normal(40)[brood])
        table = {"y": rng.poisson(mean), "dose": brood % 2, "brood": brood}
        found.append(
            [
                ml.glmm(f"y ~ dose{effects}", table, family="poisson").fixef["dose"]
                for effects in ("", " + (1 | brood)")
            ]
        )
    plain, mixed = np.array(found).T
    for estimate, sd in ((plain, 0.39), (mixed, 0.25)):
        assert estimate.mean() == pytest.approx(0.5, abs=3 * sd / 10)
        assert estimate.std() == pytest.approx(sd, rel=0.25)


def test_the_seeds_are_as_printed_and_each_se_grows_by_about_a_third():
    seeds = ml.load("seeds")
    seeds["O73"] = (seeds["seed"] == "O73").astype(int)
    formula = "cbind(r, n - r) ~ O73 * extract"
    plain = ml.glmm(formula, seeds, family="binomial")
    plates = ml.glmm(f"{formula} + (1 | plate)", seeds, family="binomial")
    values = [*plates.fixef, plates.varcorr["sdcor"].iloc[0]]
    np.testing.assert_allclose(values, [-0.548, 0.097, 1.337, -0.811, 0.236], atol=0.002)
    np.testing.assert_allclose(plates.se / plain.se, 1.3, atol=0.1)
