r"""One formula fitted three ways: complete, no and partial pooling of its groups.

The three are the same model, :math:`g(E y_j) = X_j \beta + Z_j b_j`, with three answers to how much
the groups may differ:

* **complete**: :math:`b_j = 0`. One regression for all, on X.
* **none**: :math:`b_j` is free. The columns of Z get a coefficient of their own in each group;
  columns of X that Z does not span are shared.
* **partial**: :math:`b_j \sim N(0, \Sigma)`, with the covariance estimated. The mixed model.

None and complete are the mixed model's ends: :math:`\Sigma \to \infty` and :math:`\Sigma = 0`
(Gelman and Hill 2007, chapter 12). All three are reported as coefficients of the same columns:
where :math:`X = Z C`, those of Z in group j are :math:`C \beta + b_j`.

Complete and none are weighted least squares of a working response, repeated until it settles
(McCullagh and Nelder 1989, section 2.5); for a linear model the first time is the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.matrices import independent_columns
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, listed
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.separation import separating_direction
from mixedlab.inference.values import Rows
from mixedlab.three_poolings.groups import SAME, Groups, finest_of, scales
from mixedlab.three_poolings.result import Pooled, ThreePoolings

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_SETTLED = 1e-9
_MOST_STEPS = 60


def pooling(
    formula: str,
    data: pd.DataFrame,
    *,
    family: str = "gaussian",
    link: str | None = None,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    reml: bool = True,
) -> ThreePoolings:
    """Fit one formula with complete, no and partial pooling of its groups.

    Parameters
    ----------
    formula : str
        A mixed-model formula with one grouping factor, ``"y ~ x + (x | g)"``, or with nested
        ones, ``"y ~ x + (1 | school/class)"``, whose finest levels are then the groups.
    data : DataFrame
    family, link : str
        As in `ml.glmm`; "gaussian" is `ml.lmm`.
    weights, offset : array or column name, optional
        As there: trials of a binomial response, the known part of the linear predictor.
    reml : bool
        How a linear mixed model is fitted.

    Returns
    -------
    ThreePoolings
        ``.complete``, ``.none``, ``.partial`` with coefficients by group on the link's scale,
        fitted values, residuals and standard errors; ``.table``, all in one tidy table. Groups
        without a fit of their own (too few rows, or outcomes all alike) say so in ``.notes`` and
        in the table.

    Raises
    ------
    FormulaError, DataError
        As `ml.lmm` and `ml.glmm`, and for grouping factors that cross.

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
    >>> three.side_by_side("Days").loc["335"].drop("note").astype(float).round(1)
    n           10.0
    complete    10.5
    none        -2.9
    partial     -0.3
    Name: 335, dtype: float64
    """
    import pandas as pd

    known = {"weights": weights, "offset": offset}
    if family == "gaussian" and link in (None, "identity"):
        from mixedlab.models.linear import lmm

        fit = lmm(formula, data, reml=reml, **known)
    else:
        from mixedlab.models.generalized import glmm

        fit = glmm(formula, data, family=family, link=link, **known)
    if not fit.terms:
        raise DataError(
            "There is no random term, so there are no groups to pool: add one, as in '+ (1 | g)'."
        )
    groups = Groups.of(fit)
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


def _settle(
    groups: Groups, used: NDArray[np.intp], regress: Callable[[Array, Array], Array]
) -> tuple[Array, Array, Array]:
    """Repeat a weighted regression until the linear predictor of the rows used settles.

    ``regress(z, w)`` gives the linear predictor, without offset, of the working response z with
    weights w (all of length n, only the rows used count).

    Returns
    -------
    eta, z, w : ndarray (n,)
        The linear predictor with its offset, and the last working response and weights.
    """
    family, link = groups.family, groups.family.link
    eta = link.eta(family.start_mu(groups.y, groups.weights))
    for _ in range(_MOST_STEPS):
        w = family.fisher_weights(eta, groups.weights, groups.dispersion)
        score = family.derivatives(groups.y, eta, groups.weights, groups.dispersion)[0]
        z = eta - groups.offset + score / np.maximum(w, 1e-300)
        new = regress(z, w) + groups.offset
        change = np.abs(new - eta)[used].max(initial=0.0)
        eta = new
        if change <= _SETTLED * (1 + np.abs(eta[used]).max(initial=0.0)):
            return eta, z, w
    raise DataError(
        "A regression of these responses does not settle: some coefficient has no finite "
        "estimate. See ml.check_separation(formula, data)."
    )


def _residual_sd(groups: Groups, eta: Array, rows: NDArray[np.intp], df: int) -> float:
    """Root of Pearson's statistic by its degrees of freedom; NaN where none is left."""
    mu = groups.family.link.mu(eta[rows])
    variance = groups.family.variance(mu, groups.weights[rows], groups.dispersion)
    statistic = float(np.sum((groups.y[rows] - mu) ** 2 / variance))
    return float(np.sqrt(statistic / df)) if df > 0 else float("nan")


def _complete(groups: Groups) -> Pooled:
    """Regression on X. A coefficient that is in Z alone is 0: no group differs."""
    n, p = groups.X.shape
    found = {}

    def regress(z: Array, w: Array) -> Array:
        root = np.sqrt(w)
        found["beta"] = np.linalg.lstsq(root[:, None] * groups.X, root * z, rcond=None)[0]
        return groups.X @ found["beta"]

    everyone = np.arange(n)
    eta, _, w = _settle(groups, everyone, regress)
    beta = found["beta"]
    sd = _residual_sd(groups, eta, everyone, n - p)
    scale = sd if scales(groups.family) else 1.0
    cov = scale**2 * np.linalg.inv(groups.X.T @ (w[:, None] * groups.X))
    C, shared = groups.C, groups.shared
    coef = groups.coefficients(beta[shared], C @ beta)
    se = groups.coefficients(np.sqrt(np.diag(cov))[shared], np.sqrt(np.diag(C @ cov @ C.T)))
    return groups.pooled("complete", coef, se, eta, _shown(groups, sd))


def _shown(groups: Groups, sd: float) -> float:
    return sd if groups.family.name == "gaussian" else float("nan")


def _none(groups: Groups) -> tuple[Pooled, dict, tuple[str, ...]]:
    """Regression with Z's coefficients free in each group.

    What the groups' own columns explain is first projected out of z and of X, group by group;
    the rest of z on the rest of X gives the shared coefficients (Frisch, Waugh and Lovell).
    """
    notes, fitted_groups = _who_has_a_fit(groups)
    used = np.concatenate([groups.rows[j] for j in fitted_groups] or [np.array([], dtype=int)])
    X = groups.X[:, groups.shared]
    J, q = len(groups.levels), len(groups.z_names)
    own, own_se = np.full((2, J, q), np.nan)
    last: dict = {}

    def regress(z: Array, w: Array) -> Array:
        root = np.sqrt(w)
        Xz = np.column_stack([X, z]) * root[:, None]
        rest, bases = np.full_like(Xz, np.nan), {}
        for j in fitted_groups:
            rows = groups.rows[j]
            Q, R = bases[j] = np.linalg.qr(groups.Z[rows] * root[rows, None])
            rest[rows] = Xz[rows] - Q @ (Q.T @ Xz[rows])
        kept = _not_taken_up(rest[used, :-1], Xz[used, :-1])
        X_rest, z_rest = rest[np.ix_(used, kept)], rest[used, -1]
        shared = np.linalg.lstsq(X_rest, z_rest, rcond=None)[0]
        eta = np.full(len(z), np.nan)
        for j, (Q, R) in bases.items():
            rows = groups.rows[j]
            left = Xz[rows, -1] - Xz[np.ix_(rows, kept)] @ shared
            own[j] = np.linalg.solve(R, Q.T @ left)
            eta[rows] = groups.Z[rows] @ own[j] + X[np.ix_(rows, kept)] @ shared
        last.update(bases=bases, kept=kept, shared=shared, X_rest=X_rest, Xz=Xz)
        return eta

    eta, _, _ = _settle(groups, used, regress)
    kept, X_rest = last["kept"], last["X_rest"]
    lost = [groups.names[k] for i, k in enumerate(groups.shared) if i not in kept]
    remarks = ()
    if lost:
        remarks = (
            f"No pooling has no coefficient for {listed(lost)}: it does not vary within "
            f"{groups.factor}, so the groups' own coefficients take it up.",
        )
    sd = _residual_sd(groups, eta, used, len(used) - len(fitted_groups) * q - len(kept))
    scale = sd if scales(groups.family) else 1.0
    shared_cov = np.linalg.inv(X_rest.T @ X_rest)
    for j, (Q, R) in last["bases"].items():
        R_inv = np.linalg.inv(R)
        # How an error in the shared coefficients moves the own ones.
        carried = R_inv @ Q.T @ last["Xz"][np.ix_(groups.rows[j], kept)]
        own_se[j] = scale * np.sqrt(
            np.sum(R_inv**2, axis=1) + np.sum((carried @ shared_cov) * carried, axis=1)
        )
    coef, se = np.full((2, len(groups.shared)), np.nan)
    coef[kept], se[kept] = last["shared"], scale * np.sqrt(np.diag(shared_cov))
    coef, se = groups.coefficients(coef, own), groups.coefficients(se, own_se)
    without = [j for j in range(J) if j not in last["bases"]]
    coef[without], se[without] = np.nan, np.nan
    return groups.pooled("none", coef, se, eta, _shown(groups, sd)), notes, remarks


def _who_has_a_fit(groups: Groups) -> tuple[dict, list[int]]:
    """Words about groups whose rows do not determine Z's coefficients, and the other groups."""
    q = len(groups.z_names)
    notes: dict = {}
    fitted = []
    for level, (j, rows) in zip(groups.levels, enumerate(groups.rows), strict=True):
        Z, n = groups.Z[rows], len(rows)
        R = np.linalg.qr(Z, mode="r")
        if n < q:
            counted = "1 row" if n == 1 else f"{n} rows"
            notes[level] = f"{counted} for {q} coefficients: no fit of its own"
        elif not np.all(np.abs(np.diag(R)) > SAME * np.linalg.norm(R, axis=0)):
            what = listed(groups.z_names)
            notes[level] = f"its rows do not tell {what} apart: no fit of its own"
        elif _has_no_maximum(groups, rows):
            notes[level] = f"{_outcomes(groups, rows)}: no finite estimate of its own"
        else:
            fitted.append(j)
            if n == q:
                notes[level] = (
                    "as many rows as coefficients: its own fit meets every row, and nothing is "
                    "left to judge it by"
                )
    return notes, fitted


def _has_no_maximum(groups: Groups, rows: NDArray[np.intp]) -> bool:
    """Whether a group's own coefficients run to infinity, as where all its outcomes are 0."""
    family = groups.family
    counts = family.name in ("poisson", "negative_binomial")
    if not (counts or family.counts_trials):
        return False
    y, Z, w = groups.y[rows], groups.Z[rows], groups.weights[rows]
    if Z.shape[1] == 1 and (Z == 1).all():
        return bool((y == 0).all() or (family.counts_trials and (y == 1).all()))
    return separating_direction(family, y, Z, w) is not None


def _outcomes(groups: Groups, rows: NDArray[np.intp]) -> str:
    y = groups.y[rows]
    if (y == y[0]).all():
        return f"its responses are all {y[0]:g}"
    return f"{listed(groups.z_names)} predict its responses without an error"


def _partial(groups: Groups, fit: MixedModel) -> Pooled:
    r"""Fixed effects plus predicted random effects, and the mean squared error of their sum.

    :math:`c_k' \beta + \sum_t b_{t,k}` is the linear predictor of a row with the columns
    :math:`c_k` in X and the k-th unit vector in every Z: its conditional moments are asked for.
    """
    J, q = len(groups.levels), len(groups.z_names)
    finest = finest_of(fit.terms)
    first = np.array([rows[0] for rows in groups.rows])
    terms = []
    for term in fit.terms:
        Z = np.array([[name == own for own in term.names] for name in groups.z_names], dtype=float)
        level = np.arange(J) if term is finest else term.index[first]
        terms.append(RandomTerm(term.group, np.repeat(level, q), term.levels, np.tile(Z, (J, 1)),
                                term.names))  # fmt: skip
    at = Rows(np.tile(groups.C, (J, 1)), np.zeros(J * q), tuple(terms), np.ones(J * q))
    moments = fit.mean_and_variance(at, "conditional")
    own, own_se = moments.eta.reshape(J, q), np.sqrt(moments.variance).reshape(J, q)
    shared = groups.shared
    coef = groups.coefficients(fit.beta[shared], own)
    se = groups.coefficients(np.sqrt(np.diag(fit.vcov_beta))[shared], own_se)
    sigma = float("nan") if fit.sigma is None else fit.sigma
    return groups.pooled("partial", coef, se, fit.linear_predictor, sigma)


def _not_taken_up(rest: Array, X: Array) -> NDArray[np.intp]:
    """Columns of X of which something is left once the groups' own columns are projected out."""
    left, whole = np.linalg.norm(rest, axis=0), np.linalg.norm(X, axis=0)
    alive = np.flatnonzero(left > SAME * whole)
    return alive[independent_columns(rest[:, alive])] if alive.size else alive
