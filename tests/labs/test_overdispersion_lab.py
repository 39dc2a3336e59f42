import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.overdispersion import GROUPS, LAB, ROWS, State, fit, simulate
from mixedlab.labs.overdispersion_panels import true_model
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
    early = {m.key for p in shown.panels for m in p.marks if m.stage == "data"}
    assert early == {"plain", "cells", "observed", "zero"}


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
    shown = run(kind="sizes", spread=1.0, model="conjugate")[2]
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
        said = re.search(r"\(SE\): (.*?)\. With", shown.outcome)[1].split("; ")
        assert len(said) == len(models)
        for text, (key, model) in zip(said, models.items(), strict=True):
            value, se = re.search(r"(\S+) \((\S+)\)$", text).groups()
            assert number(value) == pytest.approx(panel[key].x[0], abs=0.0051)
            bar = panel[f"bar-{key}"]
            assert number(se) == pytest.approx((bar.x1[0] - bar.x0[0]) / 3.92, abs=0.0051)
            assert model.name in text
        assert f"{sample.spread:.2f}" in shown.outcome_truth


def test_a_model_that_a_response_does_not_need_is_replaced_in_words():
    shown = run(kind="sizes", model="observation")[2]
    assert "a dispersion of its own" in shown.outcome
    assert "Drawn: gamma." in shown.outcome
    shown = run(kind="scores", model="conjugate")[2]
    assert "conjugate of a normal response is the normal" in shown.outcome
    values = LAB.replicate(State(kind="scores"), 0, 2)
    assert np.isnan(values["conjugate"]).all()
    assert np.isfinite(values["normal"]).all()


def test_a_control_that_moves_keeps_the_random_numbers():
    a, b = simulate(State(spread=0.5)), simulate(State(spread=0.55))
    assert np.corrcoef(a.y, b.y)[0, 1] > 0.97
    np.testing.assert_array_equal(simulate(State(model="normal")).y, simulate(State()).y)


def test_state_to_scene_is_fast_and_light():
    times = []
    for seed in range(20):
        start = time.perf_counter()
        LAB.run(State(seed=seed)).to_dict()
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.1, "three hierarchical models are fitted anew"
    code = (
        "import sys; from mixedlab.labs.overdispersion import LAB; LAB.run(LAB.state()); "
        "print([m for m in ('pandas', 'formulaic', 'matplotlib', 'scipy.stats', 'scipy.optimize')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
