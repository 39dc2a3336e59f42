r"""The fit of a question, three poolings of it, and the way of a group from one to the next.

A group's coefficients c stand at three places: alone (no pooling), by the model, and with all
others (complete pooling). The handle h moves them along the straight ways between these,

    c(h) = c_none + 2 h (c_model - c_none)             for h <= 1/2,
    c(h) = c_model + (2 h - 1) (c_complete - c_model)  above,

so that the model's own place is h = 1/2, and a move costs nothing that grows with the table.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError, DataWarning, MixedlabError
from mixedlab.labs.explorer.columns import TableCheck, as_numbers, family_of
from mixedlab.labs.explorer.question import Question, column_of

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.inference.contract import MixedModel

Array = NDArray[np.float64]

MOST_NUMBERS = 5_000_000  # of simulated outcomes held at once
MOST_CHECKED = 30_000  # rows up to which a fit is diagnosed at once


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that a question uses. ``simulated`` says that the outcome is drawn from the fit."""

    question: Question
    frame: pd.DataFrame
    n_lost: int
    success: str
    simulated: bool = False


@dataclass(frozen=True, eq=False)
class Fits:
    """A fit and its three poolings; or, where there is none, why in words.

    ``none``, ``model``, ``complete`` are (J, p) coefficients of the J groups on the link's scale.
    """

    sample: Sample
    trouble: str = ""
    fit: MixedModel | None = None
    groups: tuple[str, ...] = ()
    index: NDArray[np.intp] | None = None
    names: tuple[str, ...] = ()
    none: Array | None = None
    model: Array | None = None
    complete: Array | None = None
    notes: tuple[str, ...] = ()

    def at(self, handle: float) -> Array:
        """Coefficients of all groups at a place of the pooling handle, shape (J, p)."""
        own = np.where(np.isnan(self.none), self.model, self.none)
        if handle <= 0.5:
            return own + 2 * handle * (self.model - own)
        return self.model + (2 * handle - 1) * (self.complete - self.model)

    @cached_property
    def icc(self) -> float | None:
        """Share of the variance that lies between groups, on the link's scale."""
        return None if self.fit is None else icc_of(self.fit)


def sample_of(check: TableCheck, question: Question) -> Sample:
    """Take a question's rows: those where no column that it needs is missing.

    Raises
    ------
    DataError
        Where the wells do not go together, in words.
    """
    from mixedlab.data.contextual import within_between

    q, df = question, check.df
    used = [name for name in (q.y, q.x, *q.factors, column_of(q.offset)) if name]
    twice = next((name for name in used if used.count(name) > 1), None)
    if twice:
        raise DataError(f"{twice!r} stands in two wells: choose another column for one of them.")
    df = df[used].copy()
    df[q.y], success = as_numbers(df[q.y])
    if q.x and not _is_number(df[q.x]):
        df[q.x] = df[q.x].astype(object).where(df[q.x].notna()).map(str, na_action="ignore")
    for name in q.factors:
        df[name] = df[name].astype(object).map(str, na_action="ignore")
    if q.split:
        if not _is_number(df[q.x]):
            raise DataError(f"{q.x!r} has labels: only numbers are split into within and between.")
        taken = [name for name in q.fixed if name in check.df.columns]
        if taken:
            raise DataError(f"Rename {taken[0]!r}: the split predictor gets this name.")
        df = within_between(df, q.x, q.factors[0])
    finite = df.replace([np.inf, -np.inf], np.nan).dropna()
    if len(finite) < 3 or finite[q.y].nunique() < 2:
        left = f"{len(finite)} of {len(df)} rows have a value in every well"
        raise DataError(f"{left}, and {q.y!r} is constant there: nothing varies.")
    return Sample(q, finite.reset_index(drop=True), len(df) - len(finite), success)


def guess_family(check: TableCheck, y: str) -> str:
    """Guess the family of a column as an outcome."""
    return family_of(as_numbers(check.df[y])[0].to_numpy())


def fits_of(sample: Sample) -> Fits:
    """Fit a sample three ways; what can't be fitted says why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return _fits(sample)
    except MixedlabError as error:
        return Fits(sample, trouble=str(error).split("\n\n")[0])
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        words = f"The {sample.question.family} fit of these columns failed ({error})."
        return Fits(sample, trouble=words)


def _fits(sample: Sample) -> Fits:
    from mixedlab.three_poolings import pooling

    q, frame = sample.question, sample.frame
    settings: dict[str, Any] = {"family": q.family, "offset": q.offset_column}
    three = pooling(q.formula(crossed=False), frame, **settings)
    fit = fitted(q, frame) if q.crossed else three.fit
    names = tuple(three.partial.coef.columns)
    labels = [str(label) for label in three.partial.coef.index]
    parts = [frame[name] for name in (q.factors[:1] if q.crossed else q.factors)]
    label_of = parts[0] if len(parts) == 1 else parts[0] + ":" + parts[1]
    place = {label: j for j, label in enumerate(labels)}
    model = three.partial.coef.to_numpy(float)
    if q.crossed:  # what the first factor has, at the mean of the second
        effects = fit.ranef[q.factors[0]]
        effects.index = effects.index.map(str)
        model = np.tile([fit.fixef[name] for name in names], (len(labels), 1))
        for name in effects.columns:
            model[:, names.index(name)] += effects[name].reindex(labels).to_numpy(float)
    notes = tuple(str(group) for group in three.notes if three.none.coef.loc[group].isna().all())
    return Fits(
        sample,
        fit=fit,
        groups=tuple(labels),
        index=label_of.map(place).to_numpy(dtype=np.intp),
        names=names,
        none=three.none.coef.to_numpy(float),
        model=model,
        complete=three.complete.coef.to_numpy(float),
        notes=notes,
    )


def fitted(q: Question, frame: pd.DataFrame) -> MixedModel:
    """Fit a question to a table as its lines of code do."""
    import mixedlab as ml

    offset = q.offset_column
    if q.family == "gaussian":
        return ml.lmm(q.formula(), frame, offset=offset)
    return ml.glmm(q.formula(), frame, family=q.family, offset=offset)


def simulated(sample: Sample, fits: Fits, seed: int) -> Sample:
    """Draw the outcome anew from the fit: one sample of the parametric bootstrap."""
    if fits.fit is None:
        return sample
    y = np.ravel(np.asarray(fits.fit.simulate(1, seed), dtype=float))
    frame = sample.frame.assign(**{sample.question.y: y})
    return Sample(sample.question, frame, sample.n_lost, sample.success, simulated=True)


def bootstrap_icc(fits: Fits, seeds: Sequence[int]) -> Array:
    """ICC of one simulated sample a seed, refitted together; NaN where a refit has none."""
    if fits.fit is None:
        return np.full(len(seeds), np.nan)
    step = max(1, MOST_NUMBERS // fits.fit.n_obs)
    found = []
    for start in range(0, len(seeds), step):
        drawn = [np.ravel(fits.fit.simulate(1, int(s))) for s in seeds[start : start + step]]
        refits = fits.fit.refit_many(np.column_stack(drawn).astype(float))
        found += [icc_of(refits[k]) for k in range(len(drawn))]
    return np.array([np.nan if icc is None else icc for icc in found])


def icc_of(fit: MixedModel) -> float | None:
    """Adjusted ICC, or None where the family has none."""
    try:
        icc = float(fit.icc().adjusted)
    except MixedlabError:
        return None
    return icc if np.isfinite(icc) else None


def _is_number(column: pd.Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(column) and not is_bool_dtype(column)
