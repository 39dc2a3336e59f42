r"""The likelihood of a generalised mixed model as one function of one vector, and its maximum.

The search starts at the model without random effects: its coefficients by Fisher scoring, then its
maximum in all its parameters. Standard deviations start at moment estimates
(``mixedlab.models.start_values``), shortened until the likelihood is not below that model's, so
that the search, which only ever climbs, ends above it. A search that does not converge, or that
ends at a variance of zero where there may be a second maximum, is tried again from other variances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.crossed_likelihood import CrossedLikelihood
from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.fixed_likelihood import FixedLikelihood, scoring
from mixedlab.engine.grouped_likelihood import GroupedLikelihood
from mixedlab.engine.integrated_likelihood import OUTSIDE, Evaluation
from mixedlab.engine.quasi_newton import Minimum, descend, minimise
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.parameter_vector import ParameterVector
from mixedlab.models.start_values import first_deviations, first_dispersion, spread_of_means

Array = NDArray[np.float64]

_FAR = 9.0  # a linear predictor this far out means probabilities of 0 or 1 to four digits
_ROUGH = 1e-2  # fall below which Laplace's maximum is left for quadrature's
_PLAIN = {"negative_binomial": "poisson", "beta_binomial": "binomial"}


@dataclass(frozen=True, eq=False)
class JointEvaluation:
    """Minus the penalised log-likelihood and its gradient in internal units, at one point.

    ``marginal`` is the evaluation of the likelihood itself: its value, modes and factor.
    """

    value: float
    gradient: Array
    marginal: Evaluation


@dataclass(frozen=True, eq=False)
class JointLikelihood:
    """Log-likelihood of (theta, beta, log dispersion), penalties included where asked for.

    A value: evaluations come out of it and nothing is kept. ``weights`` may be the number 1.
    """

    family: Family
    y: Array
    X: Array
    terms: Sequence[RandomTerm]
    weights: Array | float
    offset: Array
    nagq: int
    names: Sequence[str]
    prior_sd: float | None = None
    penalty: str | None = None

    @cached_property
    def vector(self) -> ParameterVector:
        """The layout and units of the parameters."""
        return ParameterVector.of(self.family, self.y, self.X, self.terms)

    @cached_property
    def likelihood(self) -> GroupedLikelihood | CrossedLikelihood | FixedLikelihood:
        """The likelihood with the random effects integrated out, without penalties."""
        arrays = (self.weights, self.offset)
        if not self.terms:
            return FixedLikelihood(self.family, self.y, self.X, *arrays)
        if len(self.vector.layout.factors) == 1:
            return GroupedLikelihood(self.family, self.y, self.X, self.terms, *arrays, self.nagq)
        return CrossedLikelihood(self.family, self.y, self.X, self.terms, *arrays)

    @cached_property
    def _by_laplace(self) -> JointLikelihood:
        """The same model by Laplace's approximation."""
        return self if self.nagq == 1 or not self.terms else replace(self, nagq=1)

    # --- values

    def at(self, user: Array, gradient: bool = True, near: Evaluation | None = None) -> Evaluation:
        """The likelihood (no penalty) at parameters in the data's units."""
        with np.errstate(all="ignore"):
            return self.likelihood(*self.vector.split(user), gradient, near)

    def evaluate(self, x: Array, near: JointEvaluation | None = None) -> JointEvaluation:
        """Minus the penalised log-likelihood and its gradient, in internal units."""
        user = self.vector.to_user(x)
        at = self.at(user, near=None if near is None else near.marginal)
        if not at.finite:
            return JointEvaluation(np.inf, np.zeros_like(x), OUTSIDE)
        value, gradient = -at.loglik, -self.vector.gradient(at, user)
        of_beta, beta = self.vector.of_beta, user[self.vector.of_beta]
        if self.prior_sd is not None:
            b = np.where(self._penalised, beta, 0.0)
            value += 0.5 * float(b @ b) / self.prior_sd**2
            gradient[of_beta] += b / self.prior_sd**2
        if self.penalty == "firth":
            extra, d_extra = self._firth(beta)
            value, gradient[of_beta] = value - extra, gradient[of_beta] - d_extra
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return JointEvaluation(np.inf, np.zeros_like(x), OUTSIDE)
        return JointEvaluation(value, gradient / self.vector.scale, at)

    @cached_property
    def _penalised(self) -> NDArray[np.bool_]:
        return np.array([name != "(Intercept)" for name in self.names], dtype=bool)

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
            return -np.inf, np.zeros(beta.size)
        leverage = np.einsum("ij,jk,ik->i", self.X, np.linalg.inv(information), self.X)
        return 0.5 * float(log_det), 0.5 * self.X.T @ (leverage * (up - down) / (2 * h))

    # --- the model without random effects, and where to start from it

    @cached_property
    def _scored(self) -> tuple[Array, bool]:
        """Coefficients without random effects, in internal units, and whether they settled."""
        free = self.prior_sd is None and self.penalty is None
        X = self.X / self.vector.scale[self.vector.of_beta]
        # the overdispersed families start from the coefficients of their plain relatives
        plain = _PLAIN.get(self.family.name)
        kind = self.family if plain is None else family_named(plain, self.family.link.name)
        return scoring(kind, self.y, X, self.weights, self.offset, 25 if free else 2)

    def fixed_start_runs_away(self) -> bool:
        """Whether the model without random effects has fitted values at the end of their range."""
        if self.family.name not in ("binomial", "beta_binomial", "poisson", "negative_binomial"):
            return False
        beta, settled = self._scored
        return not settled or self.is_far(beta / self.vector.scale[self.vector.of_beta])

    def is_far(self, beta: Array) -> bool:
        """Whether the fixed part runs so far out that means are at the end of their range.

        With an identity or inverse link that depends on the unit, and no distance is far.
        """
        if self.family.link.name in ("identity", "inverse"):
            return False
        eta = self.X @ beta
        return bool(np.abs(eta - np.median(eta)).max(initial=0.0) > _FAR)

    @cached_property
    def without_effects(self) -> tuple[Array, JointEvaluation]:
        """Parameters (beta, log dispersion; internal units) without random effects, and the value.

        At the maximum, penalties included.
        """
        plain = replace(self, terms=(), nagq=1)
        x, _ = self._scored
        if self.vector.has_dispersion:
            low_high = np.exp(self.vector.dispersion_range)
            phi = first_dispersion(self.family, self.y, self._fixed_means(x)[1], self.weights)
            x = np.append(x, np.log(np.clip(phi, *low_high)))
        return descend(plain.evaluate, x, plain.curvature(x, plain.evaluate(x)), enough=1e-7)

    def _fixed_means(self, beta: Array) -> tuple[Array, Array]:
        """Linear predictor and mean without random effects; beta in internal units."""
        eta = self.offset + self.X @ (beta / self.vector.scale[self.vector.of_beta])
        with np.errstate(all="ignore"):
            return eta, self.family.link.mu(eta)

    def _starts(self) -> Iterator[tuple[Array, JointEvaluation]]:
        """Points to start from, the likeliest first; where one leads nowhere the next is tried."""
        plain, floor = self.without_effects
        n_theta = self.vector.n_theta
        if not self.terms:
            yield plain, floor
            return
        without = np.append(np.zeros(n_theta), plain)
        if not np.isfinite(floor.value):
            yield without, self._by_laplace.evaluate(without)
            return

        def start(sd: list[Array], rest: Array) -> tuple[Array, JointEvaluation]:
            theta = self.vector.layout.pack([np.diag(s / np.sqrt(s.size)) for s in sd])
            x = np.append(theta * self.vector.scale[:n_theta], rest)
            return x, self._by_laplace.evaluate(x)

        sd, rest = self._first_deviations(plain)
        x, at = start(sd, rest)
        for shrink in 0.3 ** np.arange(1, 7):
            if at.value <= floor.value:
                break
            x, at = start([shrink * s for s in sd], plain)
        yield x, at
        spread = spread_of_means(self.family, self.y, self.weights, self.terms)
        for share in (1.0, 0.4, 0.15):
            x, at = start([share * s for s in spread], rest)
            if np.isfinite(at.value):
                yield x, at
        yield without, self._by_laplace.evaluate(without)

    def _first_deviations(self, plain: Array) -> tuple[list[Array], Array]:
        """Moment estimates of each term's standard deviations, and beta and dispersion for them."""
        dispersion = float(np.exp(plain[-1])) if self.vector.has_dispersion else 1.0
        eta, mu = self._fixed_means(plain[: self.vector.p])
        sd, share = first_deviations(
            self.family, self.y, eta, mu, self.weights, dispersion, self.terms
        )
        rest = plain.copy()
        if self.family.name in ("gaussian", "gamma"):  # the groups' share of the residual variance
            rest[-1] += np.log1p(-min(share, 0.9))
        return sd, rest

    def curvature(self, x: Array, at: JointEvaluation) -> Array:
        """A first Hessian at x.

        The information about beta given the random effects, and differences of the gradient for
        theta and the dispersion.
        """
        hessian = np.eye(x.size)
        if not np.isfinite(at.value):
            return hessian
        of_beta, scale = self.vector.of_beta, self.vector.scale[self.vector.of_beta]
        dispersion = self.vector.split(self.vector.to_user(x))[2]
        information = self.likelihood.information_of_beta(at.marginal, dispersion)
        information = information / np.outer(scale, scale)
        hessian[of_beta, of_beta] = 0.5 * (information + information.T)
        for k in np.delete(np.arange(x.size), of_beta):
            moved = x.copy()
            moved[k] += 1e-4
            other = self.evaluate(moved, at)
            if np.isfinite(other.value):
                hessian[k, k] = (other.gradient[k] - at.gradient[k]) / 1e-4
        return hessian

    # --- the maximum

    def maximise(self, start: Array | None = None, prove: bool = True) -> Minimum[JointEvaluation]:
        """Maximum-likelihood estimates, in internal units.

        Without ``prove`` there is no Hessian at the maximum, which halves the time.
        """
        if start is not None:
            x = self.vector.from_user(start)
            return self._maximise_from(x, self._by_laplace.evaluate(x), prove)
        best, floor = None, self.without_effects[1].value
        for x, at in self._starts():
            found = self._maximise_from(x, at, prove)
            # two that end alike short of a maximum are at the edge of what the data allow
            alike = best is not None and abs(found.value - best.value) < 0.1
            if best is None or found.value < best.value - 1e-7:
                best = found
            if alike and not best.converged and best.value <= floor + 1e-6:
                break
            poor = not best.converged or best.value > floor + 1e-6
            if not poor and not (self._may_have_two_maxima and self._is_singular(best.x)):
                break
        return best

    def _is_singular(self, x: Array) -> bool:
        return self.vector.is_singular(self.vector.to_user(x))

    @property
    def _may_have_two_maxima(self) -> bool:
        """Whether the density is not log-concave in eta, so that a second maximum may be there."""
        kind = self.family.name
        return (self.family.link.name in ("identity", "inverse") and kind != "gaussian") or (
            kind == "gaussian" and self.family.link.name != "identity"
        )

    def _maximise_from(self, x: Array, at: JointEvaluation, prove: bool) -> Minimum:
        """The maximum that is reached from x, where ``at`` is Laplace's evaluation."""
        hessian = None
        if self._by_laplace is not self:  # its maximum costs a fraction of quadrature's
            rough = self._by_laplace
            hessian = rough.curvature(x, at)
            if prove:
                found = minimise(rough.evaluate, x, hessian, near=at, rounds=1)
                top, top_at, hessian = found.x, found.at, found.hessian
            else:
                top, top_at = descend(rough.evaluate, x, hessian, near=at, enough=_ROUGH)
            there = self.evaluate(top, top_at)
            if np.isfinite(there.value):
                x, at = top, there
            else:
                at, hessian = self.evaluate(x, at), None
        if hessian is None or not np.isfinite(hessian).all():
            hessian = self.curvature(x, at)
        if prove:
            found = self._settle_at_limit(minimise(self.evaluate, x, hessian, near=at))
        else:
            x, at = descend(self.evaluate, x, hessian, near=at)
            unknown = np.full_like(hessian, np.nan)
            found = Minimum(x, at, unknown, bool(np.isfinite(at.value)), 0)
        return self._turned(self._settle_at_zero(found))

    def _settle_at_limit(self, found: Minimum) -> Minimum:
        """Give up a dispersion that runs to its limit: the plain family is as likely.

        On the way there the likelihood has no curvature that rounding would leave visible.
        """
        vector = self.vector
        if not vector.has_dispersion or found.x[-1] < vector.dispersion_range[1] - 12.0:
            return found
        x = found.x.copy()
        x[-1] = vector.dispersion_range[1] + 1.0
        free = np.arange(x.size) < x.size - 1
        part = minimise(
            self._confined(np.where(free, 0.0, x), np.eye(x.size)[:, free]),
            x[free],
            found.hessian[np.ix_(free, free)],
            near=found.at,
        )
        if part.value > found.value + 1e-4:
            return found
        hessian = np.zeros_like(found.hessian)
        hessian[np.ix_(free, free)] = part.hessian
        x[free] = part.x
        return replace(part, x=x, at=self.evaluate(x, part.at), hessian=hessian)

    def _settle_at_zero(self, found: Minimum) -> Minimum:
        """Put columns of Lambda that are as good as zero exactly there.

        The likelihood is even in each column's sign, so its gradient vanishes at 0 whatever the
        data; the value decides, and `minimise` has looked at the curvature.
        """
        x = self.vector.at_zero(found.x)
        if np.array_equal(x, found.x):
            return found
        at = self.evaluate(x, found.at)
        if at.value > found.value + 1e-7 * (1 + 1e-6 * abs(found.value)):
            return found
        return replace(found, x=x, at=at)

    def _turned(self, found: Minimum) -> Minimum:
        """The same covariances, with no diagonal of Lambda negative."""
        sign = self.vector.signs(found.x)
        if (sign > 0).all():
            return replace(found, x=found.x + 0.0)
        x = found.x * sign + 0.0
        return replace(
            found, x=x, at=self.evaluate(x), hessian=found.hessian * np.outer(sign, sign)
        )

    def _confined(
        self, base: Array, basis: Array
    ) -> Callable[[Array, JointEvaluation | None], JointEvaluation]:
        """The evaluation at ``base + basis u`` as a function of u."""

        def evaluate(u: Array, near: JointEvaluation | None) -> JointEvaluation:
            at = self.evaluate(base + basis @ u, near)
            return replace(at, gradient=basis.T @ at.gradient)

        return evaluate

    def maximise_fixing(
        self,
        index: int,
        value: float,
        start: Array,
        hessian: Array | None = None,
        near: JointEvaluation | None = None,
    ) -> tuple[float, Array]:
        """Highest penalised log-likelihood with parameter ``index`` held at ``value``.

        In and out in the data's units; the parameters found are the start for the next value.
        ``hessian`` is one nearby in internal units, ``near`` an evaluation.
        """
        unit = np.eye(start.size)
        base = value * self.vector.scale[index] * unit[index]
        return self.maximise_within(base, np.delete(unit, index, axis=1), start, hessian, near)

    def maximise_within(
        self,
        base: Array,
        basis: Array,
        start: Array,
        hessian: Array | None = None,
        near: JointEvaluation | None = None,
    ) -> tuple[float, Array]:
        """Highest penalised log-likelihood among the parameters ``base + basis u``.

        ``base`` (d,) and the orthonormal columns of ``basis`` (d, k) are in internal units; the
        rest is as in `maximise_fixing`.
        """
        u = basis.T @ (self.vector.from_user(start) - base)
        if hessian is None or not np.isfinite(hessian).all():
            x = base + basis @ u
            hessian = self.curvature(x, self.evaluate(x, near))
        u, at = descend(self._confined(base, basis), u, basis.T @ hessian @ basis, near=near)
        return -at.value, self.vector.to_user(base + basis @ u)
