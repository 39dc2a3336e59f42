import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.labs.extra_variation import GROUPS, LAB, ROWS, State, ends, growth, simulate
from mixedlab.labs.extra_variation_fit import fit, let_in
from mixedlab.labs.extra_variation_panels import true_model
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.responses_of_four_kinds import KINDS, expected, moments, observed
from tests.labs.fuzz import check_lab


def run(**state):
    state = State(**state)
    sample = simulate(state)
    fits = fit(sample)
    return sample, fits.models, LAB.scene(state, sample, fits)


def marks(shown, panel):
    return {m.key: m for p in shown.panels if p.key == panel for m in p.marks}


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_inflates_as_the_effects_are_let_in(kind):
    """The surprise is seen: the pink interval leaves the orange one and grows past it."""
    first = marks(run(kind=kind)[2], "effects")
    orange = first["interval-plain"]
    np.testing.assert_allclose(first["interval-yours"].x, orange.x)
    length = [
        float(np.ptp(marks(run(kind=kind, share=share)[2], "effects")["interval-yours"].x))
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert np.all(np.diff(length) > 0)
    assert length[-1] > 1.7 * np.ptp(orange.x)
    last = marks(run(kind=kind, share=1.0)[2], "effects")
    np.testing.assert_allclose(last["interval-yours"].x, last["interval-normal"].x)
    assert last["handle"].x[0] == pytest.approx(float(last["interval-yours"].x[0][1]))


def test_the_default_interval_grows_over_zero_and_over_the_truth():
    before = marks(run()[2], "effects")["interval-plain"].x[0]
    after = marks(run(share=1.0)[2], "effects")["interval-yours"].x[0]
    assert before[1] < 0 < after[1]
    true = marks(run()[2], "effects")["true-effect"].x[0][0]
    assert after[0] < true < before[0]


def test_the_bet_is_answered_by_the_end_of_the_interval_that_is_let_in():
    for model in ("observation", "normal", "conjugate"):
        shown = run(model=model, share=1.0)[2]
        panel = marks(shown, "effects")
        assert shown.answer == pytest.approx(panel[f"interval-{model}"].x[0][1])
        assert shown.answer == pytest.approx(panel["interval-yours"].x[0][1])


@pytest.mark.parametrize("model", ["observation", "normal", "conjugate"])
@pytest.mark.parametrize("kind", ["counts", "proportions"])
def test_letting_in_leads_from_the_plain_model_to_the_fitted_one(kind, model):
    sample, models, _ = run(kind=kind)
    fits = fit(sample)
    little, nearly = (let_in(sample, fits, models[model], share) for share in (1e-5, 1 - 1e-6))
    np.testing.assert_allclose(little.beta, models["plain"].beta, atol=1e-3)
    np.testing.assert_allclose(little.se, models["plain"].se, rtol=1e-2)
    np.testing.assert_allclose(nearly.beta, models[model].beta, atol=1e-4)
    np.testing.assert_allclose(nearly.se, models[model].se, rtol=1e-4)


def test_effects_that_have_no_variance_let_nothing_in():
    sample, models, _ = run()
    none = replace(models["normal"], lam=0.0)
    same = let_in(sample, fit(sample), none, 0.5)
    np.testing.assert_array_equal(same.se, models["plain"].se)


def test_what_is_let_in_changes_neither_data_nor_fits():
    here, there = simulate(State()), simulate(State(share=0.4, model="conjugate"))
    assert here is there
    assert fit(here) is fit(there)


@pytest.mark.parametrize("kind", KINDS)
def test_many_samples_at_once_are_the_same_as_one_by_one(kind):
    state = State(kind=kind, spread=0.5)
    one_by_one = replace(LAB, measure_many=None).replicate(state, 0, 4)
    for name, values in LAB.replicate(state, 0, 4).items():
        # Scoring of the plain model stops when its deviance does, a picture's fit at 1e-6.
        atol = 1e-3 if name == "plain" else 1e-5
        np.testing.assert_allclose(values, one_by_one[name], atol=atol)


def test_goals_show_the_other_outcomes():
    for goal, low, high in zip(LAB.goals, (0.9, 0.9, 2.5, 0.2), (1.1, 1.1, 4, 0.6), strict=True):
        state = LAB.clean(goal.solution)
        assert low < growth(fit(simulate(state)), state.model) < high, goal.text


def test_one_action_shows_that_the_standard_error_grows_and_the_estimate_stays():
    _, models, shown = run()
    plain, normal, conjugate = (models[k] for k in ("plain", "normal", "conjugate"))
    for model in (normal, conjugate):
        assert abs(model.beta[2] - plain.beta[2]) < 0.06
        assert model.se[2] > 3 * plain.se[2]
    assert plain.se[2] < models["observation"].se[2] < 0.65 * normal.se[2]
    true = KINDS["counts"].beta[2]
    assert abs(plain.beta[2] - true) > 1.96 * plain.se[2], "the Poisson bar misses the truth"
    assert abs(normal.beta[2] - true) < 1.96 * normal.se[2]
    assert "3.4 times what it was" in shown.outcome
    assert "SE" not in shown.summary_before
    assert np.ptp(ends(normal)) == pytest.approx(3.92 * normal.se[2])
    early = {m.key for p in shown.panels for m in p.marks if m.stage == "data"}
    assert early == {"plain", "interval-plain", "se-plain", "cells", "observed", "zero", "groups"}


def test_the_other_outcomes():
    def ratio(**state):
        models = run(**state)[1]
        return {k: m.se[2] / models["plain"].se[2] for k, m in models.items()}

    half = ratio(treated="rows")
    assert half["normal"] == pytest.approx(1, abs=0.03)
    assert half["conjugate"] == pytest.approx(1, abs=0.03)
    chicks = ratio(treated="rows", level="rows")
    assert chicks["normal"] == pytest.approx(1, abs=0.05)
    assert chicks["observation"] > 1.7
    nothing = ratio(spread=0.0)
    assert nothing["normal"] == pytest.approx(1, abs=0.2)


def test_the_logit_moves_the_coefficient_away_from_0_and_the_log_does_not():
    def means(kind):
        state = State(kind=kind, spread=1.0)
        samples = [simulate(replace(state, seed=replicate_seed(1, i))) for i in range(40)]
        found = [fit(s).models for s in samples]
        apart = [m["normal"].beta[2] - m["plain"].beta[2] for m in found]
        return np.mean(apart), np.std(apart) / np.sqrt(len(apart))

    moved, error = means("proportions")
    assert moved > 0.03 + 3 * error
    moved, error = means("counts")
    assert abs(moved) < 3 * error + 0.01


@pytest.mark.parametrize(
    ("state", "right", "sd_of_wrong"),
    [({}, "normal", 2.5), ({"treated": "rows", "level": "rows"}, "observation", 1.4)],
)
def test_standard_errors_are_right_for_the_right_model_alone(state, right, sd_of_wrong):
    values = LAB.replicate(State(**state), 0, 80)
    assert np.std(values[right]) == pytest.approx(1, abs=0.3)
    assert np.std(values["plain"]) > sd_of_wrong


def test_standard_errors_follow_the_chapter_s_formula():
    """SE^2 is near 4 / (N mu) + 4 lambda / (independent effects)."""
    n, spread = GROUPS * ROWS, 0.7
    lam = np.exp(spread**2) - 1
    ses = [run(seed=s)[1] for s in range(1, 41)]
    mean = np.mean([simulate(State(seed=s)).y.mean() for s in range(1, 41)])
    for key, effects in (("plain", np.inf), ("observation", n), ("normal", GROUPS)):
        said = np.sqrt(4 / (n * mean) + 4 * lam / effects)
        assert np.mean([m[key].se[2] for m in ses]) == pytest.approx(said, rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_marginal_moments_and_bins_are_those_of_what_is_drawn(kind):
    """Draw many samples at one spread and hold theory to them."""
    state = State(kind=kind, spread=0.6, level="rows")
    samples = [simulate(replace(state, seed=s)) for s in range(300)]
    kind, model = samples[0].kind, true_model(samples[0])
    rows, index = samples[0].cells
    mean, variance = moments(kind, model, rows @ kind.beta)
    y = np.concatenate([s.y[index == 0] for s in samples])
    assert y.mean() == pytest.approx(mean[0], abs=4.5 * y.std() / np.sqrt(y.size))
    spread = np.std((y - y.mean()) ** 2) / np.sqrt(y.size)
    assert y.var() == pytest.approx(variance[0], abs=4.5 * spread)
    theory = expected(kind, model, rows @ kind.beta, np.bincount(index).astype(float))
    seen = np.mean([observed(s) for s in samples], axis=0)
    assert theory.sum() == pytest.approx(GROUPS * ROWS)
    assert seen.sum() == pytest.approx(GROUPS * ROWS)
    assert np.all(np.abs(seen - theory) < 4.5 * np.sqrt(theory / 300) + 0.01)


@pytest.mark.parametrize("effects", ["conjugate", "normal"])
@pytest.mark.parametrize("kind", ["counts", "proportions", "sizes"])
def test_effects_nodes_have_the_moments_of_their_family(kind, effects):
    model = run(kind=kind, spread=0.4)[1][effects]
    v, weights = model.nodes
    assert weights.sum() == pytest.approx(1)
    mean = v @ weights
    assert np.sqrt((v - mean) ** 2 @ weights) == pytest.approx(model.sd, rel=0.02)
    if effects == "conjugate" and kind != "proportions":
        assert np.exp(v) @ weights == pytest.approx(1, abs=0.01), "E u = 1"


@pytest.mark.parametrize("kind", ["counts", "sizes"])
def test_variance_of_factors_is_that_of_their_draws(kind):
    sample, models, _ = run(kind=kind, spread=0.3)
    model = models["conjugate"]
    u = np.exp(model.effects.quantile((np.arange(400_000) + 0.5) / 400_000, model.lam))
    assert u.mean() == pytest.approx(1, abs=1e-3)
    assert u.var() == pytest.approx(model.variance_of_factor, rel=0.02)
    eta = np.array([0.5, 2.0])
    mean, variance = moments(sample.kind, model, eta)
    mu = np.exp(eta)[:, None] * u
    within = mu if kind == "counts" else model.phi * mu**2
    np.testing.assert_allclose(variance, within.mean(axis=1) + mu.var(axis=1), rtol=0.02)
    np.testing.assert_allclose(mean, np.exp(eta))


def test_an_inverse_gamma_without_variance_is_said_and_not_drawn():
    shown = run(kind="sizes", spread=1.0, model="conjugate", share=1.0)[2]
    assert "no variance" in shown.outcome
    assert len(marks(shown, "variance")["model"].x) == 0


def test_what_is_fitted_is_the_package_s_own():
    import pandas as pd

    import mixedlab as ml

    sample, models, _ = run()
    table = pd.DataFrame(sample.X[:, 1:], columns=["x", "dose"])
    table = table.assign(y=sample.y, brood=sample.group, chick=np.arange(len(sample.y)))
    common = {"family": "poisson", "method": "h-likelihood"}
    for key, group, effects in (
        ("normal", "brood", "gaussian"),
        ("conjugate", "brood", "gamma"),
        ("observation", "chick", "gaussian"),
    ):
        whole = ml.hglm(f"y ~ x + dose + (1 | {group})", table, random_family=effects, **common)
        np.testing.assert_allclose(models[key].beta, whole.fixef, rtol=1e-6)
        np.testing.assert_allclose(models[key].se, whole.se, rtol=1e-6)
        assert models[key].sd == pytest.approx(whole.varcorr["sdcor"].iloc[0], rel=1e-6)
    plain = ml.glmm("y ~ x + dose", table, family="poisson")
    np.testing.assert_allclose(models["plain"].beta, plain.fixef, atol=1e-5)
    np.testing.assert_allclose(models["plain"].se, plain.se, rtol=1e-4)
    exact = ml.hglm("y ~ x + dose + (1 | brood)", table, family="poisson", random_family="gamma")
    assert models["conjugate"].se[2] == pytest.approx(exact.se["dose"], rel=0.1)


def test_words_and_marks_agree():
    for state in ({}, {"kind": "sizes", "seed": 4}, {"kind": "proportions", "model": "conjugate"}):
        sample, models, shown = run(**state)
        panel = marks(shown, "effects")
        said = re.search(r"\(SE\): (.*?)\. Let in", shown.outcome)[1].split("; ")
        assert len(said) == len(models)
        for text, (key, model) in zip(said, models.items(), strict=True):
            value, se = re.search(r"(\S+) \((\S+)\)$", text).groups()
            assert number(value) == pytest.approx(panel[key].x[0], abs=0.0051)
            length = np.ptp(panel[f"interval-{key}"].x)
            assert number(se) == pytest.approx(length / 3.92, abs=0.0051)
            assert panel[f"se-{key}"].text == [f"SE {se}"]
            assert model.name in text
        assert f"{sample.spread:.2f}" in shown.outcome_truth


def test_a_model_that_a_response_does_not_need_is_replaced_in_words():
    shown = run(kind="sizes", model="observation")[2]
    assert "a dispersion of its own" in shown.outcome
    assert "Let in: gamma." in shown.outcome
    shown = run(kind="scores", model="conjugate")[2]
    assert "conjugate of a normal response is the normal" in shown.outcome
    values = LAB.replicate(State(kind="scores"), 0, 2)
    assert np.isnan(values["conjugate"]).all()
    assert np.isfinite(values["normal"]).all()


def test_a_control_that_moves_keeps_the_random_numbers():
    a, b = simulate(State(spread=0.5)), simulate(State(spread=0.55))
    assert np.corrcoef(a.y, b.y)[0, 1] > 0.97
    np.testing.assert_array_equal(simulate(State(model="normal")).y, simulate(State()).y)


def test_state_to_scene_is_light():
    code = (
        "import sys; from mixedlab.labs.extra_variation import LAB; LAB.run(LAB.state()); "
        "print([m for m in ('pandas', 'formulaic', 'matplotlib', 'scipy.stats', 'scipy.optimize')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
