"""Published tables by name: what they hold, where they come from, and a fit to reproduce.

The tables and ``registry.toml``, which says what each column means, are in ``tables/``.
"""

from __future__ import annotations

import gzip
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mixedlab.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

_TABLES = files("mixedlab.data") / "tables"


@dataclass(frozen=True)
class Column:
    """What one column holds.

    ``levels`` are a factor's levels, baseline first. ``group`` marks a grouping factor, whose
    labels name units and are never calculated with.
    """

    about: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    group: bool = False

    @property
    def is_factor(self) -> bool:
        """Whether the column is read as labels rather than numbers."""
        return self.group or bool(self.levels)


@dataclass(frozen=True)
class PublishedFit:
    """A fit that others published or computed, rounded as they give it.

    Attributes
    ----------
    model : str
        The public function that makes it, ``"lmm"``; another method where ``figures`` are given.
    formula : str
    options : mapping
        Its keyword arguments.
    fixef, sd : mapping
        Coefficients, and standard deviations of the random part by grouping factor.
    criterion : float or None
        -2 log-likelihood, or the REML criterion.
    figures : mapping
        The results of a method that is no model of the package, by name.
    where : str
        Who published it.
    """

    model: str
    formula: str
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fixef: Mapping[str, float] = field(default_factory=dict)
    sd: Mapping[str, float] = field(default_factory=dict)
    criterion: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.figures:
            lines = [f"A known result: {self.model} of {self.formula}"]
        else:
            options = "".join(f", {key}={value!r}" for key, value in self.options.items())
            lines = [f'A known fit: ml.{self.model}("{self.formula}", df{options})']
        sds = {f"sd of {key}": value for key, value in self.sd.items()}
        lines += [f"  {k} = {v:g}" for k, v in {**self.fixef, **sds, **self.figures}.items()]
        return "\n".join([*lines, f"  Source: {self.where}"])


@dataclass(frozen=True)
class Dataset:
    """One table of the registry, described."""

    name: str
    title: str
    source: str
    licence: str
    file: str
    sha256: str
    rows: int
    columns: Mapping[str, Column]
    fit: PublishedFit | None = None

    def csv(self) -> bytes:
        """Return the table as the bytes of its csv, unpacked; ``sha256`` is theirs."""
        raw = (_TABLES / self.file).read_bytes()
        return gzip.decompress(raw) if self.file.endswith(".gz") else raw

    def __str__(self) -> str:
        width = max(map(len, self.columns))
        lines = [f"{self.name}: {self.title}", f"{self.rows} rows", ""]
        for name, column in self.columns.items():
            kind = f" [{column.unit}]" if column.unit else ""
            kind = " (grouping factor)" if column.group else kind
            kind = f" (factor: {', '.join(column.levels)})" if column.levels else kind
            lines.append(f"  {name:<{width}}  {column.about}{kind}")
        lines += ["", f"Source: {self.source}", f"Licence: {self.licence}"]
        if self.fit is not None:
            lines += ["", str(self.fit)]
        return "\n".join(lines)

    __repr__ = __str__


@cache
def registry() -> dict[str, Dataset]:
    """Return every data set of the package by name."""
    raw = tomllib.loads((_TABLES / "registry.toml").read_text(encoding="utf-8"))
    licences = raw.pop("licences")
    entries = {}
    for name, entry in raw.items():
        columns = {
            key: Column(**{**value, "levels": tuple(value.get("levels", ()))})
            for key, value in entry.pop("columns").items()
        }
        fit = PublishedFit(**entry.pop("fit")) if "fit" in entry else None
        entry["licence"] = licences[entry["licence"]]
        entries[name] = Dataset(name=name, columns=columns, fit=fit, **entry)
    return entries


def load(name: str) -> pd.DataFrame:
    """Load one of the published tables that come with mixedlab.

    Parameters
    ----------
    name : str
        ``"sleepstudy"``, for example. ``ml.datasets()`` lists them and ``ml.datasets(name)``
        says what each column holds.

    Returns
    -------
    DataFrame
        A fresh copy. Factors and grouping factors are categorical, with string labels, also
        where the labels are digits (``"308"``): a subject's number is a name. A factor's first
        level is the baseline.

    Raises
    ------
    DataError
        If there is no table of that name; names the nearest.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.load("sleepstudy").head(3)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    2  250.8006     2     308
    """
    import pandas as pd

    dataset = _find(name)
    factors = {key: column for key, column in dataset.columns.items() if column.is_factor}
    frame = pd.read_csv(BytesIO(dataset.csv()), dtype=dict.fromkeys(factors, str))
    for key, column in factors.items():
        levels = column.levels or sorted(frame[key].unique(), key=_as_number_or_text)
        frame[key] = pd.Categorical(frame[key], categories=list(levels))
    return frame


def datasets(name: str | None = None) -> pd.DataFrame | Dataset:
    """List the published tables, or describe one of them.

    Parameters
    ----------
    name : str, optional
        Describe this table: columns with units, source, licence, and a fit to reproduce.

    Returns
    -------
    DataFrame or Dataset
        Without a name, one row a table: title, rows, columns, grouping factors, source.

    Examples
    --------
    >>> import mixedlab as ml
    >>> "sleepstudy" in ml.datasets().index
    True
    >>> ml.datasets("dyestuff").rows
    30
    """
    if name is not None:
        return _find(name)
    import pandas as pd

    rows = [
        {
            "name": d.name,
            "title": d.title,
            "rows": d.rows,
            "columns": ", ".join(d.columns),
            "groups": ", ".join(key for key, column in d.columns.items() if column.group),
            "source": d.source,
        }
        for d in registry().values()
    ]
    return pd.DataFrame(rows).set_index("name")


def _find(name: str) -> Dataset:
    known = registry()
    if not isinstance(name, str) or name not in known:
        raise DataError(
            f"There is no data set {name!r}.{nearest(str(name), known)} "
            "ml.datasets() lists them all."
        )
    return known[name]


def _as_number_or_text(label: str) -> tuple[bool, float, str]:
    """Order labels as people do: "2" before "10", numbers before words."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label
