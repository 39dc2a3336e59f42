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
from typing import Any

import anywidget
import traitlets as t

from mixedlab.labs.kit import front_end, protocol
from mixedlab.labs.kit.lab import Control, Lab
from mixedlab.labs.kit.scene import Scene
from mixedlab.labs.kit.shell import shell


class LabWidget(anywidget.AnyWidget):
    """A live lab. `make_widget` makes one; each lab has a subclass with a trait for each control.

    Attributes
    ----------
    state : dataclass
        The lab's state as it stands.
    scene : Scene
        What that state shows, as data.
    """

    _esm = front_end.script()
    _css = front_end.style()

    lab = t.Unicode().tag(sync=True)
    shell = t.Unicode().tag(sync=True)
    description = t.Dict().tag(sync=True)

    _lab: Lab

    def __init__(self, **state: Any) -> None:
        known = protocol.state_fields(self._lab)
        for name in state:
            if name not in known:
                nearest = get_close_matches(name, known, n=1)
                hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It has {', '.join(known)}."
                raise TypeError(f"The lab {self._lab.name!r} has no control {name!r}. {hint}")
        super().__init__(
            lab=self._lab.name,
            shell=shell(self._lab),
            description=protocol.describe(self._lab) | {"share": "python"},
            **state,
        )
        self.on_msg(self._answer)

    @property
    def state(self) -> Any:
        """The lab's state as it stands."""
        fields = protocol.state_fields(self._lab)
        return self._lab.clean({name: getattr(self, name) for name in fields})

    @property
    def scene(self) -> Scene:
        """What the state shows."""
        return self._lab.run(self.state)

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
