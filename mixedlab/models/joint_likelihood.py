"""The likelihood of a generalised mixed model as one function of one vector of parameters.

The vector holds the entries of the relative factors (theta), beta, and the log of the dispersion
where the family has one. Inside, beta and theta are measured in units of their columns' root mean
squares, so that a covariate in millionths costs no digit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.crossed_likelihood import CrossedLikelihood
from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.fixed_likelihood import FixedLikelihood, scoring
from mixedlab.engine.grouped_likelihood import Evaluation, GroupedLikelihood
from mixedlab.engine.joint_maximum import Maximum, Objective, climb, maximise
from mixedlab.engine.layout import Layout, lower_triangle
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]

_FIRST_SD = 0.7  # standard deviation of a random effect's part of eta to start from
_FAR = 12.0  # a linear predictor this far out means probabilities of 0 or 1 to five digits
_CHECK_NODES = 7  # of the quadrature that Laplace is compared with
_AT_ZERO = 2e-3  # a scaled diagonal of Lambda below this is tried at 0


class LaplaceWarning(UserWarning):
    """Laplace's approximation is too coarse for these data; the message gives the remedy."""


class JointLikelihood:
    """Log-likelihood of (theta, beta, log dispersion), penalties included where asked for."""

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        terms: Sequence[RandomTerm],
        weights: Array | float,
        offset: Array,
        nagq: int,
        names: Sequence[str],
        prior_sd: float | None = None,
        penalty: str | None = None,
    ) -> None:
        self.family, self.y, self.X, self.terms = family, y, X, tuple(terms)
        self.weights, self.offset, self.names = weights, offset, tuple(names)
        self.nagq, self.prior_sd, self.penalty = int(nagq), prior_sd, penalty
        self.layout = Layout.of(self.terms)
        self.likelihood = self._likelihood(self.nagq)
        self.n_theta, self.p = self.layout.n_theta, X.shape[1]
        self.penalised = np.array([name != "(Intercept)" for name in names], dtype=bool)
        self.scale = self._scales()
        self.hessian: Array | None = None  # at the maximum, once it is found

    def _likelihood(self, nagq: int):
        arrays = (self.weights, self.offset)
        if not self.terms:
            return FixedLikelihood(self.family, self.y, self.X, *arrays)
        if len(self.layout.factors) == 1:
            terms = list(self.terms)
            return GroupedLikelihood(self.family, self.y, self.X, terms, *arrays, nagq)
        return CrossedLikelihood(self.family, self.y, self.X, list(self.terms), *arrays)

    def _scales(self) -> Array:
        """Root mean square of the column that each parameter multiplies (1 for the dispersion)."""
        of_x = np.sqrt(np.mean(self.X**2, axis=0))
        of_theta = np.ones(self.n_theta)
        for term, where in zip(self.terms, self.layout.slices, strict=True):
            rms = np.sqrt(np.mean(term.Z**2, axis=0))
            of_theta[where] = rms[lower_triangle(term.n_coefs)[0]]
        scale = np.concatenate([of_theta, of_x, np.ones(int(self.family.has_dispersion))])
        return np.where(scale > 0, scale, 1.0)

    def with_terms(self, terms: Sequence[RandomTerm]) -> JointLikelihood:
        """The same model with other random terms."""
        return JointLikelihood(
            self.family, self.y, self.X, terms, self.weights, self.offset, self.nagq, self.names,
            self.prior_sd, self.penalty,
        )  # fmt: skip

    # --- the parameter vector

    def to_user(self, x: Array) -> Array:
        """From internal units to the data's."""
        return x / self.scale

    def _turned(self, found: Maximum) -> Maximum:
        """The same covariances, with Lambda's columns turned so that diagonals are not negative."""
        factors = self.layout.unpack(found.x[: self.n_theta])
        if not factors:
            return found
        turn = [np.ones_like(L) * np.where(np.diag(L) < 0, -1.0, 1.0) for L in factors]
        sign = np.ones(found.x.size)
        sign[: self.n_theta] = self.layout.pack(turn)
        return replace(
            found,
            x=found.x * sign + 0.0,
            gradient=found.gradient * sign,
            hessian=found.hessian * np.outer(sign, sign),
        )

    def split(self, user: Array) -> tuple[Array, Array, float]:
        """Theta, beta, dispersion."""
        m, p = self.n_theta, self.p
        if not self.has_dispersion:
            return user[:m], user[m : m + p], 1.0
        log_dispersion = float(np.clip(user[-1], -40.0, self.dispersion_limit))
        return user[:m], user[m : m + p], float(np.exp(log_dispersion))

    @cached_property
    def dispersion_limit(self) -> float:
        """Log dispersion beyond which an overdispersed family is its plain relative."""
        if self.family.name == "negative_binomial":
            return float(np.log(1e7 * max(1.0, float(np.mean(self.y)))))
        return float(np.log(1e7)) if self.family.name == "beta_binomial" else 40.0

    def at_dispersion_limit(self, user: Array) -> bool:
        """Whether the data show no overdispersion at all."""
        return self.has_dispersion and bool(user[-1] > self.dispersion_limit - 3.0)

    @property
    def has_dispersion(self) -> bool:
        """Whether the last parameter is a log dispersion."""
        return self.family.has_dispersion

    def covariance_to_user(self, internal: Array) -> Array:
        """Covariance of the parameters in the data's units."""
        return internal / np.outer(self.scale, self.scale)

    # --- values

    def at(self, user: Array, gradient: bool = True) -> Evaluation:
        """The likelihood (no penalty) at parameters in the data's units."""
        with np.errstate(all="ignore"):
            return self.likelihood(*self.split(user), gradient)

    def objective(self, x: Array) -> tuple[float, Array]:
        """Minus the penalised log-likelihood and its gradient, in internal units."""
        user = x / self.scale
        at, (_, beta, _) = self.at(user), self.split(user)
        if not at.finite:
            return np.inf, np.zeros_like(x)
        value, d_beta = -at.loglik, -at.d_beta
        if self.prior_sd is not None:
            b = np.where(self.penalised, beta, 0.0)
            value += 0.5 * float(b @ b) / self.prior_sd**2
            d_beta = d_beta + b / self.prior_sd**2
        if self.penalty == "firth":
            extra, d_extra = self._firth(beta)
            value, d_beta = value - extra, d_beta - d_extra
        parts = [-at.d_theta, d_beta]
        if self.has_dispersion:
            inside = user[-1] < self.dispersion_limit
            parts.append([-at.d_log_dispersion if inside else 0.0])
        gradient = np.concatenate(parts) / self.scale
        if not np.isfinite(gradient).all():
            return np.inf, np.zeros_like(x)
        return value, gradient

    def _firth(self, beta: Array) -> tuple[float, Array]:
        """Half the log determinant of X'WX, weights of the fixed part, and its gradient."""
        eta = self.offset + self.X @ beta
        h = 1e-5
        W, up, down = (
            self.family.fisher_weights(e, self.weights, 1.0) for e in (eta, eta + h, eta - h)
        )
        information = self.X.T @ (W[:, None] * self.X)
        sign, log_det = np.linalg.slogdet(information)
        if sign <= 0:
            return -np.inf, np.zeros(self.p)
        leverage = np.einsum("ij,jk,ik->i", self.X, np.linalg.inv(information), self.X)
        return 0.5 * float(log_det), 0.5 * self.X.T @ (leverage * (up - down) / (2 * h))

    # --- start values

    @cached_property
    def _fixed_start(self) -> tuple[Array, bool]:
        """Coefficients without random effects, in internal units, and whether they settled."""
        steps = 25 if self.prior_sd is None and self.penalty is None else 2
        X = self.X / self.scale[self.n_theta : self.n_theta + self.p]
        # the overdispersed families start from the coefficients of their plain relatives
        plain = {"negative_binomial": "poisson", "beta_binomial": "binomial"}.get(self.family.name)
        kind = self.family if plain is None else family_named(plain, self.family.link.name)
        return scoring(kind, self.y, X, self.weights, self.offset, steps)

    def fixed_start_runs_away(self) -> bool:
        """Whether the model without random effects has fitted values at the end of their range."""
        if self.family.name not in ("binomial", "beta_binomial", "poisson", "negative_binomial"):
            return False
        beta, settled = self._fixed_start
        eta = self.X @ (beta / self.scale[self.n_theta : self.n_theta + self.p])
        return not settled or bool(np.abs(eta - np.median(eta)).max(initial=0.0) > _FAR)

    def start(self) -> Array:
        """Coefficients of the model without random effects, modest variances."""
        beta, _ = self._fixed_start
        theta = (
            self.layout.pack([np.eye(t.n_coefs) * _FIRST_SD / t.n_coefs for t in self.terms])
            if self.terms
            else np.zeros(0)
        )
        x = np.concatenate([theta, beta])
        if self.has_dispersion:
            x = np.append(x, np.log(self._first_dispersion(beta)))
        if self.terms and not np.isfinite(self.objective(x)[0]):
            x[: self.n_theta] *= 0.01  # a mean near the end of its range leaves little room
        return x

    def _first_dispersion(self, beta: Array) -> float:
        """Moment estimate from the model without random effects."""
        X = self.X / self.scale[self.n_theta : self.n_theta + self.p]
        mu = self.family.link.mu(self.offset + X @ beta)
        base = self.family.unit_variance(mu)
        w = np.broadcast_to(np.asarray(self.weights, dtype=float), mu.shape)
        with np.errstate(all="ignore"):
            ratio = float(np.nanmean(w * (self.y - mu) ** 2 / base))
            if self.family.name == "negative_binomial":
                excess = np.nanmean((self.y - mu) ** 2 - mu) / np.nanmean(mu**2)
                return float(np.clip(1 / max(excess, 1e-3), 0.05, 100.0))
            if self.family.name == "beta_binomial":
                rho = (ratio - 1) / max(float(w.mean()) - 1, 1e-6)
                return float(np.clip(1 / max(rho, 1e-3) - 1, 0.5, 200.0))
        return float(max(ratio, 1e-10))

    def _curvature(self, x: Array) -> Array:
        """A first Hessian.

        The information about beta given the random effects, and differences of the gradient for
        theta and the dispersion.
        """
        value, gradient = self.objective(x)
        d = x.size
        beta = slice(self.n_theta, self.n_theta + self.p)
        hessian = np.eye(d)
        if not np.isfinite(value):
            return hessian
        hessian[beta, beta] = self._information_of_beta(x)
        for k in [*range(self.n_theta), *range(self.n_theta + self.p, d)]:
            h = 1e-4
            moved = x.copy()
            moved[k] += h
            other, other_gradient = self.objective(moved)
            if np.isfinite(other):
                column = (other_gradient - gradient) / h
                hessian[k, k] = column[k]
        return hessian

    def _information_of_beta(self, x: Array) -> Array:
        """X'WX - X'WZ (Z'WZ + G^-1)^-1 Z'WX at the last modes, in internal units."""
        X = self.X / self.scale[self.n_theta : self.n_theta + self.p]
        _, _, dispersion = self.split(x / self.scale)
        eta = self.offset + X @ x[self.n_theta : self.n_theta + self.p]
        for term, b in zip(self.terms, self.likelihood.modes(), strict=True):
            eta = eta + (term.Z * b[term.index]).sum(1)
        W = self.family.fisher_weights(eta, self.weights, dispersion)
        W = np.where(np.isfinite(W), W, 0.0)
        left = X.copy()
        for k in range(self.p):
            moved = self.likelihood.solve_modes(W, X[:, k])
            for term, m in zip(self.terms, moved, strict=True):
                left[:, k] -= (term.Z * m[term.index]).sum(1)
        information = X.T @ (W[:, None] * left)
        return 0.5 * (information + information.T)

    # --- the maximum

    def maximise(self, start: Array | None = None, prove: bool = True) -> Maximum:
        """Maximum-likelihood estimates, in internal units.

        Quadrature starts from Laplace's maximum, which costs a fraction of it. Without ``prove``
        there is no Hessian at the maximum, which halves the time.
        """
        x = self.start() if start is None else start * self.scale
        if self.nagq > 1 and self.terms:
            x, hessian = self._laplace_maximum(x, prove)
        else:
            hessian = self._curvature(x)
        if not prove:
            x, value = climb(self.objective, x, hessian)
            unknown = np.full_like(hessian, np.nan)
            found = Maximum(x, value, np.zeros_like(x), unknown, bool(np.isfinite(value)), 0)
            return self._turned(self._settle_at_zero(found))
        found = maximise(self.objective, x, hessian)
        found = self._turned(self._settle_at_zero(self._settle_at_limit(found)))
        self.hessian = found.hessian if np.isfinite(found.hessian).all() else None
        return found

    def _laplace_maximum(self, x: Array, prove: bool) -> tuple[Array, Array]:
        """Where quadrature starts, and a Hessian that is near its own."""
        exact = self.likelihood
        self.likelihood = self._likelihood(1)
        hessian = self._curvature(x)
        if prove:
            rough = maximise(self.objective, x, hessian, rounds=1)
            found, hessian = rough.x, rough.hessian
        else:
            found, _ = climb(self.objective, x, hessian)
        exact.u = self.likelihood.u
        self.likelihood = exact
        if np.isfinite(self.objective(found)[0]):
            return found, hessian
        return x, self._curvature(x)

    def _settle_at_limit(self, found: Maximum) -> Maximum:
        """Give up a dispersion that runs to its limit: the plain family is as likely.

        On the way there the likelihood has no curvature that rounding would leave visible.
        """
        if not self.has_dispersion or found.x[-1] < self.dispersion_limit - 12.0:
            return found
        x = found.x.copy()
        x[-1] = self.dispersion_limit + 1.0
        free = np.arange(x.size) < x.size - 1
        plain = self._maximise_part(x, free, found.hessian)
        return plain if plain.value <= found.value + 1e-4 else found

    def _holding(self, x: Array, free: NDArray[np.bool_]) -> Objective:
        """The objective as a function of the ``free`` parameters, the others held as in x."""

        def objective(part: Array) -> tuple[float, Array]:
            full = x.copy()
            full[free] = part
            value, gradient = self.objective(full)
            return value, gradient[free]

        return objective

    def _maximise_part(self, x: Array, free: NDArray[np.bool_], hessian: Array) -> Maximum:
        """Maximum over the ``free`` parameters, the others held as in x."""
        cells = np.ix_(free, free)
        found = maximise(self._holding(x, free), x[free], hessian[cells])
        full_x, full_gradient, full_hessian = x.copy(), np.zeros(x.size), np.zeros((x.size,) * 2)
        full_x[free], full_gradient[free] = found.x, found.gradient
        full_hessian[cells] = found.hessian
        return replace(found, x=full_x, gradient=full_gradient, hessian=full_hessian)

    def _settle_at_zero(self, found: Maximum) -> Maximum:
        """Put columns of Lambda that are as good as zero exactly there.

        The likelihood is even in each column's sign, so its gradient vanishes at 0 whatever the
        data; the value decides, and `maximise` has looked at the curvature.
        """
        x = found.x.copy()
        for where, term in zip(self.layout.slices, self.terms, strict=True):
            rows, cols = lower_triangle(term.n_coefs)
            part = x[where]
            for k in range(term.n_coefs):
                column = np.abs(part[cols == k])
                if column.max() < _AT_ZERO and column.max() > 0:
                    part[cols == k] = 0.0
                elif 0 < np.abs(part[(cols == k) & (rows == k)]).max() < _AT_ZERO:
                    part[(cols == k) & (rows == k)] = 0.0
        if np.array_equal(x, found.x):
            return found
        value, gradient = self.objective(x)
        if value > found.value + 1e-7 * (1 + 1e-6 * abs(found.value)):
            self.objective(found.x)
            return found
        return Maximum(x, value, gradient, found.hessian, found.converged, found.n_evaluations + 1)

    def laplace_error(self, user: Array, vcov: Array) -> Array | None:
        """By how many standard errors quadrature would move each parameter, to first order.

        One Newton step from Laplace's maximum with the gradient of quadrature with a few nodes.
        None where there is nothing to compare: quadrature already, crossed factors, many
        random coefficients a level.
        """
        if self.nagq > 1 or len(self.layout.factors) != 1 or self.layout.factors[0].n_coefs > 2:
            return None
        finer = self._likelihood(_CHECK_NODES)
        finer.u = self.likelihood.u.copy()
        with np.errstate(all="ignore"):
            at = finer(*self.split(user))
        if not at.finite:
            return None
        parts = [at.d_theta, at.d_beta, [at.d_log_dispersion] * int(self.has_dispersion)]
        known = np.where(np.isnan(vcov), 0.0, vcov)
        se = np.sqrt(np.diag(known))
        # a penalised maximum has a gradient of its own, which is not an error
        own = self.at(user)
        rest = [own.d_theta, own.d_beta, [own.d_log_dispersion] * int(self.has_dispersion)]
        step = known @ (np.concatenate(parts) - np.concatenate(rest))
        return np.divide(step, se, out=np.zeros_like(step), where=se > 0)

    def warn_if_laplace_is_off(self, user: Array, vcov: Array) -> None:
        """Warn where quadrature would move an estimate by more than half its standard error."""
        error = self.laplace_error(user, vcov)
        if error is None or np.abs(error).max(initial=0.0) < 0.5:
            return
        worst = int(np.abs(error).argmax())
        labels = ["a standard deviation of the random effects"] * self.n_theta
        labels += [f"the coefficient of {name!r}" for name in self.names] + ["the dispersion"]
        warnings.warn(
            f"Laplace's approximation is poor here: quadrature would move {labels[worst]} by about "
            f"{abs(error[worst]):.1f} standard errors. The groups are small or their spread is "
            "large. Fit with nagq=15 or more.",
            LaplaceWarning,
            stacklevel=5,
        )

    def maximise_fixing(self, index: int, value: float, start: Array) -> tuple[float, Array]:
        """Highest penalised log-likelihood with parameter ``index`` held at ``value``.

        In and out in the data's units; the parameters found are the start for the next value.
        """
        x = start * self.scale
        x[index] = value * self.scale[index]
        free = np.arange(x.size) != index
        hessian = self._curvature(x) if self.hessian is None else self.hessian
        objective = self._holding(x, free)
        x[free], lowest = climb(objective, x[free], hessian[np.ix_(free, free)])
        return -lowest, x / self.scale

    def is_singular(self, user: Array) -> bool:
        """Whether some combination of a term's coefficients has variance zero."""
        scaled = user * self.scale
        for L in self.layout.unpack(scaled[: self.n_theta]):
            values = np.linalg.svd(L, compute_uv=False)
            if values[-1] < 1e-4 * max(1.0, values[0]):
                return True
        return False
