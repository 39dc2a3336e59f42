"""Maximum of the marginal likelihood of a hierarchical model.

The parameters are beta, the coefficients of log phi, and log lambda. First the likelihood without
random effects (lambda = 0) is maximised: it is the answer when no lambda above 0 does better, and
where the search for one starts. Its leftover variance is shared out between effects and responses
in several ways, and the best of them is the start. `mixedlab.engine.quasi_newton` climbs (of a
likelihood with few nodes most of the way, where it takes quadrature) and proves the top by the
Hessian, whose inverse is the covariance of *all* parameters: standard errors of beta include that
the dispersions are estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.fixed_likelihood import scoring
from mixedlab.engine.quasi_newton import (
    Minimum,
    covariance,
    descend,
    hessian_by_differences,
    minimise,
)
from mixedlab.engine.random_families import RandomFamily
from mixedlab.models.hglm.data import (
    Estimates,
    HierarchicalData,
    block_diagonal,
    phi_of,
    runs_away,
)
from mixedlab.models.hglm.integrated import BetaBinomial, Marginal, NoVariance, Quadrature, Slopes

Array = NDArray[np.float64]

MANY_NODES = 121  # where the usual number does not do
FEW_NODES, ROUGHLY = 31, 1e-4  # how exactly few nodes give the likelihood
NO_GAIN = 1e-7  # of the log-likelihood, below which lambda is 0
NO_VARIANCE = 1e-6  # of lambda times a typical level's information: below it lambda is 0
FINE = 0.01  # of a standard error: the last Hessian is by differences a hundredth of it long
LOG_LAMBDA_RANGE = np.array([-30.0, 12.0])  # of lambda over its unit
SHARES = (0.9, 0.5, 0.1, 0.01)  # of the variance that the model without effects leaves


@dataclass(frozen=True)
class Evaluation:
    """Minus a log-likelihood and its gradient; one near by starts from its ``slopes``."""

    value: float
    gradient: Array
    slopes: Slopes | None = None


@dataclass(frozen=True)
class Objective:
    """Minus the log-likelihood as a function of one parameter vector."""

    data: HierarchicalData
    marginal: Marginal
    fixed_lambda: bool = False

    def __call__(self, at: Array, near: Evaluation | None = None) -> Evaluation:
        """Evaluate at (beta, gamma, log lambda); infinite where the likelihood is not defined."""
        data, n_beta = self.data, self.data.X.shape[1]
        gamma = at[n_beta:] if self.fixed_lambda else at[n_beta:-1]
        eta = data.X @ at[:n_beta] + data.offset
        log_lambda = 0.0 if self.fixed_lambda else at[-1]
        low, high = LOG_LAMBDA_RANGE + np.log(data.lambda_unit)
        inside = self.fixed_lambda or low < log_lambda < high
        nowhere = Evaluation(np.inf, np.full(at.size, np.nan))
        if not (inside and np.all(data.family.link.valid(eta))):
            return nowhere
        with np.errstate(all="ignore"):
            slopes = self.marginal.value_and_slopes(
                eta, phi_of(data, gamma), float(np.exp(log_lambda)), near and near.slopes
            )
            gradient = np.concatenate([
                data.X.T @ slopes.eta,
                data.dispersion_X.T @ slopes.log_phi if gamma.size else [],
                [] if self.fixed_lambda else [slopes.log_lambda],
            ])  # fmt: skip
        if not (np.isfinite(slopes.value) and np.all(np.isfinite(gradient))):
            return nowhere
        return Evaluation(-slopes.value, -gradient, slopes)


def fit_exact(data: HierarchicalData, marginal: Marginal, start: Array | None = None) -> Estimates:
    """Maximise ``marginal``; from ``start`` (beta, gamma, log lambda) too, where it is given."""
    null = NoVariance(data)
    without = _without_effects(data, null)
    rough = None
    if isinstance(marginal, Quadrature):
        rough = Objective(data, Quadrature(data, FEW_NODES))
    exact, least = Objective(data, marginal), _least_log_lambda(data, without)
    starts, root = _starts(data, without, start, least), _root(data, without)
    lower = np.append(np.full(without.x.size, -np.inf), least)
    full = _climb(exact, rough, starts, root, lower)
    if rough is not None and full is not None and not full.converged:
        # Effects may be so wide that the nodes are too few for value and gradient to agree.
        marginal = Quadrature(data, MANY_NODES)
        exact = Objective(data, marginal)
        full = minimise(exact, full.x, full.hessian, lower=lower)
    gain = 0.0 if full is None or full.x[-1] <= least else without.value - full.value
    singular = bool(gain <= NO_GAIN)
    top, form = (without, null) if singular else (full, marginal)

    p = data.X.shape[1]
    d = without.x.size - p
    vcov = np.full((p + d + 1, p + d + 1), np.nan)
    objective = Objective(data, null, fixed_lambda=True) if singular else exact
    vcov[: top.x.size, : top.x.size] = _covariance(objective, top)
    lam = 0.0 if singular else float(np.exp(top.x[-1]))
    beta, gamma = top.x[:p], top.x[p : p + d]
    eta, phi = data.X @ beta + data.offset, phi_of(data, gamma)
    u, u_sd = form.posterior(eta, phi, lam)
    b, b_sd = _on_the_link(data, form, u, u_sd, eta)
    trouble = ""
    if not top.converged:
        trouble = "the search ended before the likelihood stopped rising"
    elif not np.all(np.isfinite(np.diag(vcov)[: top.x.size])):
        trouble = "the likelihood is flat in some direction, so that there is no standard error"
    if trouble and lam > 100 and data.random[0].name == "inverse_gamma":
        trouble = runs_away(data.terms[0])
    return Estimates(
        beta=beta,
        gamma=gamma,
        log_lambda=[np.array([np.log(lam) if lam > 0 else -np.inf])],
        vcov=vcov,
        phi=phi,
        lam=[np.full(data.terms[0].n_levels, lam)],
        b=[b],
        b_sd=[b_sd],
        u=[u],
        u_sd=[u_sd],
        loglik=-top.value,
        converged=not trouble,
        singular=singular,
        how=form.how,
        loglik_without=-without.value,
        is_beta_binomial=isinstance(form, BetaBinomial),
        n_steps=top.n_evaluations,
        trouble=trouble,
    )


def loglik_at(
    data: HierarchicalData, marginal: Marginal, beta: Array, gamma: Array, lam: float
) -> float:
    """Marginal log-likelihood at given parameters."""
    if lam <= np.exp(LOG_LAMBDA_RANGE[0]) * data.lambda_unit:
        marginal = NoVariance(data)
    eta = data.X @ beta + data.offset
    return marginal.value_and_slopes(eta, phi_of(data, gamma), lam).value


def _without_effects(data: HierarchicalData, null: NoVariance) -> Minimum[Evaluation]:
    """The model without random effects."""
    family = data.family
    beta, _ = scoring(family, data.y, data.X, data.weights, data.offset)
    eta, gamma = data.X @ beta + data.offset, np.zeros(0)
    D = data.dispersion_X
    information = [data.X.T @ (data.X * family.fisher_weights(eta, data.weights)[:, None])]
    if not data.phi_known:
        deviance = family.deviance(data.y, family.link.mu(eta), data.weights)
        phi = max(float(np.mean(deviance)), 1e-300)
        gamma = np.linalg.lstsq(D, np.full(len(D), np.log(phi)), rcond=None)[0]
        information = [information[0] / phi, D.T @ D / 2]
    objective = Objective(data, null, fixed_lambda=True)
    return minimise(objective, np.concatenate([beta, gamma]), block_diagonal(information))


def _least_log_lambda(data: HierarchicalData, without: Minimum) -> float:
    """Log of the lambda that a typical level cannot tell from 0."""
    p, term = data.X.shape[1], data.terms[0]
    eta, phi = data.X @ without.x[:p] + data.offset, phi_of(data, without.x[p:])
    w = data.family.fisher_weights(eta, data.weights / phi) * term.Z[:, 0] ** 2
    typical = max(float(np.median(np.bincount(term.index, w, term.n_levels))), 1e-300)
    least = np.log(NO_VARIANCE / typical)
    low, high = LOG_LAMBDA_RANGE + np.log(data.lambda_unit)
    return float(np.clip(least, low + 1, high - 1))


def _starts(
    data: HierarchicalData, without: Minimum, start: Array | None, least: float
) -> list[Array]:
    """Points with effects that take up some share of the variance which is left without them."""
    p, family, kind = data.X.shape[1], data.family, data.random[0]
    beta, gamma = without.x[:p], without.x[p:]
    eta = data.X @ beta + data.offset
    with np.errstate(all="ignore"):
        left = (data.y - family.link.mu(eta)) / family.link.dmu(eta)
        weights = family.fisher_weights(eta, data.weights)
        variance = float(np.sum(weights * left**2) / np.sum(weights))
    high = LOG_LAMBDA_RANGE[1] / 2 + np.log(data.lambda_unit)
    made = [] if start is None else [start]
    ones = np.linalg.lstsq(data.dispersion_X, np.ones(data.y.size), rcond=None)[0]
    for share in SHARES:
        lam = lambda_of_variance(kind, share * variance)
        moved = gamma + np.log1p(-share) * ones if gamma.size else gamma
        made.append(np.concatenate([beta, moved, [np.clip(np.log(lam), least, high)]]))
    return made


def _root(data: HierarchicalData, without: Minimum) -> Array:
    """Root of the covariance of the parameters, about, before the effects are known."""
    k = without.x.size
    root = np.zeros((k + 1, k + 1))
    known = covariance(without.hessian)
    sd = np.sqrt(np.diag(known))
    sd = np.where(sd > 0, sd, 1.0)
    try:
        root[:k, :k] = sd[:, None] * np.linalg.cholesky(known / np.outer(sd, sd))
    except np.linalg.LinAlgError:
        root[:k, :k] = np.diag(sd)
    root[k, k] = np.clip(np.sqrt(2 / data.terms[0].n_levels), 0.01, 1.0)
    return root


def lambda_of_variance(kind: RandomFamily, variance: float) -> float:
    """Lambda for which v has about this variance."""
    grid = np.exp(np.linspace(*LOG_LAMBDA_RANGE, 85))
    if kind.name == "gaussian":
        return variance
    of_grid = np.array([kind.variance_of_v(l) for l in grid])
    return float(np.interp(variance, of_grid, grid))


def _climb(
    exact: Objective, rough: Objective | None, starts: list[Array], root: Array, lower: Array
) -> Minimum[Evaluation] | None:
    """The lowest minimum from the best of some starts; None where none is allowed.

    ``root`` is about a root of the parameters' covariance; ``rough`` a cheaper form for most of
    the way.
    """
    form = rough or exact
    found = [form(x) for x in starts]
    best = int(np.argmin([f.value for f in found]))
    x, at = starts[best], found[best]
    if not np.isfinite(at.value):
        return None
    curvature = np.linalg.inv(root @ root.T)
    if rough is not None:
        x, at = descend(rough, x, curvature, near=at, lower=lower, enough=ROUGHLY)
        curvature = hessian_by_differences(lambda moved: rough(moved, at).gradient, x, root)
    return minimise(exact, x, curvature, near=at, lower=lower)


def _covariance(objective: Objective, top: Minimum[Evaluation]) -> Array:
    """Covariance of all parameters, from a Hessian by finer differences than the search needs."""
    rough = covariance(top.hessian)
    try:
        root = np.linalg.cholesky(rough)
    except np.linalg.LinAlgError:
        return rough
    gradient = lambda x: objective(x, top.at).gradient  # noqa: E731
    return covariance(hessian_by_differences(gradient, top.x, FINE * root))


def _on_the_link(
    data: HierarchicalData, form: Marginal, u: Array, u_sd: Array, eta: Array
) -> tuple[Array, Array]:
    """What effects u add to the linear predictor, and its sd by the delta method."""
    if isinstance(form, NoVariance):
        return np.zeros_like(u), np.zeros_like(u)
    if isinstance(form, BetaBinomial):  # u is the group's own probability
        link = data.family.link
        at = link.eta(u)
        return at - eta[form.first], u_sd / link.dmu(at)
    b = data.random[0].v(u)
    return b, u_sd / np.abs(data.random[0].slope(b))


def fit_linear_mixed(data: HierarchicalData) -> Estimates:
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
