r"""The two meanings of an effect in a generalised mixed model, and predictions of each kind.

*Conditional*: what a coefficient does within one group, random effects held. *Marginal*: what it
does to the mean over all groups,

    mu_M(x, z) = E_b g^-1(x'beta + z'b) = E g^-1(eta + s Z),   Z ~ N(0, 1),   s^2 = z' Sigma z,

one integral in one dimension however many random coefficients there are, because z'b is normal.
Closed forms: identity ``eta``; log ``exp(eta + s^2/2)``; probit ``Phi(eta / sqrt(1 + s^2))``. The
other links take the trapezoidal rule. Derivatives for standard errors:

    d mu_M / d eta = E g^-1'(eta + s Z),     d mu_M / d s^2 = E g^-1''(eta + s Z) / 2.

*Population* predictions set b = 0: the curve of the average group, which is neither.

Sources: Zeger, Liang and Albert (1988), *Biometrics* 44, 1049-1060; Hedeker, du Toit, Demirtas and
Gibbons (2018), *Biometrics* 74, 354-361 (marginal coefficients); Nakagawa, Johnson and Schielzeth
(2017), *J. R. Soc. Interface* 14, 20170213 (variances on the link's scale).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.links import Link
from mixedlab.engine.quadrature import mean_over_normal
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError
from mixedlab.inference.reporting import Report, Summary

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.models.generalized import GeneralizedFit

Array = NDArray[np.float64]

_DRAWS = 4000
_DRAW_CELLS = 4_000_000


# --- the mean over groups


def marginal_mean(link: Link, eta: Array, variance: Array) -> Array:
    """Mean of the response over ``N(eta, variance)``, elementwise."""
    if link.name == "identity":
        return np.broadcast_arrays(eta, variance)[0] * 1.0
    if link.name == "log":
        return np.exp(eta + variance / 2)
    if link.name == "probit":
        return link.mu(eta / np.sqrt(1 + variance))
    _refuse_inverse(link, variance)
    return mean_over_normal(link.mu, eta, np.sqrt(variance))


def _marginal_derivatives(link: Link, eta: Array, variance: Array) -> tuple[Array, Array]:
    """Derivatives of `marginal_mean` in eta and in the variance."""
    if link.name == "identity":
        return np.ones_like(eta), np.zeros_like(eta)
    if link.name == "log":
        mean = marginal_mean(link, eta, variance)
        return mean, mean / 2
    if link.name == "probit":
        spread = np.sqrt(1 + variance)
        density = link.dmu(eta / spread)
        return density / spread, -0.5 * density * eta / spread**3
    sd = np.sqrt(variance)
    first = mean_over_normal(lambda e: link.mu_derivatives(e)[0], eta, sd)
    second = mean_over_normal(lambda e: link.mu_derivatives(e)[1], eta, sd)
    return first, second / 2


def _refuse_inverse(link: Link, variance: Array) -> None:
    if link.name == "inverse" and np.any(variance > 0):
        raise MixedlabError(
            "Under the inverse link the mean over normal random effects does not exist: 1/eta has "
            "no mean when eta may be near 0. Use kind='population', or fit with link='log'."
        )


# --- population-averaged coefficients


@dataclass(frozen=True, eq=False, repr=False)
class MarginalCoefs(Report):
    """Population-averaged coefficients of a generalised mixed model.

    Attributes
    ----------
    names : tuple of str
    beta : ndarray (p,)
        Marginal coefficients, on the link's scale.
    vcov_beta : ndarray (p, p)
        Their covariance by the delta method, variances of random effects included.
    conditional : ndarray (p,)
        The coefficients of the fit.
    """

    names: tuple[str, ...]
    beta: Array
    vcov_beta: Array
    conditional: Array

    @cached_property
    def coef(self) -> pd.Series:
        """Marginal coefficients by name."""
        import pandas as pd

        return pd.Series(self.beta, index=list(self.names), name="marginal")

    @cached_property
    def se(self) -> pd.Series:
        """Standard errors by name."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.vcov_beta)), index=list(self.names), name="se")

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the marginal coefficients."""
        import pandas as pd

        return pd.DataFrame(self.vcov_beta, index=list(self.names), columns=list(self.names))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Marginal and conditional coefficients side by side."""
        import pandas as pd

        table = pd.DataFrame({"marginal": self.coef, "se": self.se})
        table["z"] = table["marginal"] / table["se"]
        table["conditional"] = self.conditional
        table["ratio"] = table["marginal"] / table["conditional"]
        return table

    def __getitem__(self, name: str) -> float:
        return self.coef[name]

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Normal intervals, columns lower and upper."""
        import pandas as pd
        from scipy.special import ndtri

        half = ndtri(0.5 + level / 2) * self.se
        return pd.DataFrame({"lower": self.coef - half, "upper": self.coef + half})

    def summary(self) -> Summary:
        """Marginal and conditional coefficients side by side."""
        lines = [
            "Marginal: the effect on the mean over groups. Conditional: within one group.",
        ]
        return Summary("Population-averaged coefficients", lines, {"Coefficients": self.table})


def marginal_coefs(fit: GeneralizedFit) -> MarginalCoefs:
    """Population-averaged coefficients of a generalised mixed model.

    The marginal means of the rows fitted, brought to the link's scale, are regressed on X without
    weights. Where the marginal model has the same form (identity, log, probit with a random
    intercept) this is exact; under a logit it is the nearest linear predictor.

    Raises
    ------
    MixedlabError
        For a fit that is not generalised, and for the inverse link, whose marginal mean does not
        exist.
    """
    from mixedlab.models.generalized import GeneralizedFit

    if not isinstance(fit, GeneralizedFit):
        raise MixedlabError(
            "Marginal coefficients are for glmm fits. In a linear mixed model the coefficients "
            "are marginal and conditional at once."
        )
    link = fit.response_family.link
    offset = np.zeros(fit.n_obs) if fit.offset is None else fit.offset
    eta = fit.X @ fit.beta + offset
    variance, d_variance = _variance_of_rows(fit, fit.terms, fit.X.shape[0])
    mean = marginal_mean(link, eta, variance)
    projection = np.linalg.pinv(fit.X / _scale(fit.X)) / _scale(fit.X)[:, None]
    beta = projection @ (link.eta(mean) - offset)
    d_eta, d_s2 = _marginal_derivatives(link, eta, variance)
    slope = 1 / link.dmu(link.eta(mean))
    jacobian = np.zeros((beta.size, fit.parameters.size))
    m, p = fit.theta.size, beta.size
    jacobian[:, :m] = projection @ ((slope * d_s2)[:, None] * d_variance)
    jacobian[:, m : m + p] = projection @ ((slope * d_eta)[:, None] * fit.X)
    vcov = jacobian @ _known(fit.vcov_parameters) @ jacobian.T
    return MarginalCoefs(fit.names, beta, vcov, fit.beta)


def _scale(X: Array) -> Array:
    scale = np.sqrt(np.mean(X**2, axis=0))
    return np.where(scale > 0, scale, 1.0)


def _known(vcov: Array) -> Array:
    """Covariance with parameters of unknown variance (at the boundary) taken as fixed."""
    unknown = np.isnan(np.diag(vcov))
    out = vcov.copy()
    out[unknown, :] = out[:, unknown] = 0.0
    return out


def _variance_of_rows(fit: GeneralizedFit, terms: list[RandomTerm], n: int) -> tuple[Array, Array]:
    """``s^2 = sum_t |Lambda_t' z_t|^2`` of each row, and its derivative in theta, (n, m)."""
    layout, m = fit.layout, fit.theta.size
    variance, derivative = np.zeros(n), np.zeros((n, m))
    factors = layout.unpack(fit.parameters[:m])
    for term, L, where in zip(terms, factors, layout.slices, strict=True):
        v = term.Z @ L
        variance += (v**2).sum(1)
        cols, rows = np.triu_indices(term.n_coefs)
        derivative[:, where] = 2 * term.Z[:, rows] * v[:, cols]
    return variance, derivative


# --- predictions


def predict(
    fit: GeneralizedFit,
    newdata: Any,
    kind: str,
    scale: str,
    interval: str | None,
    new_levels: str,
    level: float = 0.95,
) -> Any:
    """Predict from a generalised fit; arguments as in `mixedlab.inference.prediction`.

    Confidence intervals are symmetric on the link's scale. Those of marginal predictions include
    the uncertainty of the variances; the others take the variances as known. A prediction interval
    holds a new observation (one trial for new binomial rows) and is found by drawing 4000 of them
    from the normal distribution of the linear predictor and the family, with a fixed seed.
    """
    from mixedlab.inference import prediction as common

    if kind == "conditional":
        rows = _rows(fit, newdata)
        common.refuse_new_levels(_formula_rows(fit, rows), new_levels)
    else:
        rows = _rows(fit, newdata)
    eta = common.population_part(fit, rows)
    variance_b, d_variance = _variance_of_rows(fit, rows.terms, eta.size)
    link = fit.response_family.link
    if kind == "conditional":
        eta = eta + common.random_part(fit, rows)
    if kind == "marginal":
        center = link.eta(marginal_mean(link, eta, variance_b))
    else:
        center = eta
    value = link.mu(center) if scale == "response" else center
    if interval is None:
        return value
    if interval == "prediction":
        if scale == "link":
            raise MixedlabError(
                "A prediction interval is for a new observation, which is on the response's "
                "scale: use scale='response'."
            )
        spread = _variance_of_eta(fit, rows, kind, eta, variance_b, d_variance)
        if kind == "marginal":
            spread = np.einsum("ip,pq,iq->i", rows.X, fit.vcov_beta, rows.X)
        if kind != "conditional":
            spread = spread + variance_b
        lower, upper, se = _draw_limits(fit, rows, eta, np.sqrt(spread), level, newdata is None)
    else:
        from scipy.special import ndtri

        se = np.sqrt(_variance_of_eta(fit, rows, kind, eta, variance_b, d_variance))
        half = ndtri(0.5 + level / 2) * se
        lower, upper = center - half, center + half
        if scale == "response":
            se = se * np.abs(link.dmu(center))
            lower, upper = np.sort(np.stack([link.mu(lower), link.mu(upper)]), axis=0)
    import pandas as pd

    index = newdata.index if isinstance(newdata, pd.DataFrame) else None
    columns = {"prediction": value, "se": se, "lower": lower, "upper": upper}
    return pd.DataFrame(columns, index=index)


def _rows(fit: GeneralizedFit, newdata: Any) -> Any:
    """X, offset and one term for each of the fit's; grouping columns that are absent are new."""
    if newdata is None:
        return fit
    from mixedlab.inference.prediction import rows_to_predict

    if fit.design is None:
        return rows_to_predict(fit, newdata, need_groups=True)  # explains
    import pandas as pd

    table = pd.DataFrame(newdata).copy(deep=False)
    for bar in fit.design.recipe.parsed.bars:
        for column in bar.factors:
            if column not in table.columns:
                table[column] = "(new)"
    rows = rows_to_predict(fit, table, need_groups=True)
    terms = list(rows.terms)
    n = rows.X.shape[0]
    for term in fit.terms[len(terms) :]:  # an observation effect: every new row is a new level
        terms.append(
            RandomTerm(term.group, np.full(n, -1), term.levels, np.ones((n, 1)), term.names)
        )
    return SimpleNamespace(X=rows.X, offset=rows.offset, terms=terms, weights=None)


def _formula_rows(fit: GeneralizedFit, rows: Any) -> Any:
    """The rows with the terms of the formula only, whose new levels are worth an error."""
    return SimpleNamespace(terms=[t for t in rows.terms if t.group != "observation"])


def _variance_of_eta(fit, rows, kind, eta, variance_b, d_variance) -> Array:
    """Variance of the estimated linear predictor of the given kind."""
    if kind == "population":
        return np.einsum("ip,pq,iq->i", rows.X, fit.vcov_beta, rows.X)
    if kind == "marginal":
        link = fit.response_family.link
        mean = marginal_mean(link, eta, variance_b)
        d_eta, d_s2 = _marginal_derivatives(link, eta, variance_b)
        slope = 1 / link.dmu(link.eta(mean))
        m, p = fit.theta.size, fit.beta.size
        jacobian = np.zeros((eta.size, fit.parameters.size))
        jacobian[:, :m] = (slope * d_s2)[:, None] * d_variance
        jacobian[:, m : m + p] = (slope * d_eta)[:, None] * rows.X
        return np.einsum("ia,ab,ib->i", jacobian, _known(fit.vcov_parameters), jacobian)
    # b given beta has covariance G = Lambda H^-1 Lambda' and moves with beta by -G Z'W X
    likelihood, moved = fit.modes_by_beta
    left = rows.X.copy()
    for term, by_beta in zip(rows.terms, moved, strict=True):
        seen = term.index >= 0
        left[seen] -= np.einsum("ik,ikp->ip", term.Z[seen], by_beta[term.index[seen]])
    return likelihood.predictive_variance(rows.terms) + np.einsum(
        "ip,pq,iq->i", left, fit.vcov_beta, left
    )


def _draw_limits(fit, rows, eta, sd, level, fitted_rows):
    """Quantiles and standard deviation of new observations, rows by the chunk."""
    rng = np.random.default_rng(0)
    family = fit.response_family
    ends = ((1 - level) / 2, (1 + level) / 2)
    lower, upper, spread = (np.empty(eta.size) for _ in range(3))
    at_once = max(1, _DRAW_CELLS // _DRAWS)
    for first in range(0, eta.size, at_once):
        part = slice(first, first + at_once)
        e = eta[part] + sd[part] * rng.standard_normal((_DRAWS, eta[part].size))
        w = fit.weights_or_trials[part] if fitted_rows else 1.0
        y = family.draw(rng, family.link.mu(e), w, fit.dispersion)
        lower[part], upper[part] = np.quantile(y, ends, axis=0)
        spread[part] = y.std(axis=0)
    return lower, upper, spread


def draw_response(fit: GeneralizedFit, eta: Array, rng: np.random.Generator) -> Array:
    """One new response (n,) of the fitted rows, given their linear predictor."""
    family = fit.response_family
    return family.draw(rng, family.link.mu(eta), fit.weights_or_trials, fit.dispersion)


# --- the family's own variance on the link's scale

_OF_LATENT = {"logit": np.pi**2 / 3, "probit": 1.0, "cloglog": np.pi**2 / 6}


def residual_variance_on_link_scale(fit: GeneralizedFit, between: float) -> float:
    """Variance of the family's own noise on the link's scale, for ICC and R squared.

    Binomial responses: the variance of the latent logistic, normal or Gumbel variable. Log link:
    ``log(1 + Var(y)/mean^2)``, the variance of the lognormal with the same coefficient of
    variation, at the mean of the response. Else the delta method, ``Var(y) g'(mean)^2``.
    """
    family = fit.response_family
    link = family.link
    if family.counts_trials and link.name in _OF_LATENT:
        return _OF_LATENT[link.name]
    w = fit.weights_or_trials
    mean = np.average(fit.y, weights=w if family.counts_trials else None)
    variance = float(family.variance(np.asarray(mean), 1.0, fit.dispersion))
    if link.name == "log":
        return float(np.log1p(variance / mean**2))
    return float(variance / link.dmu(link.eta(mean)) ** 2)
