"""What all scenarios share: parameters with units, and simulated data with their truth.

A scenario is a function whose parameters say their unit and range in their type::

    @scenario
    def hospitals(
        n_hospitals: Annotated[int, Parameter("hospitals", low=1)] = 30,
        sd_hospital: Annotated[float, Parameter("log odds", low=0)] = 0.8,
        *,
        seed: int = 1,
    ) -> Simulated: ...

The decorator checks each value against its parameter, so that every scenario refuses bad input in
the same words, and keeps the values with the result.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError, listed, nearest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Parameter:
    """What a number means: its unit and the range it may take (ends included).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.Parameter("share of 1", 0, 1)
    Parameter(unit='share of 1', low=0, high=1)
    """

    unit: str
    low: float = -np.inf
    high: float = np.inf


Probability = Annotated[float, Parameter("probability", 0, 1)]
Share = Annotated[float, Parameter("share of 1", 0, 1)]
Correlation = Annotated[float, Parameter("correlation", -1, 1)]


@dataclass(frozen=True)
class Simulated:
    """Simulated data and the truth behind them.

    Attributes
    ----------
    scenario : str
        Name of the generator.
    columns : dict of str to ndarray, shape (n,)
        The table, column by column. Groups are numbered from 0.
    units : dict of str to str
        Unit of each column that has one.
    truth : dict of str
        What the data were made from: coefficients, standard deviations, the effect of each group,
        and what theory says of the data (such as the intraclass correlation).
    matrices : dict of str to ndarray
        What is no column, such as genotypes (individuals by SNPs).
    parameters : dict of str
        The generator's arguments, ``seed`` included: the same ones give the same data.

    Examples
    --------
    >>> import mixedlab as ml
    >>> sim = ml.simulate.contamination(n_taxa=5, seed=1)
    >>> bool((sim.to_frame()["reads"] == sim["reads"]).all())
    True
    """

    scenario: str
    columns: Mapping[str, NDArray]
    truth: Mapping[str, Any]
    units: Mapping[str, str] = field(default_factory=dict)
    matrices: Mapping[str, NDArray] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray:
        """Return a column or a matrix by name."""
        for part in (self.columns, self.matrices):
            if name in part:
                return part[name]
        known = [*self.columns, *self.matrices]
        raise KeyError(f"{self.scenario} has no column {name!r}.{nearest(name, known)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in self.parameters.items())
        return f"<{self.scenario}({given}): {len(self)} rows of {', '.join(self.columns)}>"

    def to_frame(self) -> pd.DataFrame:
        """Return the columns as a pandas DataFrame; the units are in its ``attrs``."""
        import pandas as pd

        frame = pd.DataFrame(dict(self.columns))
        frame.attrs["units"] = dict(self.units)
        return frame


def scenario(make: Callable[..., Simulated]) -> Callable[..., Simulated]:
    """Check a generator's arguments against their types, and keep them with its result.

    The generator gets two attributes: ``units`` and ``ranges`` (low, high) by parameter.
    """
    signature = inspect.signature(make)
    hints = get_type_hints(make, include_extras=True)

    @functools.wraps(make)
    def checked(*args: Any, **kwargs: Any) -> Simulated:
        unknown = set(kwargs) - set(signature.parameters)
        if unknown:
            name = sorted(unknown)[0]
            raise MixedlabError(
                f"{make.__name__} has no parameter {name!r}.{nearest(name, signature.parameters)}"
            )
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = {
            name: _checked_value(make.__name__, name, value, hints[name])
            for name, value in bound.arguments.items()
        }
        made = make(**values)
        object.__setattr__(made, "parameters", values)
        return made

    numbers = {n: get_args(h)[1] for n, h in hints.items() if get_origin(h) is Annotated}
    checked.units = {name: parameter.unit for name, parameter in numbers.items()}
    checked.ranges = {name: (parameter.low, parameter.high) for name, parameter in numbers.items()}
    return checked


def _checked_value(scenario: str, name: str, value: Any, hint: Any) -> Any:
    """Return the value in its type, or say what it must be."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            options = listed(repr(a) for a in get_args(hint))
            raise MixedlabError(f"{scenario}: `{name}` is {value!r}; it must be one of {options}.")
        return value
    if get_origin(hint) is not Annotated:
        return value
    kind, parameter = get_args(hint)[:2]
    if kind is not int and kind is not float:  # one value, or one for each group
        if np.ndim(value):
            return tuple(
                _checked_value(scenario, f"{name}[{k}]", v, Annotated[int, parameter])
                for k, v in enumerate(value)
            )
        kind = int
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    whole = kind is not int or number == np.floor(number)
    if not (np.isfinite(number) and whole and parameter.low <= number <= parameter.high):
        what = "a whole number" if kind is int else "a number"
        raise MixedlabError(
            f"{scenario}: `{name}` is {value!r}; it must be {what}{_range(parameter)} "
            f"({parameter.unit})."
        )
    return kind(number)


def _range(parameter: Parameter) -> str:
    low, high = parameter.low, parameter.high
    if np.isfinite(low) and np.isfinite(high):
        return f" from {low:g} to {high:g}"
    if np.isfinite(low):
        return f" of at least {low:g}"
    return f" of at most {high:g}" if np.isfinite(high) else ""


def rows_of(sizes: int | tuple[int, ...], n_groups: int, what: str) -> tuple[NDArray, NDArray]:
    """Return the group of each row and its number within the group.

    ``sizes`` is one size for all groups or one for each; the numbers address the draws.
    """
    if isinstance(sizes, tuple) and len(sizes) != n_groups:
        raise MixedlabError(f"{len(sizes)} {what} were given for {n_groups} groups; give one each.")
    sizes = np.broadcast_to(sizes, n_groups)
    group = np.repeat(np.arange(n_groups), sizes)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return group, np.arange(group.size) - first
