r"""Separation: when a coefficient of a binomial or count model has no finite estimate.

Write ``s_i = +1`` where a row has successes only, ``-1`` where failures only. If a direction d has
``s_i x_i' d >= 0`` in every such row, ``x_i' d = 0`` in every row with both outcomes, and is not 0
throughout, then moving beta along d raises the likelihood (and with it the likelihood of a mixed
model, for any values of its random effects) without end. Whether there is such a direction is a
linear programme, which has an exact answer: maximise ``sum s_i x_i' d`` over ``-1 <= d_k <= 1``.
If some direction gains in every row, separation is complete, else quasi-complete. For counts with
a log link only rows with ``y = 0`` can gain: ``s_i = -1`` there, and ``x_i' d = 0`` elsewhere.

Source: Albert and Anderson (1984), *Biometrika* 71, 1-10; Konis (2007), *Linear programming
algorithms for detecting separated data in binary logistic regression models*, thesis, Oxford.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.errors import DataError, SeparationError, SeparationWarning, listed

if TYPE_CHECKING:
    from mixedlab.data.design import Design

Array = NDArray[np.float64]

_COUNTS = ("poisson", "negative_binomial")
_TRIALS = ("binomial", "beta_binomial")
REMEDIES = (
    "Remedies: a weak prior on the coefficients (prior_sd=2.5), Firth's penalty "
    "(penalty='firth'), joining levels, or leaving the covariate out."
)
"""What helps, whether a fit is refused or made with a warning."""


@dataclass(frozen=True)
class Separation:
    """What `check_separation` found.

    Attributes
    ----------
    kind : {"none", "quasi-complete", "complete"}
    coefficients : tuple of str
        Coefficients that run to plus or minus infinity.
    signs : dict of str to int
        Where each of them runs, +1 or -1.
    covariates : tuple of str
        The covariates they belong to.
    levels : dict of str to tuple
        For each factor among them, the levels in which the response never varies.
    n_rows : int
        Rows whose outcome the direction predicts without error.
    direction : tuple of float
        The direction in beta, in units of the columns' largest absolute values.
    what : str
        All of it in words.
    """

    kind: str
    coefficients: tuple[str, ...] = ()
    signs: dict[str, int] = field(default_factory=dict)
    covariates: tuple[str, ...] = ()
    levels: dict[str, tuple] = field(default_factory=dict)
    n_rows: int = 0
    direction: tuple[float, ...] = ()
    what: str = "No separation: every coefficient of the fixed part has a finite estimate."

    @property
    def message(self) -> str:
        """What was found, with remedies."""
        return f"{self.what} {REMEDIES}" if self.separated else self.what

    @property
    def warning(self) -> str:
        """What a fit that is made all the same says."""
        of = listed(self.coefficients)
        return (
            f"{self.what} It was fitted all the same: the size and standard error of {of} mean "
            f"nothing, its tests are void; the other coefficients are right. {REMEDIES} "
            "ml.check_separation(formula, data) names the levels."
        )

    @property
    def separated(self) -> bool:
        """Whether some coefficient has no finite estimate."""
        return self.kind != "none"

    def __bool__(self) -> bool:
        return self.separated

    def __str__(self) -> str:
        return self.message


def check_separation(
    formula: str,
    data: Any,
    *,
    family: str = "binomial",
    weights: ArrayLike | str | None = None,
) -> Separation:
    """Find out whether the fixed part of a model separates the response.

    Parameters
    ----------
    formula : str
        As in `mixedlab.glmm`; random terms may stand in it and are not looked at.
    data : DataFrame
    family : str
        "binomial" or "beta_binomial", or "poisson" or "negative_binomial" with log link.
    weights : array or column name, optional
        Trials.

    Returns
    -------
    Separation
        True in an ``if`` where there is separation.

    Raises
    ------
    FormulaError, DataError
        As in `mixedlab.glmm`; a family for which the question does not arise.

    Examples
    --------
    >>> import mixedlab as ml
    >>> import pandas as pd
    >>> df = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6]})
    >>> ml.check_separation("y ~ x", df).separated
    True
    """
    from mixedlab.data.design import build_design

    kind = family_named(family)
    if kind.name not in (*_COUNTS, *_TRIALS):
        raise DataError(f"Separation concerns binomial and count responses, not {kind.name!r}.")
    design = build_design(
        formula,
        data,
        weights=weights,
        response="binomial" if kind.counts_trials else "count",
        need_groups=False,
    )
    trials = np.ones(design.y.size) if design.trials is None else design.trials
    direction = separating_direction(kind, design.y, design.X, trials)
    return Separation("none") if direction is None else describe(direction, design, data, kind)


def separating_direction(kind: Family, y: Array, X: Array, weights: ArrayLike) -> Array | None:
    """A direction (p,) along which the likelihood grows without end, or None.

    Components are between -1 and 1 in units of the columns' largest absolute values. Rows of weight
    0 (no trials) say nothing.
    """
    from scipy.optimize import linprog

    told = np.broadcast_to(weights, y.shape) > 0
    outcome, X = _outcome(kind, y[told]), X[told]
    scale = np.abs(X).max(axis=0)
    scaled = X / np.where(scale > 0, scale, 1.0)
    rows = np.unique(np.column_stack([scaled, outcome]), axis=0)
    Xs, s = rows[:, :-1], rows[:, -1]
    signed, tied = s[s != 0, None] * Xs[s != 0], Xs[s == 0]
    if signed.size == 0:
        return None
    if tied.shape[0] > Xs.shape[1]:  # x'd = 0 for these rows: a basis of them says the same
        tied = np.linalg.qr(tied, mode="r")
    found = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(signed.shape[0]),
        A_eq=tied if tied.size else None,
        b_eq=np.zeros(tied.shape[0]) if tied.size else None,
        bounds=(-1, 1),
        method="highs",
    )
    if found.status != 0:
        return None
    # A cone's optimum is 0 or at the bound: a small one is what the solver's tolerance, added up
    # over the rows, pretends.
    direction = np.where(np.abs(found.x) > 1e-6, found.x, 0.0)
    gains, level = signed @ direction, tied @ direction
    real = np.abs(direction).max() > 0.5 and gains.max() > 1e-4
    exact = gains.min() > -1e-5 and np.abs(level).max(initial=0.0) < 1e-5
    return direction if real and exact else None


def refuse_or_warn(
    kind: Family, y: Array, X: Array, weights: ArrayLike, names: Sequence[str], refuse: bool
) -> Array | None:
    """A direction of beta (p,) without a finite maximum, told by an error or by a warning."""
    direction = separating_direction(kind, y, X, weights)
    if direction is None:
        return None
    found = runaway(direction, names)
    if refuse:
        raise SeparationError(found)
    warnings.warn(found.warning, SeparationWarning, stacklevel=6)
    return direction / np.maximum(np.abs(X).max(axis=0), 1e-300)


def _is_complete(outcome: Array, X: Array) -> bool:
    """Whether some direction gains strictly in every row: ``s_i x_i' d >= 1`` is feasible."""
    from scipy.optimize import linprog

    if (outcome == 0).any():
        return False
    signed = np.unique(outcome[:, None] * X, axis=0)
    found = linprog(
        np.zeros(X.shape[1]),
        A_ub=-signed,
        b_ub=-np.ones(signed.shape[0]),
        bounds=(None, None),
        method="highs",
    )
    return found.status == 0


def _outcome(kind: Family, y: Array) -> Array:
    """+1 for a row at the upper end of the response's range, -1 at the lower end, else 0."""
    if kind.name in _TRIALS:
        return np.where(y == 1, 1.0, np.where(y == 0, -1.0, 0.0))
    return np.where(y == 0, -1.0, 0.0)


def runaway(direction: Array, names: Sequence[str]) -> Separation:
    """What can be said of a separating direction without the table: the names of coefficients."""
    signs = _signs(direction, names)
    what = (
        f"Separation: the likelihood grows without end as {_said(signs)}, so there is no finite "
        "estimate."
    )
    return Separation("quasi-complete", tuple(signs), signs, direction=tuple(direction), what=what)


def _signs(direction: Array, names: Sequence[str]) -> dict[str, int]:
    """Where each coefficient runs; the intercept is named only where it runs alone."""
    signs = {n: int(np.sign(d)) for n, d in zip(names, direction, strict=True) if d != 0}
    return {n: s for n, s in signs.items() if n != "(Intercept)"} or signs


def _said(signs: dict[str, int]) -> str:
    return listed([f"{name} (to {'+' if s > 0 else '-'}infinity)" for name, s in signs.items()])


def describe(direction: Array, design: Design, data: Any, kind: Family) -> Separation:
    """Say in words what runs away, and in which levels the response does not vary."""
    scale = np.abs(design.X).max(axis=0)
    gain = design.X @ (direction / np.where(scale > 0, scale, 1.0))
    predicted = np.abs(gain) > 1e-7
    outcome = _outcome(kind, design.y)
    complete = kind.name in _TRIALS and _is_complete(
        outcome, design.X / np.where(scale > 0, scale, 1.0)
    )
    running = _signs(direction, design.names)
    covariates = tuple(dict.fromkeys(c for name in running for c in _covariates(name)))
    levels, notes = {}, []
    for covariate in covariates:
        constant = _constant_levels(data, covariate, design.rows, outcome, kind)
        if constant:
            levels[covariate] = tuple(level for level, _ in constant)
            said = [f"{level!r} ({what})" for level, what in constant]
            notes.append(f"{covariate!r}: {listed(said)}")
    where = f" The response never varies in these levels of {'; '.join(notes)}." if notes else ""
    plural = "coefficients have" if len(running) > 1 else "coefficient has"
    word = "complete" if complete else "quasi-complete"
    n_rows = gain.size if complete else int(predicted.sum())
    what = (
        f"Separation ({word}): {n_rows} of {gain.size} rows are predicted without "
        f"error by {listed([repr(c) for c in covariates] or ['the intercept'])}, so the {plural} "
        f"no finite estimate: {_said(running)}.{where}"
    )
    found = tuple(running), running, covariates, levels, n_rows, tuple(direction)
    return Separation(word, *found, what)


def _covariates(coefficient: str) -> list[str]:
    """The columns of the table that a coefficient's name speaks of: ``a[T.x]:b`` -> a, b."""
    if coefficient == "(Intercept)":
        return []
    parts = [re.sub(r"\[[^\]]*\]$", "", part) for part in re.split(r":(?![^\[]*\])", coefficient)]
    return [re.sub(r"^C\((\w+).*\)$", r"\1", part).strip("`") for part in parts]


def _constant_levels(
    data: Any, covariate: str, rows: NDArray[np.intp], outcome: Array, kind: Family
) -> list[tuple[Any, str]]:
    """Levels of a covariate with few values in which every outcome is the same."""
    import pandas as pd

    from mixedlab.data.columns import as_frame

    table = as_frame(data)
    if covariate not in table.columns:
        return []
    values = pd.Series(table[covariate].to_numpy()[rows])
    if values.nunique() > 50:
        return []
    found = []
    for level, part in pd.Series(outcome).groupby(values.to_numpy()):
        if (part == part.iloc[0]).all() and part.iloc[0] != 0:
            if kind.name in _COUNTS:
                what = f"{len(part)} rows, all 0"
            else:
                what = f"{len(part)} rows, all {'successes' if part.iloc[0] > 0 else 'failures'}"
            found.append((level, what))
    return found
