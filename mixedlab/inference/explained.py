"""How much of the variation a model explains: ICC, R squared, conditional AIC, leverage.

And whether more is left than its family allows: overdispersion.

References
----------
Nakagawa, Johnson & Schielzeth (2017), J. R. Soc. Interface 14, 20170213: R squared and ICC of
mixed models. Johnson (2014), Methods Ecol. Evol. 5, 944-946: random slopes, by the mean over
rows of ``z' cov(b) z``. Vaida & Blanchard (2005), Biometrika 92, 351-370, and Greven & Kneib
(2010), Biometrika 97, 773-789: the conditional AIC.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import LinearModel, MixedModel, refuse
from mixedlab.inference.curvature import invert_curved
from mixedlab.inference.row_covariance import RowCovariance

Array = NDArray[np.float64]


class ICC(NamedTuple):
    """Intraclass correlation.

    Attributes
    ----------
    adjusted : float
        Share of the groups in the variance that the fixed effects leave.
    unadjusted : float
        Share of the groups in all variance, the fixed effects' included.
    by_group : dict of str to float
        The adjusted share of each grouping factor.
    """

    adjusted: float
    unadjusted: float
    by_group: dict[str, float]


class R2(NamedTuple):
    """Share of the variance explained by the fixed effects, and with the groups.

    Attributes
    ----------
    marginal : float
        Fixed effects alone.
    conditional : float
        Fixed and random effects.
    """

    marginal: float
    conditional: float


class ConditionalAIC(NamedTuple):
    """AIC for predicting new rows of these same groups.

    Attributes
    ----------
    caic : float
        ``-2 loglik + 2 df``.
    df : float
        Effective degrees of freedom, for the estimated variances corrected.
    loglik : float
        Log-likelihood of y given the predicted random effects.
    """

    caic: float
    df: float
    loglik: float


class Overdispersion(NamedTuple):
    """Pearson's statistic of a generalised fit.

    Attributes
    ----------
    statistic : float
        Sum of squared Pearson residuals, given the random effects.
    df : int
        Rows less estimated parameters.
    ratio : float
        ``statistic / df``; near 1 where the family's variance is right.
    p_value : float
        Upper tail of chi-squared. A rough guide: small counts and 0/1 responses make it too large.
    """

    statistic: float
    df: int
    ratio: float
    p_value: float


def variance_parts(fit: MixedModel) -> dict[str, float]:
    """Variance of the linear predictor by source: ``fixed``, each grouping factor, ``residual``.

    The part of a factor is the mean over rows of ``z' cov(b) z``. For a generalised model the
    residual part is the variance of the response's family on the link's scale, and an effect for
    every row belongs to it.
    """
    eta = fit.X @ fit.beta
    # less its first value: exactly 0 where all are the same
    parts = {"fixed": float(np.var(eta - eta[0], ddof=1))}
    by_row = 0.0
    for term, cov in zip(fit.terms, fit.covariances, strict=True):
        part = float(np.einsum("ik,kl,il->", term.Z, cov, term.Z) / fit.n_obs)
        if term.n_levels == fit.n_obs:
            by_row += part
        else:
            parts[term.group] = parts.get(term.group, 0.0) + part
    parts["residual"] = by_row + residual_variance_on_link_scale(fit)
    return parts


# Of the latent logistic, normal or Gumbel variable behind a 0/1 response.
_OF_LATENT = {"logit": np.pi**2 / 3, "probit": 1.0, "cloglog": np.pi**2 / 6}


def residual_variance_on_link_scale(fit: MixedModel) -> float:
    """Variance of the family's own noise on the link's scale.

    Binomial responses: that of the latent variable. Log link: ``log(1 + Var(y)/mean^2)``, the
    variance of the lognormal with the same coefficient of variation, at the mean of the response.
    Else the delta method, ``Var(y) g'(mean)^2``: ``sigma^2`` of a linear model.
    """
    family = fit.response_family
    link = family.link
    if family.counts_trials and link.name in _OF_LATENT:
        return _OF_LATENT[link.name]
    mean = np.average(fit.y, weights=fit.weights if family.counts_trials else None)
    variance = float(family.variance(np.asarray(mean), 1.0, fit.dispersion))
    if link.name == "log":
        return float(np.log1p(variance / mean**2))
    return float(variance / link.dmu(link.eta(mean)) ** 2)


def icc(fit: MixedModel) -> ICC:
    """Intraclass correlation; for random slopes the mean over the rows of the data.

    Returns
    -------
    ICC
        Adjusted and unadjusted share, and the share of each grouping factor.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> round(fit.icc().adjusted, 3)
    0.722
    """
    refuse(fit, "intraclass correlation")
    parts = variance_parts(fit)
    fixed, residual = parts.pop("fixed"), parts.pop("residual")
    between = sum(parts.values())
    left = between + residual
    return ICC(between / left, between / (left + fixed), {g: v / left for g, v in parts.items()})


def r2(fit: MixedModel) -> R2:
    """Marginal and conditional R squared of Nakagawa and colleagues.

    Returns
    -------
    R2
        Of the fixed effects alone, and with the groups.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> share = fit.r2()
    >>> round(share.marginal, 3), round(share.conditional, 3)
    (0.279, 0.799)
    """
    refuse(fit, "R squared")
    parts = variance_parts(fit)
    total = sum(parts.values())
    return R2(parts["fixed"] / total, 1.0 - parts["residual"] / total)


def caic(fit: MixedModel) -> ConditionalAIC:
    r"""Conditional AIC of a linear mixed model.

    The degrees of freedom are the trace of the derivative of the fitted values in y, plus one
    for sigma. With the variances known that derivative is the hat matrix. Since they are
    estimated, ``theta`` moves with y too: by the implicit function theorem

        d theta / d y = -D^-1 d(grad) / d y,   D = curvature of the profiled deviance,

    and with ``a_k = P V_k P y`` the fitted values move by ``a_k`` for each unit of ``theta_k``.

    Returns
    -------
    ConditionalAIC
        With its degrees of freedom and log-likelihood.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> round(fit.caic().caic, 1)
    1711.5
    """
    refuse(fit, "conditional AIC")
    V = fit.row_covariance()
    df = float(V.leverage.sum()) + _trace_through_theta(fit, V) + 1.0
    w = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    loglik = -0.5 * float(
        np.sum(np.log(2 * np.pi * fit.sigma**2 / w) + w * fit.residuals**2 / fit.sigma**2)
    )
    return ConditionalAIC(-2.0 * loglik + 2.0 * df, df, loglik)


def _trace_through_theta(fit: LinearModel, V: RowCovariance) -> float:
    e = V.white(fit.residuals[:, None])[:, 0]  # P y
    a, c = V.moved_by_theta()
    s2 = fit.sigma**2
    r2 = fit.degrees_of_freedom * s2
    moments = a @ a.T - np.outer(a @ e, c) / r2
    return float(np.sum(invert_curved(fit.curvature_in_theta()) * moments) * 2.0 / s2)


def leverage(fit: LinearModel) -> Array:
    """Derivative of each fitted value in its own y (n,), at the estimated variances.

    The sum is the effective degrees of freedom of the fit.
    """
    return fit.row_covariance().leverage


def standardised_residuals(fit: LinearModel) -> Array:
    """Residuals over their own standard deviation (n,).

    A weighted residual is ``P y``, of covariance ``sigma^2 P``. Where residuals are correlated,
    it is what the rows before it do not predict. A row of leverage 1 leaves no room: NaN.
    """
    V = fit.row_covariance()
    free = 1.0 - V.leverage
    scaled = V.white(fit.residuals[:, None])[:, 0] / fit.sigma
    return np.divide(scaled, np.sqrt(free), out=np.full(free.shape, np.nan), where=free > 1e-12)


def pearson_residuals(fit: MixedModel) -> Array:
    """Residuals over the conditional standard deviation of the response (n,)."""
    weights = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    variance = fit.response_family.variance(fit.fitted_values, weights, fit.dispersion)
    return fit.residuals / np.sqrt(variance)


def overdispersion(fit: MixedModel) -> Overdispersion:
    """Pearson's statistic with its degrees of freedom.

    McCullagh and Nelder (1989), section 4.5; the residuals are conditional on the predicted random
    effects, whose own degrees of freedom are not taken off, so the ratio is a little small. For
    0/1 responses it says nothing about overdispersion.

    Returns
    -------
    Overdispersion
        The statistic, its degrees of freedom, their ratio and a p-value.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    >>> round(ml.overdispersion(fit).ratio, 2)
    1.24
    """
    from scipy.stats import chi2

    refuse(fit, "diagnosis")
    statistic = float(np.sum(pearson_residuals(fit) ** 2))
    df = fit.n_obs - fit.n_params
    return Overdispersion(statistic, df, statistic / df, float(chi2.sf(statistic, df)))


def likely_predictor(fit: MixedModel) -> tuple[Array, Array]:
    """Linear predictor (n,) of the rows fitted, and its sd given the responses.

    At the predicted effects alone, which saw the same responses, residuals are too small; averaged
    over what the effects may be they are as large as the model says. Of a hierarchical model the
    effects of different factors are taken as independent.
    """
    rows = fit.rows()
    try:
        at = fit.mean_and_variance(rows, "conditional")
        eta, variance = at.eta, at.variance
    except MixedlabError:
        eta = fit.mean_and_variance(rows, "conditional", variance=False).eta
        variance = np.zeros(fit.n_obs)
        for term, cov in zip(fit.terms, fit.b_covariances, strict=True):
            variance += np.einsum("ik,ikl,il->i", term.Z, cov[term.index], term.Z)
    return eta, np.sqrt(np.maximum(np.nan_to_num(variance), 0.0))
