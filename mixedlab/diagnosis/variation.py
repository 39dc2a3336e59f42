r"""Is there more variation, or are there more zeros, than the family allows?

The random effects are estimated from the same responses, so residuals about the fitted means are
too small, and a plug-in probability of zero is too small as well. Both are averaged over what the
effects may be, given the responses: with :math:`\eta_i \sim N(\hat\eta_i, v_i)` the discrepancy

.. math:: D = E \sum_i (y_i - \mu_i)^2 / V(\mu_i)

has the same mean under the model as if the true :math:`\mu` stood in it, which is n (Gelman, Meng
and Stern 1996, Statistica Sinica 6, 733-760). Its variance is at most that of the sum with the true
:math:`\mu`, :math:`\sum_i (2 + \kappa_i)`, where :math:`\kappa` is the family's excess kurtosis. A
gamma distribution of these two moments gives the p-value. Expected zeros are
:math:`\sum_i E f(0; \mu_i)`, likewise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import SURE, Finding, NotChecked
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.explained import likely_predictor

Array = NDArray[np.float64]

_NODES = 15
_MUCH = 1.2  # times what is expected: less is no reason to change a model


def overdispersion(fit: MixedModel) -> list[Finding]:
    """More variation of counts, or of several trials, than the family allows."""
    name, (ratio, p, _) = fit.response_family.name, _discrepancy(fit)
    if p > SURE or ratio < _MUCH:
        return []
    wider = "negative_binomial" if name == "poisson" else "beta_binomial"
    return [
        Finding(
            "overdispersed",
            name,
            f"the responses vary {ratio:.3g} times as much as the {name} family allows "
            f"(p = {p:.1e}): standard errors and p-values are too small.",
            f"Fit family={wider!r}, or an effect for every row, observation_effect=True, and "
            "compare; look for a covariate or a grouping factor that is missing.",
        )
    ]


def underdispersion(fit: MixedModel) -> list[Finding]:
    """Less variation than the family says."""
    name, (ratio, _, p) = fit.response_family.name, _discrepancy(fit)
    if p > SURE or ratio > 1 / _MUCH:
        return []
    limit = ", counts with a limit (cbind(count, limit - count))" if name == "poisson" else ""
    return [
        Finding(
            "underdispersed",
            name,
            f"the responses vary {ratio:.3g} times as much as the {name} family says "
            f"(p = {p:.1e}): standard errors and p-values are too large.",
            "Ask how the responses came about: means in place of counts, rows that depend on each "
            f"other{limit}.",
        )
    ]


def _discrepancy(fit: MixedModel) -> tuple[float, float, float]:
    """Pearson's statistic over n, averaged over the random effects; p-values of more and less."""
    from scipy.stats import gamma

    family, w = fit.response_family, _weights(fit)
    if family.name not in ("poisson", "binomial"):
        raise NotChecked(f"the {family.name} family has a parameter for it.")
    if family.name == "binomial" and (w == 1).all():
        raise NotChecked("single 0/1 responses cannot vary otherwise than their means say.")
    eta, share = _likely_predictors(fit)
    mu = np.clip(family.link.mu(eta), 1e-12, None)
    statistic = float(np.sum(share * (fit.y[:, None] - mu) ** 2 / family.variance(mu, w[:, None])))
    mean = family.link.mu(fit.linear_predictor)
    V = np.maximum(family.variance(mean, w), 1e-12)
    if family.name == "poisson":
        kurtosis = 1.0 / np.maximum(mean, 1e-12)
    else:
        kurtosis = np.maximum((1 - 6 * mean * (1 - mean)) / (w**2 * V), -2.0)
    variance = float(np.sum(2.0 + kurtosis))
    expected = gamma(fit.n_obs**2 / variance, scale=variance / fit.n_obs)
    return statistic / fit.n_obs, float(expected.sf(statistic)), float(expected.cdf(statistic))


def zeros(fit: MixedModel) -> list[Finding]:
    """Zeros among counts, against the number that the model expects."""
    from scipy.stats import norm

    family = fit.response_family
    if family.name not in ("poisson", "negative_binomial"):
        raise NotChecked("this is a question about counts.")
    eta, share = _likely_predictors(fit)
    none = np.exp(family.loglik(np.zeros_like(eta), eta, 1.0, fit.dispersion))
    p0 = np.sum(share * none, axis=1)
    expected, found = float(p0.sum()), int(np.sum(fit.y == 0))
    sd = max(float(np.sqrt(np.sum(p0 * (1 - p0)))), 1.0)
    p = float(norm.sf((found - expected - 0.5) / sd))
    if p > SURE or found < _MUCH * expected:
        return []
    first = "family='negative_binomial'" if family.name == "poisson" else "a covariate that"
    how = (
        f"Fit {first} first: where counts vary more, zeros are more frequent too."
        if family.name == "poisson"
        else f"Look for {first} marks rows where nothing can be counted, or model the zeros apart."
    )
    return [
        Finding(
            "too many zeros",
            family.name,
            f"{found} of {fit.n_obs} counts are 0, where the model expects {expected:.0f} "
            f"(p = {p:.1e}).",
            how,
        )
    ]


def _weights(fit: MixedModel) -> Array:
    return np.ones(fit.n_obs) if fit.weights is None else np.asarray(fit.weights, dtype=float)


def _likely_predictors(fit: MixedModel) -> tuple[Array, Array]:
    """Linear predictors (n, k) that the random effects leave likely, and the weight of each."""
    eta, sd = likely_predictor(fit)
    nodes, share = np.polynomial.hermite_e.hermegauss(_NODES)
    return eta[:, None] + sd[:, None] * nodes, share / share.sum()
