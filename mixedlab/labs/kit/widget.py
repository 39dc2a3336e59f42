"""A lab in Jupyter: an anywidget whose traits are the lab's controls.

``widget.dial = 0.4`` moves the slider, ``widget.observe(f, "dial")`` hears the reader move it,
and ``ipywidgets.link`` ties it to any other widget.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets as t

from mixedlab.labs.kit import front_end, protocol
from mixedlab.labs.kit.lab import Control, Lab
from mixedlab.labs.kit.scene import Scene, Stage
from mixedlab.labs.kit.shell import shell
from mixedlab.labs.kit.still import page, still_html
from mixedlab.labs.kit.svg import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LabWidget(anywidget.AnyWidget):
    """A live lab. `make_widget` makes one; each lab has a subclass with a trait for each control.

    Attributes
    ----------
    state : dataclass
        The lab's state as it stands.
    scene : Scene
        What that state shows, as data.
    data, fits
        What the lab simulated for that state, and what it fitted.
    value : dict
        The state's fields by name: what ``interactive_output`` and ``observe`` take of a widget.
    """

    _esm = front_end.script()
    _css = front_end.style()

    lab = t.Unicode().tag(sync=True)
    shell = t.Unicode().tag(sync=True)
    description = t.Dict().tag(sync=True)
    value = t.Dict()

    _lab: Lab

    def __init__(self, **state: Any) -> None:
        known = protocol.state_fields(self._lab)
        for name in state:
            if name not in known:
                nearest = get_close_matches(name, known, n=1)
                hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It has {', '.join(known)}."
                raise TypeError(f"The lab {self._lab.name!r} has no control {name!r}. {hint}")
        at_first = self._lab.run(self._lab.state())
        super().__init__(
            lab=self._lab.name,
            shell=shell(self._lab, pictures(at_first, self._lab.name, self._lab.alt)),
            description=protocol.describe(self._lab) | {"share": "python"},
            **state,
        )
        self.value = asdict(self.state)
        self.observe(self._follow_fields, list(known))
        self.observe(self._follow_value, "value")
        self.on_msg(self._answer)

    def _follow_fields(self, _change: Any) -> None:
        self.value = asdict(self.state)

    @t.validate("value")
    def _clean_value(self, proposal: Any) -> dict[str, Any]:
        return asdict(self._lab.clean(proposal["value"]))

    def _follow_value(self, change: Any) -> None:
        with self.hold_trait_notifications():
            for name, value in change["new"].items():
                setattr(self, name, value)

    @property
    def state(self) -> Any:
        """The lab's state as it stands."""
        fields = protocol.state_fields(self._lab)
        return self._lab.clean({name: getattr(self, name) for name in fields})

    @property
    def scene(self) -> Scene:
        """What the state shows."""
        return self._lab.run(self.state)

    @property
    def data(self) -> Any:
        """What the lab simulated for its state."""
        return self._lab.simulate(self.state)

    @property
    def fits(self) -> Any:
        """What the lab fitted to its data."""
        return self._lab.fit(self.data)

    def figure(self, stage: Stage = "truth", width: float = 10.0) -> Figure:
        """Draw the lab as it stands with matplotlib; ``stage`` says how much is shown.

        Parameters
        ----------
        stage : {"data", "estimate", "truth"}
        width : float
            In inches.
        """
        from mixedlab.labs.kit.figure import figure

        return figure(self.scene, stage, width)

    def save(self, path: str | Path, stage: Stage = "truth") -> Path:
        """Save the lab's picture: ``.png``, ``.svg`` or ``.pdf``, or a page of its own, ``.html``.

        Raises
        ------
        ValueError
            Where the ending is none of these.
        """
        path = Path(path)
        if path.suffix == ".html":
            path.write_text(page(self._lab, self.scene), "utf-8")
        elif path.suffix in (".png", ".svg", ".pdf"):
            self.figure(stage).savefig(path, dpi=200)
        else:
            raise ValueError(
                f"A lab is saved as .png, .svg, .pdf or .html; {path.name!r} ends otherwise."
            )
        return path

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in asdict(self.state).items())
        return f"ml.lab({self._lab.name!r}, {fields})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add a still picture and its words, for readers without Python."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = f"Lab {self._lab.title!r}. {self._lab.alt}"
        data["text/html"] = still_html(self._lab, self.scene)
        return bundle

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        self.send(protocol.answer(message, self._lab))


def make_widget(lab: Lab, **state: Any) -> LabWidget:
    """Return a live lab with some of its controls set.

    Raises
    ------
    TypeError
        Where ``state`` names a control that the lab has not.
    traitlets.TraitError
        Where a value is of the wrong kind. A number outside its range is moved into it.
    """
    return _widget_class(lab)(**state)


@cache
def _widget_class(lab: Lab) -> type[LabWidget]:
    """Make the widget's class: its traits are the fields of the lab's state."""
    traits: dict[str, Any] = {"_lab": lab, "__module__": __name__}
    for name, default in asdict(lab.state()).items():
        if hasattr(LabWidget, name):
            raise ValueError(
                f"The lab {lab.name!r} has a control {name!r}, a name that widgets use themselves: "
                "choose another."
            )
        traits[name] = _trait(lab, name, default)
    camel = "".join(word.capitalize() for word in lab.name.split("-"))
    return type(f"{camel}Lab", (LabWidget,), traits)


class _Cleaned(t.TraitType):
    """A value that the lab itself cleans: checked for its kind, then moved into its range."""

    def __init__(self, lab: Lab, field: str, default: Any, control: Control | None) -> None:
        super().__init__(default)
        self.clean: Callable[[Any], Any] = lambda value: getattr(lab.clean({field: value}), field)
        self.field, self.control, self.kind = field, control, type(default)
        self.info_text = _what_it_takes(control)

    def validate(self, obj: t.HasTraits, value: Any) -> Any:
        if not self._is_right_kind(value):
            raise t.TraitError(f"{self.field!r} takes {self.info_text}, not {value!r}.")
        return self.clean(value)

    def _is_right_kind(self, value: Any) -> bool:
        if self.control is not None and self.control.kind == "choice":
            return value in [name for name, _ in self.control.options]
        if self.kind is bool:
            return isinstance(value, bool)
        try:
            return not isinstance(value, str) and math.isfinite(value)
        except TypeError:
            return False


def _trait(lab: Lab, field: str, default: Any) -> t.TraitType:
    return _Cleaned(lab, field, default, lab.controls.get(field)).tag(sync=True)


def _what_it_takes(control: Control | None) -> str:
    if control is None:
        return "a whole number"
    if control.kind == "choice":
        return "one of " + ", ".join(repr(name) for name, _ in control.options)
    if control.kind == "toggle":
        return "True or False"
    return f"a number from {control.low:g} to {control.high:g}"
