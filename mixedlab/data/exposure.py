"""Is what was added to the predictor of counts an exposure whose log was not taken?"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.formula import MixedFormula
from mixedlab.data.names import in_formula
from mixedlab.errors import DataWarning

Array = NDArray[np.float64]

_CLEARLY = 5.0  # difference of log-likelihoods
_VALUES = 15  # fewer may be those of a few groups that differ


def warn_of_raw_exposure(
    formula: MixedFormula,
    given: ArrayLike | str | None,
    offset: Array | None,
    values: dict[str, Array],
    y: Array,
) -> None:
    """Say where a column that was added to the predictor of counts looks like an exposure."""
    added = {part.as_column: values[part.code][:, 0] for part in formula.offsets if part.as_column}
    if offset is not None:
        added[given if isinstance(given, str) else ""] = offset
    for name, column in added.items():
        if raw_exposure(column, y):
            warnings.warn(
                f"{repr(name) if name else 'The offset'} goes from {column.min():g} to "
                f"{column.max():g} and is added to the linear predictor. With a log link an "
                "exposure enters by its log: write "
                f"offset(log({in_formula(name) if name else '...'})) in the formula.",
                DataWarning,
                stacklevel=4,
            )


def raw_exposure(offset: Array, y: Array) -> bool:
    """Whether the offset of counts looks like an exposure whose log was not taken.

    Whole numbers and large ones are no logs. Of others the counts tell: the likelihoods, given the
    total, of Poisson counts in proportion to the offset, to exp of it, and to nothing are compared.
    """
    if not len(offset) or np.ptp(offset) == 0 or (offset < 0).any():
        return False
    if (offset % 1 == 0).all() or offset.max() > 25:
        return True
    if (offset == 0).any() or np.unique(offset).size < _VALUES:
        return False
    raw, log = offset / offset.sum(), np.exp(offset - offset.max())
    others = y @ np.log(log / log.sum()), -y.sum() * np.log(y.size)
    gain = float(y @ np.log(raw) - max(others))
    expected = y.sum() * raw
    # Counts of groups vary more than Poisson's, and the likelihoods differ by as much more.
    excess = max(float(np.mean((y - expected) ** 2 / np.maximum(expected, 1e-300))), 1.0)
    return gain > _CLEARLY * excess
