"""What a reader does with a lab, the same in the book and in JupyterLab.

The steps find everything by the ``data-ml`` attributes (``front/PROTOCOL.md``), and hold what the
browser shows against what Python's own lab says of the same state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import Locator, Page, expect

from mixedlab.labs import catalogue
from mixedlab.labs.kit.bet import Choice
from mixedlab.labs.kit.lab import Lab

LIVE_WITHIN = 60_000  # ms; generous, for busy machines: how fast it is, benchmarks/ says

# Runs in every page before its own scripts: keeps the last state and scene of each lab.
RECORD = """
addEventListener("ml-drawn", (event) => { event.target.mlDrawn = event.detail; }, true);
"""
# The middles of all marks' items on the screen, by panel, mark and item.
MIDDLES = """
(root) => Object.fromEntries([...root.querySelectorAll("[data-ml=panel]")].filter(
  (panel) => panel.querySelector(".ml-plot").clientHeight // a helper may be folded
).map((panel) => [
  panel.dataset.panel,
  Object.fromEntries([...panel.querySelectorAll("g[data-mark]")].map((group) => [
    group.dataset.mark,
    Object.fromEntries([...group.children].map((el) => {
      const box = el.getBoundingClientRect();
      return [el.dataset.item, [(box.left + box.right) / 2, (box.top + box.bottom) / 2]];
    })),
  ])),
]))
"""
STAGES = ("data", "estimate", "truth")


def into_view(place: Locator) -> None:
    """Scroll a place into view at once.

    Playwright's own scrolling waits until a place stands still for two frames, which a busy
    machine without a screen may not draw for seconds; nothing in a lab moves as it stands.
    """
    place.evaluate("(el) => el.scrollIntoView({ block: 'nearest', behavior: 'instant' })")


class OpenLab:
    """A lab that stands live on a page."""

    def __init__(self, root: Locator) -> None:
        self.root = root
        self.page: Page = root.page
        into_view(root)
        expect(root).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
        self.lab: Lab = catalogue.get(root.get_attribute("data-lab"))

    def part(self, name: str) -> Locator:
        """Return the element with this hook."""
        return self.root.locator(f'[data-ml="{name}"]')

    @property
    def stage(self) -> str:
        """How much is revealed: data, estimate or truth."""
        return self.root.get_attribute("data-stage")

    def sliders(self) -> list[str]:
        """Return the fields that are set by a slider."""
        return [name for name, c in self.lab.controls.items() if c.kind == "slider"]

    def slider(self, field: str) -> Locator:
        """Return a field's slider."""
        return self.root.locator(f'[data-field="{field}"] [data-ml="slider"]')

    def value(self, field: str) -> float:
        """Return what a field's slider stands at."""
        return float(self.slider(field).input_value())

    def drawn(self) -> dict[str, Any] | None:
        """Return the state and the scene that were drawn last."""
        return self.root.evaluate("root => root.mlDrawn")

    def settled(self, wanted: Callable[[dict], bool]) -> dict[str, Any]:
        """Wait for a scene whose state is as wanted; return state and scene as drawn last."""
        for _ in range(400):
            last = self.drawn()
            if last and wanted(last["state"]):
                return last
            self.page.wait_for_timeout(25)
        raise AssertionError(f"no scene for the wanted state; last was {last and last['state']}")

    # ---------------------------------------------------------------- steps

    def answer_the_gate(self) -> None:
        """Nothing of the result shows before the bet; the bet stays beside it after."""
        assert self.stage == "data"
        for mark in self.root.locator(".ml-plot .ml-stage-estimate").all():
            expect(mark).to_be_hidden()
        expect(self.part("headline")).to_be_empty()
        if isinstance(self.lab.question, Choice):
            option = self.part("option").nth(1)
            words = self.lab.question.labels[1]
            option.click()
            expect(option).to_have_attribute("aria-pressed", "true")
            expect(self.part("said")).to_contain_text(words.rstrip("."))
        else:
            handle = self.part("bet").first
            handle.focus()
            before = handle.get_attribute("aria-valuenow")
            handle.press("ArrowUp")
            expect(self.part("bet").first).not_to_have_attribute("aria-valuenow", before)
            self.part("bet-done").click()
            expect(self.part("said")).to_contain_text("Your bet")
        expect(self.root).to_have_attribute("data-stage", "estimate")
        expect(self.part("outcome-text")).not_to_be_empty()

    def open_fold(self, name: str) -> None:
        """Open one of the boxes over the picture: more, menu or goals."""
        fold = self.part(name)
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()

    def close_folds(self) -> None:
        """Close the boxes over the picture."""
        self.root.evaluate(
            "(root) => root.querySelectorAll('.ml-fold').forEach((f) => f.open = false)"
        )

    def reach(self, field: str) -> None:
        """Open the box of further controls where a control is in it."""
        if field not in self.lab.main_controls:
            self.open_fold("more")

    def show_the_truth(self) -> None:
        """The third stage comes when it is asked for, and can be taken back."""
        truth = self.part("truth")
        if not truth.count():
            return
        for mark in self.root.locator(".ml-plot .ml-stage-truth").all():
            expect(mark).to_be_hidden()
        truth.click()
        expect(self.root).to_have_attribute("data-stage", "truth")
        truth.click()
        expect(self.root).to_have_attribute("data-stage", "estimate")
        truth.click()

    def drag_slider(self, field: str) -> None:
        """Drag a slider's thumb with the mouse to another place; the scene follows."""
        self.reach(field)
        slider, control = self.slider(field), self.lab.controls[field]
        into_view(slider)
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        share = (self.value(field) - control.low) / (control.high - control.low)
        goal = 0.2 if share > 0.5 else 0.8
        thumb = 24  # px, as in lab.css
        at = lambda part: box["x"] + thumb / 2 + part * (box["width"] - thumb)  # noqa: E731
        self.page.mouse.move(at(share), middle)
        self.page.mouse.down()
        for part in np.linspace(share, goal, 12):
            self.page.mouse.move(at(part), middle)
        self.page.mouse.up()
        reached = self.value(field)
        at_last = (reached - control.low) / (control.high - control.low)
        assert abs(at_last - goal) < 0.1, f"{field}: {at_last:.2f} of its range, not {goal}"
        self.assert_scene_is_pythons(self.settled(lambda s: math.isclose(s[field], reached)))

    def press_arrow(self, field: str) -> None:
        """One press of an arrow key is one step of the control."""
        self.reach(field)
        slider, control = self.slider(field), self.lab.controls[field]
        before = self.value(field)
        key, sign = ("ArrowLeft", -1) if before + control.step > control.high else ("ArrowRight", 1)
        slider.focus()
        self.page.keyboard.press(key)
        after = self.value(field)
        assert math.isclose(after, before + sign * control.step, abs_tol=1e-9)
        self.assert_scene_is_pythons(self.settled(lambda s: math.isclose(s[field], after)))

    def assert_scene_is_pythons(self, drawn: dict[str, Any]) -> None:
        """What was drawn is what Python here says of the same state, mark by mark."""
        own = self.lab.run(self.lab.clean(drawn["state"])).to_dict()
        assert_same(drawn["scene"], own, "scene")
        shown = STAGES[: STAGES.index(self.stage) + 1]
        middles = self.root.evaluate(MIDDLES)
        for panel in own["panels"]:
            for mark in panel["marks"] if middles.get(panel["key"]) else ():
                places = middles[panel["key"]][mark["key"]]
                if mark["kind"] == "dots" and mark["stage"] in shown:
                    keys = mark["keys"] or map(str, range(len(mark["x"])))
                    pixels = np.array([places[key] for key in keys]).reshape(-1, 2)
                    assert_linear(mark["x"], mark["y"], pixels, mark["key"])

    def replicate_and_stop(self) -> None:
        """Fifty samples come in; of five hundred more, a stop leaves the rest undrawn."""
        if not self.part("replicate").count():
            return
        count = self.part("count")
        self.root.locator('[data-ml="replicate"][data-count="50"]').click()
        expect(count).to_have_text("50", timeout=LIVE_WITHIN)
        expect(self.part("replicate-panel")).to_be_visible()
        expect(self.part("stop")).to_be_disabled()
        # Some labs draw 500 samples before a hand can reach the button: stop at the first sign.
        count.evaluate(
            """(count, stop) => {
              const pressed = new MutationObserver(() => {
                if (count.textContent !== "50") { pressed.disconnect(); stop.click(); }
              });
              pressed.observe(count, { childList: true, characterData: true, subtree: true });
            }""",
            self.part("stop").element_handle(),
        )
        self.root.locator('[data-ml="replicate"][data-count="500"]').click()
        expect(count).not_to_have_text("50", timeout=LIVE_WITHIN)
        self.page.wait_for_timeout(300)
        stopped = int(count.inner_text())
        assert 50 < stopped < 550, "the stop came too late to show anything"
        self.page.wait_for_timeout(500)
        assert int(count.inner_text()) == stopped

    def step_back_and_reset(self) -> None:
        """Step back undoes the last change; reset goes to the start."""
        field = self.sliders()[0]
        before = self.value(field)
        self.press_arrow(field)
        self.open_fold("menu")
        self.part("back").click()
        self.settled(lambda s: math.isclose(s[field], before))
        assert math.isclose(self.value(field), before)
        self.part("reset").click()
        start = getattr(self.lab.state(), field)
        self.settled(lambda s: math.isclose(s[field], start))

    def try_goals(self) -> None:
        """Every goal's solution can be shown, and is ticked."""
        for i, goal in enumerate(self.lab.goals):
            self.open_fold("goals")
            place = self.root.locator(f'[data-ml="goal"][data-goal="{i}"]')
            place.locator("[data-ml=solve]").click()
            self.settled(lambda s, goal=goal: all(s[f] == v for f, v in goal.solution.items()))
            expect(place).to_have_attribute("data-met", "true")
            self.open_fold("menu")
            self.part("reset").click()

    def move_a_handle(self) -> None:
        """What can be dragged in the picture follows the mouse and the keys."""
        handles = self.root.locator(".ml-panels .ml-handle[tabindex='0']:visible")
        if not handles.count():
            return
        self.close_folds()
        handle = handles.first
        into_view(handle)
        before = handle.get_attribute("aria-valuetext")
        handle.focus()
        key = "ArrowLeft" if at_end(handle) else "ArrowRight"
        self.page.keyboard.press(key)
        expect(handle).not_to_have_attribute("aria-valuetext", before)

        before = handle.get_attribute("aria-valuetext")
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        sign = -1 if float(handle.get_attribute("aria-valuenow")) > middle_of(handle) else 1
        for way in (sign, -sign):  # on some axes the field grows to the left
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            for step in range(1, 9):
                self.page.mouse.move(x + 6 * way * step, y - 6 * way * step)
            self.page.mouse.up()
            self.page.wait_for_timeout(200)
            if handle.get_attribute("aria-valuetext") != before:
                break
        expect(handle).not_to_have_attribute("aria-valuetext", before)
        self.page.wait_for_timeout(200)
        self.assert_scene_is_pythons(self.drawn())

    def copy_link(self) -> str:
        """Press the button that copies the state; return what it copied."""
        copied = self.page.evaluate_handle(
            "() => ({ text: new Promise((resolve) => {"
            "  navigator.clipboard.writeText = async (text) => resolve(text); }) })"
        )
        self.open_fold("menu")
        self.part("share").click()
        return copied.evaluate("(copied) => copied.text")

    def new_sample(self) -> None:
        """A new sample changes the seed and nothing else."""
        before = self.drawn()["state"]
        self.part("new-sample").click()
        after = self.settled(lambda s: s["seed"] != before["seed"])
        assert {**after["state"], "seed": before["seed"]} == before
        self.assert_scene_is_pythons(after)


def middle_of(handle: Locator) -> float:
    """Return the middle of a handle's range."""
    ends = (handle.get_attribute("aria-valuemin"), handle.get_attribute("aria-valuemax"))
    return sum(map(float, ends)) / 2


def at_end(handle: Locator) -> bool:
    """Whether a handle stands at the upper end of its range."""
    return handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")


def assert_same(found: Any, wanted: Any, where: str) -> None:
    """Compare plain data, numbers to 1e-6.

    Cells of a heat map may be shares of simulated draws: there a comparison that the last bit
    decides may fall either way, and a few draws in a thousand are granted.
    """
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for key in wanted:
            if wanted.get("kind") == "cells" and key == "values":
                np.testing.assert_allclose(found[key], wanted[key], rtol=1e-6, atol=3e-3)
            else:
                assert_same(found[key], wanted[key], f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    elif isinstance(wanted, float):
        # Places are rounded: where the last bit decides, the last digit may be the next.
        unit = 10.0 ** -len(repr(wanted).partition(".")[2])
        close = math.isclose(found, wanted, rel_tol=1e-6, abs_tol=max(1e-9, 1.01 * unit))
        assert close, (where, found, wanted)
    else:
        assert found == wanted, where


def assert_linear(x: list[float], y: list[float], pixels: np.ndarray, key: str) -> None:
    """The dots stand where their numbers say: pixels are a linear function of the numbers."""
    assert len(pixels) == len(x), key
    if not len(x):
        return
    for numbers, places in ((np.asarray(x), pixels[:, 0]), (np.asarray(y), pixels[:, 1])):
        if np.ptp(numbers) > 0:
            scaled = (numbers - numbers.min()) / np.ptp(numbers)
            slope, start = np.polyfit(scaled, places, 1)
            places = places - (start + slope * scaled)
        assert np.ptp(places) < 2.0, (key, places)
