"""Pictures of the predicted random effects: caterpillar, shrinkage arrows, ellipse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.inference.tables import normal_quantile
from mixedlab.pictures.style import BLUE, GREY, LIGHT, ORANGE, axes_or_new, coef_of, term_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.engine.terms import RandomTerm
    from mixedlab.models.fit import MixedFit

Array = NDArray[np.float64]
_MOST_LABELS = 40
_MOST_STEPS = 40


def caterpillar(
    fit: MixedFit,
    group: str | None = None,
    coef: str | None = None,
    *,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Predicted effects in order of size, each with its interval.

    Parameters
    ----------
    fit : MixedFit
    group : str, optional
        Grouping factor; by default that of the first term.
    coef : str, optional
        Random coefficient; by default the first.
    level : float
        Coverage of the intervals, from the conditional standard deviations.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        Levels are named where there are at most 40.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> ax = ml.pictures.caterpillar(fit, coef="Days")
    >>> ax.get_xlabel()
    'Effect on Days, with 95 % interval'
    """
    t = term_of(fit, group)
    term = fit.terms[t]
    k = coef_of(term, coef)
    effect = fit.b[t][:, k]
    sd = np.sqrt(np.maximum(fit.b_covariances[t][:, k, k], 0.0))
    order = np.argsort(effect, kind="stable")
    place = np.arange(order.size)
    few = order.size <= _MOST_LABELS
    ax = axes_or_new(ax, height=max(3.0, 0.22 * order.size + 1.0) if few else 4.4)
    half = normal_quantile(level) * sd[order]
    ax.axvline(0.0, color=GREY, linestyle="--", linewidth=1)
    ax.hlines(place, effect[order] - half, effect[order] + half, color=BLUE, linewidth=1.2)
    ax.plot(effect[order], place, "o", color=BLUE, markersize=4 if few else 2)
    if few:
        ax.set_yticks(place, [str(term.levels[j]) for j in order])
        ax.set_ylabel(term.group)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{order.size} levels of {term.group}, by effect")
    ax.set_xlabel(f"Effect on {term.names[k]}, with {100 * level:g} % interval")
    return ax


def shrinkage(
    fit: MixedFit,
    group: str | None = None,
    coefs: tuple[str, str] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Arrows from each group's own estimate to the one that borrows from the others.

    The own estimate is by maximum likelihood within the group, other terms of the model at their
    estimates; of a generalised model it is on the link's scale. With one random coefficient the
    arrows are vertical, one a group, by number of rows; with two they move in the plane of both.
    Up to 40 groups are named.

    Parameters
    ----------
    fit : MixedFit
    group : str, optional
    coefs : pair of str, optional
        Two random coefficients; by default the first two.
    ax : matplotlib Axes, optional

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> ax = ml.pictures.shrinkage(fit)
    >>> ax.get_xlabel()
    '(Intercept)'
    """
    t = term_of(fit, group)
    term = fit.terms[t]
    centre = np.array([dict(zip(fit.names, fit.beta, strict=True)).get(n, 0.0) for n in term.names])
    own, counts = own_estimates(fit, t)
    pulled = centre + fit.b[t]
    link = fit.response_family.link.name
    on_link = "" if link == "identity" else f" ({link} scale)"
    known = np.isfinite(own).all(axis=1)
    ax = axes_or_new(ax)
    if term.n_coefs == 1:
        order = np.argsort(counts, kind="stable")
        order = order[known[order]]
        x = np.arange(order.size)
        start, stop = np.column_stack([x, own[order, 0]]), np.column_stack([x, pulled[order, 0]])
        ax.axhline(centre[0], color=GREY, linestyle="--", linewidth=1, label="population")
        few = order.size <= _MOST_LABELS
        ax.set_xlabel(f"{term.group}, from few rows to many")
        ax.set_ylabel(f"{term.names[0]}{on_link}")
        names = [str(term.levels[j]) for j in order] if few else []
        ax.set_xticks(x if few else [], names, rotation=90, fontsize="small")
    else:
        names = coefs or term.names[:2]
        k = [coef_of(term, name) for name in names]
        start, stop = own[known][:, k], pulled[known][:, k]
        ax.plot(*centre[k], "+", color=GREY, markersize=14, markeredgewidth=2, label="population")
        ax.set_xlabel(f"{names[0]}{on_link}")
        ax.set_ylabel(f"{names[1]}{on_link}")
        if stop.shape[0] <= _MOST_LABELS:
            for j, point in zip(np.flatnonzero(known), start, strict=True):
                ax.annotate(str(term.levels[j]), point, (3, 3), textcoords="offset points",
                            fontsize="x-small", color=GREY)  # fmt: skip
    ax.plot(*start.T, "o", color=ORANGE, markerfacecolor="none", label="own estimate")
    ax.plot(*stop.T, "o", color=BLUE, markersize=4, label="with partial pooling")
    ax.quiver(
        *start.T,
        *(stop - start).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        color=LIGHT,
        width=0.003,
        zorder=1,
    )
    if not known.all():
        ax.set_title(
            f"{np.sum(~known)} of {known.size} groups are too small, or their outcomes too alike, "
            "for an own estimate",
            fontsize="small",
        )
    ax.legend(fontsize="small")
    return ax


def own_estimates(fit: MixedFit, t: int) -> tuple[Array, NDArray[np.intp]]:
    """Coefficients (J, q) of each level by its own rows alone, and its row counts.

    Maximum likelihood by weighted least squares of a working response, repeated for all levels at
    once; for a linear model that is least squares. The model's other terms stay at their
    estimates. NaN where a level's rows do not determine its coefficients, as where all its
    outcomes are 0.
    """
    term = fit.terms[t]
    varies = np.array([name in term.names for name in fit.names])
    rest = fit.X[:, ~varies] @ fit.beta[~varies]
    if fit.offset is not None:
        rest = rest + fit.offset
    for other, b in zip(fit.terms, fit.b, strict=True):
        if other is not term:
            rest = rest + np.einsum("ik,ik->i", other.Z, b[other.index])
    family, link = fit.response_family, fit.response_family.link
    prior = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    eta = link.eta(family.start_mu(fit.y, prior))
    counts = np.bincount(term.index, minlength=term.n_levels)
    own = change = np.full((term.n_levels, term.n_coefs), np.inf)
    for _ in range(_MOST_STEPS):
        w = family.fisher_weights(eta, prior, fit.dispersion)
        score = family.derivatives(fit.y, eta, prior, fit.dispersion)[0]
        response = eta - rest + score / np.maximum(w, 1e-300)
        new = _by_level(term, response, w, counts)
        own, change = new, np.abs(new - own)
        eta = rest + np.einsum("ik,ik->i", term.Z, np.nan_to_num(own)[term.index])
        if np.nanmax(change, initial=0.0) < 1e-9 * (1 + np.nanmax(np.abs(own), initial=0.0)) or (
            link.name == "identity" and family.name == "gaussian"
        ):
            return own, counts
    settled = np.all(change < 1e-6 * (1 + np.abs(own)), axis=1)
    return np.where(settled[:, None], own, np.nan), counts


def _by_level(term: RandomTerm, y: Array, w: Array, counts: NDArray[np.intp]) -> Array:
    """Weighted least squares (J, q) of y on the term's columns, level by level."""
    J, q = term.n_levels, term.n_coefs
    gram, cross = np.empty((J, q, q)), np.empty((J, q))
    for a in range(q):
        cross[:, a] = np.bincount(term.index, w * term.Z[:, a] * y, minlength=J)
        for b in range(q):
            gram[:, a, b] = np.bincount(term.index, w * term.Z[:, a] * term.Z[:, b], minlength=J)
    scale = np.sqrt(np.maximum(np.diagonal(gram, axis1=1, axis2=2), 1e-300))
    unit = gram / (scale[:, :, None] * scale[:, None, :])
    determined = (np.linalg.eigvalsh(unit)[:, 0] > 1e-9) & (counts >= q)
    own = np.full((J, q), np.nan)
    own[determined] = np.linalg.solve(gram[determined], cross[determined][:, :, None])[:, :, 0]
    return own


def ellipse(
    fit: MixedFit,
    group: str | None = None,
    coefs: tuple[str, str] | None = None,
    *,
    levels: Sequence[float] = (0.5, 0.95),
    ax: Axes | None = None,
) -> Axes:
    """The estimated distribution of two random coefficients, with the predicted effects on it.

    The dots lie closer together than the ellipses say: predictions are shrunken.

    Parameters
    ----------
    fit : MixedFit
    group : str, optional
    coefs : pair of str, optional
        By default the first two.
    levels : sequence of float
        Shares of groups that the ellipses hold.
    ax : matplotlib Axes, optional

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> ax = ml.pictures.ellipse(fit)
    >>> ax.get_xlabel()
    'Effect on (Intercept)'
    """
    t = term_of(fit, group, n_coefs=2)
    term = fit.terms[t]
    names = coefs or term.names[:2]
    k = [coef_of(term, name) for name in names]
    cov = fit.covariances[t][np.ix_(k, k)]
    values, axes = np.linalg.eigh(cov)
    half = axes * np.sqrt(np.maximum(values, 0.0))
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = np.array([np.cos(angle), np.sin(angle)])
    ax = axes_or_new(ax, 5.4, 4.8)
    for level, dash in zip(sorted(levels), ("-", "--", ":", "-."), strict=False):
        # Two squared standard normals exceed -2 log(1 - level) with probability 1 - level.
        curve = half @ circle * np.sqrt(-2.0 * np.log(1.0 - level))
        ax.plot(*curve, dash, color=ORANGE, linewidth=1.5, label=f"{100 * level:g} % of groups")
    ax.plot(*fit.b[t][:, k].T, "o", color=BLUE, markersize=4, label="predicted effects")
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    if sd.min() > 0:
        ax.set_title(
            f"sd {sd[0]:.3g} and {sd[1]:.3g}, correlation {cov[0, 1] / sd.prod():.2f}",
            fontsize="medium",
        )
    ax.axhline(0, color=LIGHT, linewidth=0.8, zorder=0)
    ax.axvline(0, color=LIGHT, linewidth=0.8, zorder=0)
    ax.set_xlabel(f"Effect on {names[0]}")
    ax.set_ylabel(f"Effect on {names[1]}")
    ax.legend(fontsize="small")
    return ax
