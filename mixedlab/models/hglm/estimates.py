"""Estimates of a hierarchical model by either method, in one form."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from mixedlab.errors import MixedlabError
from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.exact import fit_exact
from mixedlab.models.hglm.h_likelihood import HLikelihoodFit
from mixedlab.models.hglm.integrated import (
    BetaBinomial,
    Marginal,
    Quadrature,
    marginal_likelihood,
)
from mixedlab.models.hglm.random_families import RandomFamily

if TYPE_CHECKING:
    from mixedlab.models.linear import LinearFit

Array = NDArray[np.float64]


@dataclass
class Estimates:
    """What either method estimates, in one form.

    ``b`` are the effects on the scale of the linear predictor, ``u`` on their own; ``lam`` holds
    one value for each level. Standard errors are of log dispersions; nan where not known.
    """

    beta: Array
    vcov_beta: Array
    gamma: Array
    gamma_se: Array
    phi: Array
    lam: list[Array]
    log_lam: list[Array]
    log_lam_se: list[Array]
    b: list[Array]
    u: list[Array]
    u_sd: list[Array]
    loglik: float
    converged: bool
    singular: bool
    how: str
    loglik_without: float = np.nan
    is_beta_binomial: bool = False


def by_h_likelihood(data: HierarchicalData, fit: HLikelihoodFit) -> Estimates:
    """Put an h-likelihood fit into the common form."""
    u = [k.u(v) for k, v in zip(data.random, fit.v, strict=True)]
    u_sd = [np.abs(k.slope(v)) * sd for k, v, sd in zip(data.random, fit.v, fit.v_sd, strict=True)]
    return Estimates(
        beta=fit.beta,
        vcov_beta=fit.vcov,
        gamma=fit.gamma,
        gamma_se=np.sqrt(np.diag(fit.gamma_vcov)),
        phi=fit.phi,
        lam=fit.lam,
        log_lam=fit.random_gamma,
        log_lam_se=[np.sqrt(np.diag(V)) for V in fit.random_gamma_vcov],
        b=fit.v,
        u=u,
        u_sd=u_sd,
        loglik=fit.loglik,
        converged=fit.converged,
        singular=fit.singular,
        how="h-likelihood; log-likelihood by Laplace's method",
    )


def by_marginal_likelihood(data: HierarchicalData, by_h: HLikelihoodFit, method: str) -> Estimates:
    """Maximum marginal likelihood: the linear mixed model, a closed form, or quadrature."""
    if any(D.shape[1] > 1 for D in data.random_dispersion_X):
        raise MixedlabError(
            "A model of the random effects' dispersion is fitted by h-likelihood only: use "
            "method='h-likelihood'."
        )
    if not data.phi_known and not data.family.has_dispersion:
        raise MixedlabError(
            f"The {data.family.name} family has no dispersion of its own, so `dispersion=` makes "
            "it a quasi-family without a likelihood: use method='h-likelihood'."
        )
    normal = _is_normal(data)
    if normal and data.dispersion_X.shape[1] == 1 and method == "exact":
        return _linear_mixed_model(data)
    if len(data.terms) > 1:
        raise MixedlabError(
            f"With {len(data.terms)} random terms the effects cannot be integrated out one group "
            "at a time: use method='h-likelihood', or ml.glmm for normal effects."
        )
    if method == "quadrature" or normal:
        marginal: Marginal = Quadrature(data)
    else:
        marginal = marginal_likelihood(data)
    fit = fit_exact(data, marginal, by_h)
    p, kind = data.X.shape[1], data.random[0]
    se = np.sqrt(np.diag(fit.vcov))
    eta = data.X @ fit.beta + data.offset
    return Estimates(
        beta=fit.beta,
        vcov_beta=fit.vcov_beta,
        gamma=fit.gamma,
        gamma_se=se[p : p + fit.gamma.size],
        phi=np.exp(data.dispersion_X @ fit.gamma) if fit.gamma.size else np.ones_like(data.y),
        lam=[np.full(data.terms[0].n_levels, fit.lam)],
        log_lam=[np.array([np.log(fit.lam) if fit.lam > 0 else -np.inf])],
        log_lam_se=[se[-1:]],
        b=[_on_the_link(data, marginal, kind, fit.u, eta, fit.singular)],
        u=[fit.u],
        u_sd=[fit.u_sd],
        loglik=fit.loglik,
        converged=fit.converged,
        singular=fit.singular,
        how=fit.how,
        loglik_without=fit.loglik_without,
        is_beta_binomial=isinstance(marginal, BetaBinomial) and not fit.singular,
    )


def variance_on_the_link(data: HierarchicalData, estimates: Estimates, t: int) -> float:
    """Variance of what the effects of term t add to the linear predictor, averaged over levels."""
    lam = float(np.mean(estimates.lam[t]))
    if lam == 0:
        return 0.0
    if estimates.is_beta_binomial:  # of logit p, which is the predictor where the link is logit
        link = data.family.link
        first = np.unique(data.terms[t].index, return_index=True)[1]
        mu = link.mu(data.X[first] @ estimates.beta + data.offset[first])
        logit = polygamma(1, mu / lam) + polygamma(1, (1 - mu) / lam)
        return float(np.mean(logit * (link.dmu(link.eta(mu)) / (mu * (1 - mu))) ** -2))
    return data.random[t].variance_of_v(lam)


def _on_the_link(
    data: HierarchicalData, marginal: Marginal, kind: RandomFamily, u: Array, eta: Array, none: bool
) -> Array:
    """What effects u add to the linear predictor."""
    if none:
        return np.zeros_like(u)
    if isinstance(marginal, BetaBinomial):  # u is the group's own probability
        return data.family.link.eta(u) - eta[marginal.first]
    return kind.v(u)


def _is_normal(data: HierarchicalData) -> bool:
    return (
        data.family.name == "gaussian"
        and data.family.link.name == "identity"
        and all(k.name == "gaussian" for k in data.random)
    )


def _linear_mixed_model(data: HierarchicalData) -> Estimates:
    """Normal-normal: the linear mixed model by maximum likelihood."""
    from mixedlab.models.linear import fit_linear

    fit = fit_linear(
        data.y, data.X, data.terms, reml=False, weights=data.weights, offset=data.offset
    )
    b = [effects[:, 0] for effects in fit.b]
    lam = [float(C[0, 0]) for C in fit.covariances]
    sd = [np.sqrt(C[:, 0, 0]) for C in fit.b_covariances]
    with np.errstate(divide="ignore"):
        log_lam = [np.log(np.array([l])) for l in lam]
    se = _se_of_log_variances(fit)
    return Estimates(
        beta=fit.beta,
        vcov_beta=fit.vcov_beta,
        gamma=np.array([np.log(fit.dispersion)]),
        gamma_se=se[:1],
        phi=np.full_like(data.y, fit.dispersion),
        lam=[np.full(t.n_levels, l) for t, l in zip(data.terms, lam, strict=True)],
        log_lam=log_lam,
        log_lam_se=[se[k + 1 : k + 2] for k in range(len(lam))],
        b=b,
        u=b,
        u_sd=sd,
        loglik=fit.loglik,
        converged=fit.converged,
        singular=fit.singular,
        how="closed form (linear mixed model, maximum likelihood)",
    )


def _se_of_log_variances(fit: LinearFit) -> Array:
    """Standard errors of log sigma^2 and of each log lambda; nan where a variance is 0.

    Second differences of the deviance profiled over beta, which is orthogonal to the variances.
    """
    sigma2 = fit.sigma**2
    variances = np.array([sigma2, *(sigma2 * L[0, 0] ** 2 for L in fit.factors)])
    out = np.full(variances.size, np.nan)
    alive = np.flatnonzero(variances > 1e-8 * sigma2)

    def half_deviance(step: Array) -> float:
        at = variances.copy()
        at[alive] *= np.exp(step)
        theta = np.empty_like(fit.theta)
        for k, place in enumerate(fit.layout.slices):
            theta[place] = np.sqrt(at[k + 1] / at[0])
        return 0.5 * fit.deviance(theta, float(np.sqrt(at[0])))

    h = 1e-3
    E = h * np.eye(alive.size)
    H = np.array(
        [
            [
                half_deviance(a + b) - half_deviance(a - b) - half_deviance(b - a)
                + half_deviance(-a - b)
                for b in E
            ]
            for a in E
        ]
    ) / (4 * h**2)  # fmt: skip
    with suppress(np.linalg.LinAlgError):
        out[alive] = np.sqrt(np.diag(np.linalg.inv(H)))
    return out
