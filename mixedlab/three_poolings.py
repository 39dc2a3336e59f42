r"""One formula fitted three ways: complete, no and partial pooling of its groups.

The three are the same model, :math:`y_j = X_j \beta + Z_j b_j + e_j`, with three answers to
how much the groups may differ:

* **complete**: :math:`b_j = 0`. One regression for all, least squares on X.
* **none**: :math:`b_j` is free. The columns of Z get a coefficient of their own in each group;
  columns of X that Z does not span are shared. Least squares, group by group.
* **partial**: :math:`b_j \sim N(0, \Sigma)`, with the covariance estimated. The mixed model.

None and complete are the mixed model's ends: :math:`\Sigma \to \infty` and :math:`\Sigma = 0`
(Gelman and Hill 2007, chapter 12). All three are reported as coefficients of the same columns:
where :math:`X = Z C`, those of Z in group j are :math:`C \beta + b_j`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.formula import parse
from mixedlab.data.matrices import independent_columns
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, listed
from mixedlab.inference.reporting import Report, Summary
from mixedlab.inference.tables import on_rows

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.models.linear import LinearFit

Array = NDArray[np.float64]

_SAME = 1e-9  # a column with less than this share of its length left is a combination of others
_GROUPS_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Pooled:
    """One of the three fits, group by group.

    Attributes
    ----------
    kind : str
        ``"complete"``, ``"none"`` or ``"partial"``.
    coef, se : DataFrame, groups x coefficients
        Each group's coefficients, fixed part included, and their standard errors. NaN where
        the group has no fit of its own, or the coefficient cannot be told from the groups.
    fitted, resid : Series, length n
        On the index of the rows used; NaN where a group has no fit of its own.
    sigma : float
        Residual standard deviation; NaN where no row is left to estimate it from.
    """

    kind: str
    coef: pd.DataFrame
    se: pd.DataFrame
    fitted: pd.Series
    resid: pd.Series
    sigma: float

    def __repr__(self) -> str:
        head = f"{self.kind} pooling, residual sd {self.sigma:.4g}"
        return f"{head}\n{self.coef.to_string(float_format='{:.5g}'.format)}"


@dataclass(frozen=True, eq=False, repr=False)
class ThreePoolings(Report):
    """Complete, no and partial pooling of one formula.

    Attributes
    ----------
    complete, none, partial : Pooled
    fit : LinearFit
        The mixed model behind ``partial``.
    sizes : Series
        Rows of each group.
    shared : tuple of str
        Coefficients that are the same for all groups.
    notes : dict
        Group to words: why it has no fit of its own, or what is wrong with it.
    remarks : tuple of str
        What holds for all groups, in words.
    """

    complete: Pooled
    none: Pooled
    partial: Pooled
    fit: LinearFit
    sizes: pd.Series
    shared: tuple[str, ...]
    notes: dict
    remarks: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each group, coefficient and pooling.

        Columns ``group, n, coefficient, pooling, estimate, se, note``; ``note`` is empty but
        for groups without a good fit of their own.
        """
        import pandas as pd

        parts = []
        for pooled in (self.complete, self.none, self.partial):
            part = pooled.coef.stack(future_stack=True).rename("estimate").to_frame()
            part["se"] = pooled.se.stack(future_stack=True)
            part = part.rename_axis(["group", "coefficient"]).reset_index()
            part["pooling"] = pooled.kind
            parts.append(part)
        table = pd.concat(parts, ignore_index=True)
        table["n"] = table["group"].map(self.sizes)
        table["note"] = [self.notes.get(group, "") for group in table["group"]]
        table.loc[table["pooling"] != "none", "note"] = ""
        return table[["group", "n", "coefficient", "pooling", "estimate", "se", "note"]]

    def side_by_side(self, coefficient: str) -> pd.DataFrame:
        """Return one coefficient of every group: columns n, complete, none, partial, note."""
        import pandas as pd

        known = self.partial.coef.columns
        if coefficient not in known:
            raise DataError(f"There is no coefficient {coefficient!r}: there are {listed(known)}.")
        columns = {p.kind: p.coef[coefficient] for p in (self.complete, self.none, self.partial)}
        table = pd.DataFrame({"n": self.sizes, **columns})
        table["note"] = [self.notes.get(group, "") for group in table.index]
        return table

    def summary(self) -> Summary:
        """Sizes, notes, and the groups' coefficients side by side (the first groups)."""
        import pandas as pd

        poolings = (self.complete, self.none, self.partial)
        sigmas = ", ".join(f"{p.kind} {p.sigma:.4g}" for p in poolings)
        group = self.sizes.index.name
        sizes = f"{len(self.sizes)}, with {self.sizes.min()} to {self.sizes.max()} rows"
        lines = [f"Rows: {self.fit.n_obs}; groups: {group} {sizes}", f"Residual sd: {sigmas}"]
        lines += self.remarks
        if unfitted := [g for g in self.notes if self.none.coef.loc[g].isna().all()]:
            lines.append(
                f"No fit of their own for {len(unfitted)} of {len(self.sizes)} groups "
                f"({listed(unfitted, 5)}): too few rows, or rows too alike."
            )
        tables = {}
        if self.shared:
            rows = {name: self.side_by_side(name).iloc[0] for name in self.shared}
            kinds = [p.kind for p in poolings]
            tables["The same for all groups"] = pd.DataFrame(rows).T[kinds]
        for name in self.partial.coef.columns.difference(self.shared, sort=False):
            shown = self.side_by_side(name)
            more = f" (first {_GROUPS_SHOWN} groups)" if len(shown) > _GROUPS_SHOWN else ""
            tables[f"{name}{more}"] = shown.head(_GROUPS_SHOWN)
        return Summary(f"Three poolings of {self.fit.formula}", lines, tables)


def pooling(formula: str, data: pd.DataFrame, *, reml: bool = True) -> ThreePoolings:
    """Fit one formula with complete, no and partial pooling of its groups.

    Parameters
    ----------
    formula : str
        A mixed-model formula with one grouping factor, ``"y ~ x + (x | g)"``.
    data : DataFrame
    reml : bool
        How the mixed model is fitted.

    Returns
    -------
    ThreePoolings
        ``.complete``, ``.none``, ``.partial`` with coefficients by group, fitted values,
        residuals and standard errors; ``.table``, all in one tidy table. Groups with too few
        rows for a fit of their own say so in ``.notes`` and in the table.

    Raises
    ------
    FormulaError, DataError
        As `ml.lmm`, and for more than one grouping factor.

    Notes
    -----
    Standard errors of none and complete use one residual variance for all groups. Those of
    partial are for the group's coefficient as a prediction: they hold both the uncertainty
    of the fixed effects and that of b (Henderson's mean squared error, the covariance of b
    taken as known).

    Examples
    --------
    >>> import mixedlab as ml
    >>> three = ml.pooling("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> three.side_by_side("Days").head(3).round(2)
              n  complete   none  partial note
    Subject
    308      10     10.47  21.76    19.67
    309      10     10.47   2.26     1.85
    310      10     10.47   6.11     5.02
    """
    import pandas as pd

    from mixedlab.models.linear import lmm

    factors = list(dict.fromkeys(bar.group for bar in parse(formula).bars))
    if len(factors) > 1:
        raise DataError(
            f"The formula groups by {listed(factors)}: pooling compares the groups of one "
            "factor. Leave one grouping factor in the formula, or combine them as in (1 | a:b)."
        )
    fit = lmm(formula, data, reml=reml)
    groups = _Groups.of(fit)
    none, notes, remarks = _none(groups)
    sizes = pd.Series([len(rows) for rows in groups.rows], index=none.coef.index, name="n")
    return ThreePoolings(
        complete=_complete(groups),
        none=none,
        partial=_partial(groups, fit),
        fit=fit,
        sizes=sizes,
        shared=tuple(groups.names[k] for k in groups.shared),
        notes=notes,
        remarks=remarks,
    )


@dataclass(frozen=True)
class _Groups:
    """The data by group: ``rows[j]`` are the rows of group j; Z holds all terms' columns."""

    y: Array
    offset: Array
    X: Array
    Z: Array
    names: tuple[str, ...]
    z_names: tuple[str, ...]
    factor: str
    levels: tuple
    rows: Sequence[NDArray[np.intp]]
    index: pd.Index

    @classmethod
    def of(cls, fit: LinearFit) -> _Groups:
        terms: Sequence[RandomTerm] = fit.terms
        index = terms[0].index
        ends = np.cumsum(np.bincount(index, minlength=terms[0].n_levels))
        offset = np.zeros(fit.n_obs) if fit.offset is None else fit.offset
        return cls(
            y=fit.y - offset,
            offset=offset,
            X=fit.X,
            Z=np.hstack([term.Z for term in terms]),
            names=tuple(fit.names),
            z_names=tuple(name for term in terms for name in term.names),
            factor=terms[0].group,
            levels=terms[0].levels,
            rows=np.split(np.argsort(index, kind="stable"), ends[:-1]),
            index=fit.index,
        )

    @cached_property
    def C(self) -> Array:
        """Columns of X in terms of those of Z, (q, p): X = Z C; zero where Z does not span."""
        C = np.zeros((self.Z.shape[1], self.X.shape[1]))
        for k, x in enumerate(self.X.T):
            same = np.flatnonzero(np.all(x[:, None] == self.Z, axis=0))
            if same.size:
                C[same[0], k] = 1.0
            else:
                combination = np.linalg.lstsq(self.Z, x, rcond=None)[0]
                if np.linalg.norm(x - self.Z @ combination) < _SAME * np.linalg.norm(x):
                    C[:, k] = combination
        return C

    @cached_property
    def shared(self) -> NDArray[np.intp]:
        """Columns of X that Z does not span: their coefficients are the same for all."""
        return np.flatnonzero(~self.C.any(axis=0))

    @property
    def columns(self) -> list[str]:
        """Names of a group's coefficients: in the order of X where they are there."""
        there = {*self.z_names, *(self.names[k] for k in self.shared)}
        ordered = [name for name in self.names if name in there]
        return list(dict.fromkeys([*ordered, *self.z_names]))

    def coefficients(self, shared: Array, own: Array) -> Array:
        """One table (J, columns) of what is the same for all and what varies, (q,) or (J, q)."""
        table = np.empty((len(self.levels), len(self.columns)))
        for k, value in zip(self.shared, shared, strict=True):
            table[:, self.columns.index(self.names[k])] = value
        table[:, [self.columns.index(name) for name in self.z_names]] = own
        return table

    def pooled(self, kind: str, coef: Array, se: Array, fitted: Array, sigma: float) -> Pooled:
        import pandas as pd

        index = pd.Index(self.levels, name=self.factor)
        tables = [pd.DataFrame(values, index=index, columns=self.columns) for values in (coef, se)]
        values = (("fitted", fitted + self.offset), ("resid", self.y - fitted))
        return Pooled(kind, *tables, *(on_rows(v, self.index, n) for n, v in values), sigma)


def _complete(groups: _Groups) -> Pooled:
    """Least squares on X. A coefficient that is in Z alone is 0: no group differs."""
    n, p = groups.X.shape
    beta = np.linalg.lstsq(groups.X, groups.y, rcond=None)[0]
    fitted = groups.X @ beta
    sigma = _residual_sd(groups.y - fitted, n - p)
    cov = sigma**2 * np.linalg.inv(groups.X.T @ groups.X)
    C, shared = groups.C, groups.shared
    coef = groups.coefficients(beta[shared], C @ beta)
    se = groups.coefficients(np.sqrt(np.diag(cov))[shared], np.sqrt(np.diag(C @ cov @ C.T)))
    return groups.pooled("complete", coef, se, fitted, sigma)


def _none(groups: _Groups) -> tuple[Pooled, dict, tuple[str, ...]]:
    """Least squares with Z's coefficients free in each group.

    What the groups' own columns explain is first projected out of y and of X, group by group;
    the rest of y on the rest of X gives the shared coefficients (Frisch, Waugh and Lovell).
    """
    q = len(groups.z_names)
    bases: dict[int, tuple[Array, Array]] = {}
    notes: dict = {}
    for level, (j, rows) in zip(groups.levels, enumerate(groups.rows), strict=True):
        Q, R = np.linalg.qr(groups.Z[rows])
        n = len(rows)
        if n < q:
            counted = "1 row" if n == 1 else f"{n} rows"
            notes[level] = f"{counted} for {q} coefficients: no fit of its own"
        elif not np.all(np.abs(np.diag(R)) > _SAME * np.linalg.norm(R, axis=0)):
            what = listed(groups.z_names)
            notes[level] = f"its rows do not tell {what} apart: no fit of its own"
        else:
            bases[j] = (Q, R)
        if n == q and j in bases:
            notes[level] = (
                "as many rows as coefficients: its own fit meets every row, and nothing is "
                "left to judge it by"
            )
    used = np.concatenate([groups.rows[j] for j in bases]) if bases else np.array([], dtype=int)
    X = groups.X[:, groups.shared]
    Xy = np.column_stack([X, groups.y])
    rest = np.full_like(Xy, np.nan)
    for j, (Q, _) in bases.items():
        part = Xy[groups.rows[j]]
        rest[groups.rows[j]] = part - Q @ (Q.T @ part)
    kept = _not_taken_up(rest[used, :-1], X[used])
    lost = [groups.names[k] for i, k in enumerate(groups.shared) if i not in kept]
    remarks = ()
    if lost:
        remarks = (
            f"No pooling has no coefficient for {listed(lost)}: it does not vary within "
            f"{groups.factor}, so the groups' own coefficients take it up.",
        )

    X_rest, y_rest = rest[np.ix_(used, kept)], rest[used, -1]
    shared = np.linalg.lstsq(X_rest, y_rest, rcond=None)[0]
    sigma = _residual_sd(y_rest - X_rest @ shared, len(used) - len(bases) * q - len(kept))
    shared_cov = np.linalg.inv(X_rest.T @ X_rest)

    own, own_se = np.full((2, len(groups.levels), q), np.nan)
    fitted = np.full(len(groups.y), np.nan)
    for j, (Q, R) in bases.items():
        rows = groups.rows[j]
        X_j = X[np.ix_(rows, kept)]
        own[j] = np.linalg.solve(R, Q.T @ (groups.y[rows] - X_j @ shared))
        fitted[rows] = groups.Z[rows] @ own[j] + X_j @ shared
        R_inv = np.linalg.inv(R)
        carried = R_inv @ Q.T @ X_j  # how an error in the shared coefficients moves the own ones
        own_se[j] = sigma * np.sqrt(
            np.sum(R_inv**2, axis=1) + np.sum((carried @ shared_cov) * carried, axis=1)
        )
    coef, se = np.full((2, len(groups.shared)), np.nan)
    coef[kept], se[kept] = shared, sigma * np.sqrt(np.diag(shared_cov))
    coef, se = groups.coefficients(coef, own), groups.coefficients(se, own_se)
    without = [j for j in range(len(groups.levels)) if j not in bases]
    coef[without], se[without] = np.nan, np.nan
    return groups.pooled("none", coef, se, fitted, sigma), notes, remarks


def _partial(groups: _Groups, fit: LinearFit) -> Pooled:
    r"""Fixed effects plus BLUPs, and the mean squared error of their sum.

    With :math:`K` the covariance of a group's b given y and beta, in units of :math:`\sigma^2`,
    :math:`\hat b = K Z'(y - X\hat\beta)`, so that the error of :math:`C\hat\beta + \hat b` is
    :math:`(C - K Z'X)(\hat\beta - \beta)` plus an independent part of covariance
    :math:`\sigma^2 K`.
    """
    C, shared = groups.C, groups.shared
    D = C - np.concatenate(fit.row_covariance().effects_by_beta(), axis=1)
    variance = np.hstack([np.diagonal(cov, axis1=1, axis2=2) for cov in fit.b_covariances])
    own_se = np.sqrt(variance + np.einsum("jqp,pr,jqr->jq", D, fit.vcov_beta, D))
    coef = groups.coefficients(fit.beta[shared], C @ fit.beta + np.hstack(fit.b))
    se = groups.coefficients(np.sqrt(np.diag(fit.vcov_beta))[shared], own_se)
    return groups.pooled("partial", coef, se, fit.fitted_values - groups.offset, fit.sigma)


def _not_taken_up(rest: Array, X: Array) -> NDArray[np.intp]:
    """Columns of X of which something is left once the groups' own columns are projected out."""
    left, whole = np.linalg.norm(rest, axis=0), np.linalg.norm(X, axis=0)
    alive = np.flatnonzero(left > _SAME * whole)
    return alive[independent_columns(rest[:, alive])] if alive.size else alive


def _residual_sd(residuals: Array, df: int) -> float:
    return float(np.sqrt(residuals @ residuals / df)) if df > 0 else float("nan")
