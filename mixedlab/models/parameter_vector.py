"""The parameters of a generalised mixed model as one vector, and the units it is searched in.

The vector holds the entries of the relative factors (theta), beta, and the log of the dispersion
where the family has one. Inside, beta and theta are measured so that a unit moves the linear
predictor by about what it varies: by their columns' root mean squares, and where the link keeps
the response's own unit (identity, inverse) by that unit. A response in millions or a covariate in
millionths then costs no digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.integrated_likelihood import Evaluation
from mixedlab.engine.quasi_newton import covariance
from mixedlab.engine.terms import Layout, RandomTerm, lower_triangle

Array = NDArray[np.float64]

_ENDLESS = 1e4  # standard error of what has no finite estimate, in internal units
_AT_ZERO = 2e-3  # a scaled diagonal of Lambda below this is tried at 0


@dataclass(frozen=True, eq=False)
class ParameterVector:
    """Where theta, beta and the log dispersion lie, and the scale of each.

    Attributes
    ----------
    layout : Layout
    p : int
        Number of fixed effects.
    scale : ndarray (d,)
        ``internal = user * scale``.
    dispersion_range : (float, float) or None
        Of the log dispersion, None where the family has none. At the upper end an overdispersed
        family is its plain relative.
    """

    layout: Layout
    p: int
    scale: Array
    dispersion_range: tuple[float, float] | None

    @classmethod
    def of(cls, family: Family, y: Array, X: Array, terms: Sequence[RandomTerm]) -> ParameterVector:
        """The vector of a model; scales are root mean squares of columns."""
        layout = Layout.of(terms)
        of_theta = np.ones(layout.n_theta)
        for term, where in zip(terms, layout.slices, strict=True):
            rms = np.sqrt(np.mean(term.Z**2, axis=0))
            of_theta[where] = rms[lower_triangle(term.n_coefs)[0]]
        of_x = np.sqrt(np.mean(X**2, axis=0))
        scale = np.concatenate([of_theta, of_x]) / _unit_of_eta(family, y)
        scale = np.append(np.where(scale > 0, scale, 1.0), np.ones(int(family.has_dispersion)))
        return cls(layout, X.shape[1], scale, _dispersion_range(family, y))

    @property
    def n_theta(self) -> int:
        """Number of entries of the factors."""
        return self.layout.n_theta

    @property
    def of_beta(self) -> slice:
        """Where beta lies."""
        return slice(self.n_theta, self.n_theta + self.p)

    @property
    def has_dispersion(self) -> bool:
        """Whether the last parameter is a log dispersion."""
        return self.dispersion_range is not None

    def to_user(self, x: Array) -> Array:
        """From internal units to the data's."""
        return x / self.scale

    def from_user(self, user: Array) -> Array:
        """From the data's units to internal ones."""
        return user * self.scale

    def covariance_to_user(self, internal: Array) -> Array:
        """Covariance of the parameters in the data's units."""
        return internal / np.outer(self.scale, self.scale)

    def covariance_with_endless(self, hessian: Array, X: Array, direction: Array) -> Array:
        """Covariance in the data's units where beta has no maximum along a direction (p,).

        Rows that move along it are predicted without error and have no information left. What
        the other rows do not see of beta gets a variance without bound, or as good as; what they
        see is as if there were no others.
        """
        moved = np.abs(X @ direction) > 1e-9 * np.abs(X * direction).max()
        seen = np.linalg.qr(X[~moved] / self.scale[self.of_beta], mode="r")
        _, size, axes = np.linalg.svd(np.vstack([seen, np.zeros((self.p, self.p))]))
        is_seen = size > 1e-9 * size[0]
        basis = np.eye(len(hessian))
        basis[self.of_beta, self.of_beta] = axes.T
        known = np.ones(len(hessian), dtype=bool)
        known[self.of_beta] = is_seen
        inner = np.diag(np.where(known, 0.0, _ENDLESS**2))
        inner[np.ix_(known, known)] = covariance(basis[:, known].T @ hessian @ basis[:, known])
        unknown = np.isnan(np.diag(inner))
        out = basis @ np.where(np.isnan(inner), 0.0, inner) @ basis.T
        out[unknown, unknown] = np.nan
        return self.covariance_to_user(out)

    def split(self, user: Array) -> tuple[Array, Array, float]:
        """Theta, beta, dispersion (1 where there is none)."""
        theta, beta = user[: self.n_theta], user[self.of_beta]
        if not self.has_dispersion:
            return theta, beta, 1.0
        return theta, beta, float(np.exp(np.clip(user[-1], *self.dispersion_range)))

    def gradient(self, at: Evaluation, user: Array) -> Array:
        """Gradient of the log-likelihood in ``user`` units; flat beyond the dispersion's limit."""
        parts = [at.d_theta, at.d_beta]
        if self.has_dispersion:
            parts.append([at.d_log_dispersion if user[-1] < self.dispersion_range[1] else 0.0])
        return np.concatenate(parts)

    def at_limit(self, user: Array) -> bool:
        """Whether the data show no overdispersion at all."""
        return self.has_dispersion and bool(user[-1] > self.dispersion_range[1] - 3.0)

    def is_singular(self, user: Array) -> bool:
        """Whether some combination of a term's coefficients has variance zero."""
        for L in self.layout.unpack(self.from_user(user)[: self.n_theta]):
            values = np.linalg.svd(L, compute_uv=False)
            if values[-1] < 1e-4 * max(1.0, values[0]):
                return True
        return False

    def signs(self, x: Array) -> Array:
        """What turns Lambda's columns so that no diagonal is negative: the covariances stay."""
        sign = np.ones(x.size)
        factors = self.layout.unpack(x[: self.n_theta])
        if factors:
            turn = [np.ones_like(L) * np.where(np.diag(L) < 0, -1.0, 1.0) for L in factors]
            sign[: self.n_theta] = self.layout.pack(turn)
        return sign

    def at_zero(self, x: Array) -> Array:
        """``x`` with those columns of Lambda, or their diagonals, at 0 that are as good as zero."""
        x = x.copy()
        for where, q in zip(self.layout.slices, self.layout.sizes, strict=True):
            rows, cols = lower_triangle(q)
            part = x[where]
            for k in range(q):
                column = cols == k
                for entries in (column, column & (rows == k)):
                    if np.abs(part[entries]).max() < _AT_ZERO:
                        part[entries] = 0.0
        return x


def _unit_of_eta(family: Family, y: Array) -> float:
    """What the linear predictor is measured in: 1 where the link takes the response's unit away."""
    unit = 1.0
    if family.link.name == "identity":
        unit = float(np.std(y))
    elif family.link.name == "inverse":
        unit = 1 / max(float(np.mean(np.abs(y))), 1e-300)
    return unit if 0 < unit < np.inf else 1.0


def _dispersion_range(family: Family, y: Array) -> tuple[float, float] | None:
    if not family.has_dispersion:
        return None
    if family.name == "negative_binomial":
        return -40.0, float(np.log(1e7 * max(1.0, float(np.mean(y)))))
    if family.name == "beta_binomial":
        return -40.0, float(np.log(1e7))
    variance = float(np.var(y)) if family.name == "gaussian" else 1.0
    middle = np.log(variance) if variance > 0 else 0.0
    return float(middle - 40.0), float(middle + 40.0)
