"""What every lab must stand: any state, without an exception, a lost number or a stray mark."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from mixedlab.labs import catalogue
from mixedlab.labs.kit import protocol
from mixedlab.labs.kit.lab import MAX_SEED, Control, Lab
from mixedlab.labs.kit.scene import Mark, Panel, Scene, coordinates, n_items
from mixedlab.labs.kit.shell import has_truth, legend_marks, shell
from tests.labs.stage_rules import check_stage

# On a busy machine the first example may be slow to draw; that is no fault of the test.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
REACH = 100  # axis lengths: what lies further beyond a panel's frame, which clips it, is a mistake


def check_lab(lab: Lab, n_random: int = 200, seed: int = 0) -> None:
    """Run a lab at every control's ends and at random states, and check each scene."""
    default = lab.run(lab.state())
    panels = [panel.key for panel in default.panels]
    named = [*(g.solution for g in lab.goals), lab.reveal]
    shown = [default, *(lab.run(lab.clean(state)) for state in named)]
    legend = {mark.name for mark in legend_marks(shown)}
    shell(lab)
    json.dumps(protocol.describe(lab), allow_nan=False)
    for state in itertools.chain(end_states(lab), random_states(lab, n_random, seed)):
        try:
            scene = lab.run(state)
            check_scene(scene, panels)
            names = {m.name for p in scene.panels for m in p.marks if m.name}
            assert names <= legend, f"not in the legend: {names - legend}"
            assert has_truth([scene]) <= has_truth(shown), "a truth appears without its button"
            for panel in scene.panels:
                check_drags(panel, lab)
        except Exception as error:
            raise AssertionError(f"{lab.name} at {state}: {error}") from error
    if lab.statistics:
        check_replicates(lab)
    if lab.name in catalogue.names():  # not the kit's own, which shows every mark and no surprise
        ends = list(end_states(lab))
        check_stage(lab, [*ends[:8], *random_states(lab, 12, seed)])


def end_states(lab: Lab) -> Iterator[Any]:
    """All controls at their ends, one at a time and all together."""
    default = lab.state()
    ends = {name: _ends(control) for name, control in lab.controls.items()}
    for name, values in ends.items():
        for value in values:
            yield lab.clean(asdict(replace(default, **{name: value})))
    for together in itertools.islice(itertools.product(*ends.values()), 64):
        yield lab.clean(dict(zip(ends, together, strict=True)))


def random_states(lab: Lab, count: int, seed: int) -> Iterator[Any]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        raw = {name: _draw(control, rng) for name, control in lab.controls.items()}
        yield lab.clean({**raw, "seed": int(rng.integers(MAX_SEED))})


def check_scene(scene: Scene, panels: list[str] | None = None) -> None:
    """Check one scene: finite, inside its panels, keyed, and told in words with figures."""
    assert scene.summary.strip(), "no summary"
    assert re.search(r"\d", scene.summary), f"no figure in the summary: {scene.summary!r}"
    keys = [panel.key for panel in scene.panels]
    assert len(set(keys)) == len(keys), f"two panels with one key: {keys}"
    assert panels is None or keys == panels, f"panels {keys} instead of {panels}"
    json.dumps(scene.to_dict(), allow_nan=False)
    for panel in scene.panels:
        check_panel(panel)


def check_panel(panel: Panel) -> None:
    marks = [mark.key for mark in panel.marks]
    assert len(set(marks)) == len(marks), f"two marks with one key in {panel.key!r}: {marks}"
    assert panel.x.low < panel.x.high, f"empty x axis: {panel.x}"
    assert panel.y.low < panel.y.high, f"empty y axis: {panel.y}"
    for mark in panel.marks:
        for name, along in coordinates(mark).items():
            numbers = flat(getattr(mark, name))
            assert np.all(np.isfinite(numbers)), f"{mark.key!r} has a {name} that is not finite"
            axis = getattr(panel, along)
            far = REACH * (axis.high - axis.low)
            outside = (numbers < axis.low - far) | (numbers > axis.high + far)
            assert not outside.any(), (
                f"{mark.key!r} has {name} {numbers[outside][:3]} far from {axis.low} to {axis.high}"
            )
        check_items(mark)


def check_items(mark: Mark) -> None:
    n = n_items(mark)
    if mark.keys is not None:
        assert len(mark.keys) == n, f"{mark.key!r}: {len(mark.keys)} keys for {n} items"
        assert len(set(mark.keys)) == n, f"{mark.key!r}: two items with one key"
    for name in ("hover", "drag", "text"):
        given = getattr(mark, name, None)
        assert given is None or len(given) == n, f"{mark.key!r}: {len(given)} {name} for {n} items"


def check_drags(panel: Panel, lab: Lab) -> None:
    for mark in panel.marks:
        for drag in getattr(mark, "drag", None) or ():
            if drag is None:
                continue
            moved = [field for field in (drag.x, drag.y) if field]
            known = {*lab.controls, "seed"}
            assert {*moved, *drag.sets} <= known, f"{mark.key!r} drags what is no control: {drag}"
            assert all(lab.controls[field].step for field in moved), f"{drag} has no step"
            assert drag.label, f"{mark.key!r}: a drag needs a label"


def check_replicates(lab: Lab) -> None:
    """Replicates give a number for each statistic, the same ones each time, and a sound panel."""
    state = lab.state()
    values = lab.replicate(state, 0, 3)
    assert set(values) == {s.name for s in lab.statistics}
    for name, v in lab.replicate(state, 1, 2).items():
        np.testing.assert_allclose(v, values[name][1:], rtol=1e-9)
    answer = protocol.answer({"kind": "replicate", "state": asdict(state), "count": 3}, lab)
    assert answer["kind"] == "replicate", answer.get("message")
    assert lab.measure or lab.measure_many
    if lab.measure and lab.measure_many:
        one_by_one = replace(lab, measure_many=None).replicate(state, 0, 3)
        for name, v in values.items():
            # A generalized fit's maximum is no sharper than this.
            np.testing.assert_allclose(one_by_one[name], v, rtol=1e-4, atol=1e-5)
    if lab.truth_of:
        assert set(lab.truth_of(state)) <= {s.name for s in lab.statistics}


def flat(values: Any) -> np.ndarray:
    if not isinstance(values, (list, tuple)):
        return np.ravel(np.asarray(values, dtype=float))
    return np.concatenate([flat(v) for v in values]) if len(values) else np.array([])


def _ends(control: Control) -> list[Any]:
    if control.kind == "choice":
        return [name for name, _ in control.options]
    return [False, True] if control.kind == "toggle" else [control.low, control.high]


def _draw(control: Control, rng: np.random.Generator) -> Any:
    if control.kind in ("choice", "toggle"):
        return _ends(control)[rng.integers(len(_ends(control)))]
    return float(rng.uniform(control.low, control.high))
