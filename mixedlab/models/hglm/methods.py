"""Which way a hierarchical model is estimated: h-likelihood, closed form, quadrature."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.estimates import Estimates
from mixedlab.models.hglm.exact import fit_exact
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood
from mixedlab.models.hglm.integrated import marginal_likelihood

Array = NDArray[np.float64]
Method = Literal["exact", "h-likelihood", "quadrature"]
METHODS = ("exact", "h-likelihood", "quadrature")


def estimate(data: HierarchicalData, method: Method) -> Estimates:
    """Estimate by the method asked for.

    Raises
    ------
    MixedlabError
        Where the marginal likelihood cannot be had: a model of lambda, a quasi-family, several
        terms.
    """
    if method == "h-likelihood":
        return fit_h_likelihood(data)
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
    normal = (
        data.family.name == "gaussian"
        and data.family.link.name == "identity"
        and all(k.name == "gaussian" for k in data.random)
    )
    if normal and data.dispersion_X.shape[1] == 1 and method == "exact":
        return _linear_mixed_model(data)
    if len(data.terms) > 1:
        raise MixedlabError(
            f"With {len(data.terms)} random terms the effects cannot be integrated out one group "
            "at a time: use method='h-likelihood', or ml.glmm for normal effects."
        )
    return fit_exact(data, marginal_likelihood(data, closed_form=method == "exact" and not normal))


def _linear_mixed_model(data: HierarchicalData) -> Estimates:
    """Normal-normal: the linear mixed model by maximum likelihood.

    Its log standard deviations are half of our log dispersions.
    """
    from mixedlab.models.linear import fit_linear

    fit = fit_linear(
        data.y, data.X, data.terms, reml=False, weights=data.weights, offset=data.offset
    )
    b = [effects[:, 0] for effects in fit.b]
    sd = [np.sqrt(C[:, 0, 0]) for C in fit.b_covariances]
    lam = [float(C[0, 0]) for C in fit.covariances]
    with np.errstate(divide="ignore"):
        log_lambda = [np.log(np.array([l])) for l in lam]
    parameters = fit.named_parameters
    # beta, log sigma^2, each log lambda: where they stand among the linear model's parameters
    place = [k for k, p in enumerate(parameters) if p.kind == "beta"]
    place += [k for k, p in enumerate(parameters) if p.kind == "sigma"]
    of_term = {p.term: k for k, p in enumerate(parameters) if p.kind == "sd"}
    place += [of_term[t] for t in range(len(data.terms))]
    scale = np.where(np.arange(len(place)) < fit.beta.size, 1.0, 2.0)
    covariance = fit.parameter_covariance()[np.ix_(place, place)] * np.outer(scale, scale)
    gone = np.array([False] * (len(place) - len(lam)) + [l == 0 for l in lam])
    covariance[gone, :] = covariance[:, gone] = np.nan
    covariance[: fit.beta.size, : fit.beta.size] = fit.vcov_beta
    return Estimates(
        beta=fit.beta,
        gamma=np.array([np.log(fit.dispersion)]),
        log_lambda=log_lambda,
        vcov=covariance,
        phi=np.full_like(data.y, fit.dispersion),
        lam=[np.full(t.n_levels, l) for t, l in zip(data.terms, lam, strict=True)],
        b=b,
        b_sd=sd,
        u=b,
        u_sd=sd,
        loglik=fit.loglik,
        converged=fit.converged,
        singular=fit.singular,
        how="closed form (linear mixed model, maximum likelihood)",
        trouble="" if fit.converged else "the linear mixed model has not converged",
    )
