import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.labs.shrinkage import (
    HIGH,
    LAB,
    LOW,
    N_HOSPITALS,
    OTHERS,
    SD_PATIENT,
    YOURS,
    State,
    centre,
    fit,
    measure,
    shrunken,
    simulate,
)
from mixedlab.simulate.patients_in_hospitals import hospitals
from tests.labs.fuzz import check_lab


def marks(scene, panel):
    return {mark.key: mark for mark in scene.panels[panel].marks}


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def rebuild(state):
    """The patients behind a state as a table; the picked hospital moved to the mean set."""
    stays = simulate(state)
    drawn = hospitals(
        N_HOSPITALS,
        tuple(stays.size.tolist()),
        intercept=30.0,
        slope=0.0,
        sd_hospital=state.spread,
        sd_patient=SD_PATIENT,
        outcome="continuous",
        seed=state.seed,
    )
    table = pd.DataFrame({"stay": drawn["stay"], "hospital": drawn["hospital"]})
    own = table.groupby("hospital")["stay"].transform("mean")
    table["stay"] += stays.mean[table["hospital"]] - own
    return stays, table


@pytest.mark.parametrize(
    "state",
    [State(), State(seed=8, spread=1.5, size=7, mean=22), State(seed=5, spread=4)],
)
def test_the_model_s_penalty_and_pull_are_those_of_the_fitted_mixed_model(state):
    stays, table = rebuild(state)
    fitted = ml.lmm("stay ~ 1 + (1 | hospital)", table)
    between, within = fitted.varcorr["vcov"]
    penalty = fit(stays)
    assert penalty == pytest.approx(within / between, rel=1e-3)
    assert centre(stays, penalty) == pytest.approx(fitted.fixef.iloc[0], abs=1e-4)
    blups = fitted.fixef.iloc[0] + fitted.ranef["hospital"].iloc[:, 0].to_numpy()
    np.testing.assert_allclose(shrunken(stays, penalty), blups, atol=1e-3)


def test_a_variance_of_zero_pulls_all_the_way():
    state = next(
        s
        for s in (State(seed=k, spread=0, mean=30) for k in range(30))
        if math.isinf(fit(simulate(s)))
    )
    stays, table = rebuild(state)
    assert ml.lmm("stay ~ 1 + (1 | hospital)", table).singular
    assert np.ptp(shrunken(stays, math.inf)) < 1e-12
    assert "estimates without end" in LAB.run(state).outcome_truth


def test_the_surprise_large_and_extreme_hardly_moves():
    stays = simulate(State())
    pulled = shrunken(stays, 4.0)
    moved = np.abs(pulled - stays.mean)
    assert np.abs(stays.mean - centre(stays, 4.0)).argmax() == YOURS
    assert moved[YOURS] < 1
    assert stays.size[moved.argmax()] == 3
    assert moved.max() > 4
    small = simulate(State(size=3))
    assert np.abs(shrunken(small, 4.0) - small.mean).argmax() == YOURS


def lengths(scene):
    """How long each rubber band of the picture is, in days."""
    return np.abs(np.diff(np.asarray(marks(scene, 0)["bands"].x), axis=1)[:, 0])


def test_the_surprise_is_seen_the_far_dot_stays_and_a_small_one_flies():
    scene = LAB.run(State())
    moved, own = lengths(scene), marks(scene, 0)["own"]
    bands, pulled = (marks(scene, 0)[key] for key in ("bands", "pulled"))
    assert bands.stage == pulled.stage == "estimate"
    assert bands.starts_from == pulled.starts_from == "own"
    centre = marks(scene, 0)["centre"].x[0][0]
    assert np.abs(np.asarray(own.x) - centre).argmax() == YOURS
    # The far dot moves by less than a fiftieth of the picture, a small one by a tenth.
    assert moved[YOURS] < 0.02 * (HIGH - LOW)
    assert moved.max() > 0.1 * (HIGH - LOW)
    assert own.y[moved.argmax()] == scene.answer == 3
    # One drag down: the same distance, three patients, and it moves furthest.
    small = LAB.run(State(size=3))
    assert lengths(small).argmax() == YOURS
    assert lengths(small)[YOURS] > 5 * moved[YOURS]


def test_nothing_before_the_bet_says_who_keeps_what():
    seen = [mark for mark in marks(LAB.run(State()), 0).values() if mark.stage == "data"]
    assert {mark.key for mark in seen} == {"centre", "own", "yours"}
    told = " ".join(c.help + c.label for c in LAB.controls.values())
    assert "keeps" not in told
    assert "n /" not in told


def test_the_other_outcomes():
    def typical(**state):
        values = LAB.replicate(State(**state), 0, 60)
        return {name: np.mean(v) for name, v in values.items()}

    usual = typical()
    assert usual["yours"] < usual["none"] < usual["complete"]
    assert usual["model"] < 1.06 * usual["yours"]
    hurts = typical(spread=4, penalty=60)
    assert hurts["yours"] > 1.3 * hurts["none"]
    alike = typical(spread=0, penalty=60, mean=31)
    assert alike["yours"] < 0.5 * alike["none"]


def test_penalty_product_and_weight_meet_in_one_place():
    for state in (State(), State(size=3, penalty=20), State(mean=15, size=8, penalty=0.5)):
        scene = LAB.run(state)
        pull, penalty, product = (marks(scene, k) for k in range(3))
        mu = pull["centre"].x[0][0]
        w = state.size / (state.size + state.penalty)
        estimate = mu + w * (state.mean - mu)
        assert pull["pulled"].x[YOURS] == pytest.approx(estimate)
        assert penalty["least"].x[0] == pytest.approx(estimate)
        lowest = penalty["sum"].x[0][np.argmin(penalty["sum"].y[0])]
        assert lowest == pytest.approx(estimate, abs=0.4)
        peak = product["product"].x[0][np.argmax(product["product"].y[0])]
        assert peak == pytest.approx(estimate, abs=0.4)
        kept, given_up = (product[k].x1[0] - product[k].x0[0] for k in ("kept", "given up"))
        assert kept / (kept + given_up) == pytest.approx(w)
        assert f"{w:.0%}" in product["weight"].text[0]
        assert f"{w:.0%}" in scene.summary
        assert f"{estimate:.1f}" in scene.summary


def test_the_sum_is_misfit_plus_penalty_and_the_product_their_exponential():
    state = State(size=6, mean=36, penalty=9)
    scene = LAB.run(state)
    x = np.linspace(30, 36, 7)
    at = {}
    for panel, key in (
        (1, "misfit"),
        (1, "penalty"),
        (1, "sum"),
        (2, "likelihood"),
        (2, "prior"),
        (2, "product"),
    ):
        line = marks(scene, panel)[key]
        value = line.y[0] if panel == 1 else np.log(np.maximum(line.y[0], 1e-300))
        at[key] = np.polyval(np.polyfit(line.x[0], value, 2), x)
    np.testing.assert_allclose(at["sum"], at["misfit"] + at["penalty"], atol=1e-6)
    product = at["likelihood"] + at["prior"]
    np.testing.assert_allclose(np.diff(product), np.diff(at["product"]), atol=1e-6)
    scale = -(state.size + state.penalty) / (2 * SD_PATIENT**2)
    np.testing.assert_allclose(np.diff(at["product"]), scale * np.diff(at["sum"]), atol=1e-6)


def test_the_penalty_moves_estimates_only_and_dragging_keeps_the_others():
    a, b = simulate(State(penalty=4)), simulate(State(penalty=40))
    np.testing.assert_array_equal(a.mean, b.mean)
    dragged = simulate(State(mean=20, size=9))
    np.testing.assert_array_equal(a.mean[OTHERS], dragged.mean[OTHERS])
    assert (dragged.mean[YOURS], dragged.size[YOURS]) == (20, 9)


def test_the_reader_s_hospital_is_dragged_in_all_three_pictures():
    scene = LAB.run(State())
    drags = [marks(scene, 0)["yours"].drag, *(marks(scene, k)["yours"].drag for k in (1, 2))]
    assert [(d.x, d.y) for (d,) in drags] == [("mean", "size"), ("mean", None), ("mean", None)]


def test_the_reader_s_hospital_does_not_count_in_errors():
    near, far = (measure(s, simulate(s), 4.0)["none"] for s in (State(mean=30), State(mean=HIGH)))
    assert near == far


def test_words_and_marks_agree():
    for state in (State(), State(seed=11, penalty=12, size=2, mean=LOW)):
        scene = LAB.run(state)
        pull = marks(scene, 0)
        moved = np.abs(np.asarray(pull["pulled"].x) - pull["own"].x)
        assert f"Hospital {moved.argmax() + 1} moves most" in scene.outcome
        own, new = (
            float(v) for v in re.search(r"from ([\d.]+) to ([\d.]+)", scene.outcome).groups()
        )
        assert own == pytest.approx(pull["own"].x[moved.argmax()], abs=0.051)
        assert new == pytest.approx(pull["pulled"].x[moved.argmax()], abs=0.051)
        error = measure(state, simulate(state), fit(simulate(state)))
        assert f"own means {error['none']:.2f} days" in scene.outcome_truth


def test_the_lab_needs_numpy_alone():
    code = (
        "import sys; from mixedlab.labs.shrinkage import LAB; "
        "LAB.run(LAB.state()); LAB.replicate(LAB.state(), 0, 2); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
