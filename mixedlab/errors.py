"""What mixedlab raises when a formula or a table cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike


class Separation(Protocol):
    """Which coefficients have no finite estimate, and in which rows."""

    message: str


class MixedlabError(ValueError):
    """Base class of the errors that mixedlab raises about its input."""


class FormulaError(MixedlabError):
    """A formula cannot be read. Shows the formula with a caret under the place.

    Parameters
    ----------
    message : str
        What is wrong and what to do.
    source : str, optional
        The formula as it was given.
    position : int, optional
        Where in ``source`` the trouble is, counted from 0.
    """

    def __init__(self, message: str, source: str | None = None, position: int | None = None):
        self.message, self.source, self.position = message, source, position
        if source is not None and position is not None:
            message = f"{message}\n\n    {source}\n    {' ' * position}^"
        elif source is not None:
            message = f"{message}\n\n    {source}"
        super().__init__(message)

    def __reduce__(self):
        # The default would rebuild from the finished message and lose the place.
        return type(self), (self.message, self.source, self.position)


class DataError(MixedlabError):
    """The data cannot be used with the formula: the message names the column or level."""


class PerfectFitError(DataError):
    """The model reproduces the response exactly: there is no residual variance to estimate."""


class SeparationError(DataError):
    """A coefficient has no finite estimate; ``separation`` says which and where."""

    def __init__(self, separation: Separation):
        self.separation = separation
        super().__init__(
            f"{separation.message} separation='warn' fits all the same: the other coefficients are "
            "then right, and the size and standard error of this one mean nothing."
        )

    def __reduce__(self):
        return type(self), (self.separation,)


class DataWarning(UserWarning):
    """Rows or columns were left out; the message counts and names them."""


class SeparationWarning(DataWarning):
    """A model was fitted although a coefficient has no finite estimate."""


class LaplaceWarning(UserWarning):
    """Laplace's approximation is too coarse for these data; the message gives the remedy."""


class ReplicationWarning(UserWarning):
    """Some replicates failed, or the run was stopped."""


def nearest(name: str, known: Iterable[object]) -> str:
    """Say which known name is meant: ``" Did you mean 'Days'?"`` or the known names."""
    known = [str(k) for k in known]
    lower = {k.lower(): k for k in reversed(known)}
    close = get_close_matches(str(name).lower(), list(lower), n=1, cutoff=0.6)
    if close:
        return f" Did you mean {lower[close[0]]!r}?"
    return f" There are: {listed(known)}." if known else ""


def listed(items: Iterable[object], at_most: int = 8) -> str:
    """Join items with commas, the first ``at_most`` of them."""
    items = [str(i) for i in items]
    more = f", ... ({len(items)} in all)" if len(items) > at_most else ""
    return ", ".join(items[:at_most]) + more


def first_rows(mask: ArrayLike, rows: Iterable[int] | None = None) -> str:
    """Name the first rows where ``mask`` holds: ``"rows 3, 17 (counted from 0)"``."""
    where = np.flatnonzero(mask)
    where = where if rows is None else np.asarray(rows)[where]
    return f"row{'s' if len(where) > 1 else ''} {listed(where, 5)} (counted from 0)"
