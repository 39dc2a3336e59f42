"""The bet: asked before the result shows, kept beside it, never graded, always answered.

Where the answer is a place, a number or a curve, the reader bets *in the picture*, with a handle
on an axis of a panel; where it is a choice, with buttons, each with the reason why one might
think so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Choice:
    """A choice among options, each ``(what, why one might think so)`` or only what.

    ``right`` is not said anywhere; `Scene.answer` gives the option's number, and tests hold that
    over all labs the right one stands in every place about equally often.
    """

    ask: str
    options: Sequence[tuple[str, str] | str]

    @property
    def labels(self) -> list[str]:
        """What stands on the buttons."""
        return [option if isinstance(option, str) else option[0] for option in self.options]

    @property
    def reasons(self) -> list[str]:
        """Why one might think so; empty where nothing is said."""
        return ["" if isinstance(option, str) else option[1] for option in self.options]


@dataclass(frozen=True)
class Place:
    """A place on an axis of a panel: a ghost handle that the reader drags and leaves.

    Attributes
    ----------
    ask : str
    panel : str
        Key of the panel, at best the hero.
    axis : {"x", "y"}
    low, high, step, start : float
        Where the handle may go, and where it stands at first: a place that says nothing.
    label : str
        What the handle is called, as in "false alarms".
    near : float
        How near to the answer is told as "close".
    unit : str
        Follows the number in words, as in " %".
    field : str
        A field of the state that the bet sets: then the reader bets with the lab's own gesture
        (a `Drag` that writes this field), and there is no other handle.
    across : float, optional
        Where the handle stands along the other axis; at the axis's end by default.
    """

    ask: str
    panel: str
    axis: Literal["x", "y"]
    low: float
    high: float
    step: float
    start: float
    label: str
    near: float
    unit: str = ""
    field: str = ""
    across: float | None = None


@dataclass(frozen=True)
class Curve:
    """A curve drawn by the reader: handles at the places ``at``, each moved up and down."""

    ask: str
    panel: str
    at: Sequence[float]
    low: float
    high: float
    step: float
    start: Sequence[float]
    label: str
    near: float
    unit: str = ""


Bet = Choice | Place | Curve


def bet_to_dict(bet: Bet) -> dict[str, Any]:
    """Return what the front end must know of a bet; ``kind`` is its class in lower case."""
    kind = type(bet).__name__.lower()
    if isinstance(bet, Choice):
        return {"kind": kind, "ask": bet.ask, "options": bet.labels, "reasons": bet.reasons}
    entry = {"kind": kind, **asdict(bet)}
    return {k: list(v) if isinstance(v, (tuple, list)) else v for k, v in entry.items()}
