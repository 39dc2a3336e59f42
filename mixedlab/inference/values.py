"""What a fit hands to inference: parameters, rows, moments. All are values, and none changes.

Parameters have a *free scale* on which an estimate is nearer normal: the logarithm of a standard
deviation or dispersion, Fisher's z of a correlation, a coefficient as it is. Rows know their fixed
and random part; moments are what a prediction is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]
Scale = Literal["identity", "log", "fisher-z"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fit, at its estimate.

    Attributes
    ----------
    kind : {"sd", "cor", "sigma", "beta", "dispersion", "residual"}
    name : str
        ``"sd (Intercept) | Subject"``, ``"cor (Intercept), Days | Subject"``, ``"sigma"``,
        ``"Days"``.
    estimate : float
        On its own scale; NaN for a correlation with a variance of zero.
    scale : {"identity", "log", "fisher-z"}
        Its free scale.
    term, first, second : int
        Position of the random term and of the coefficient, or of the two of a correlation, in
        it; for a fixed effect ``first`` is its position in ``beta``.
    at_boundary : bool
        A variance of zero or a correlation of one: there is no Wald interval.
    can_be_held : bool
        Whether ``fit.hold`` takes it: whether it has a profile.
    taken_as_known : bool
        Wald intervals take it as known, and have no row for it.
    """

    kind: Literal["sd", "cor", "sigma", "beta", "dispersion", "residual"]
    name: str
    estimate: float
    scale: Scale = "identity"
    term: int = -1
    first: int = 0
    second: int = 0
    at_boundary: bool = False
    can_be_held: bool = True
    taken_as_known: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return {"log": (0.0, np.inf), "fisher-z": (-1.0, 1.0)}.get(self.scale, (-np.inf, np.inf))

    @property
    def free(self) -> float:
        """The estimate on the free scale; infinite or NaN at the boundary."""
        onto = {"log": np.log, "fisher-z": np.arctanh}.get(self.scale, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(onto(self.estimate))

    def back(self, free: float) -> float:
        """From the free scale to the parameter's own."""
        onto = {"log": np.exp, "fisher-z": np.tanh}.get(self.scale, float)
        with np.errstate(over="ignore"):  # an sd near zero may be anything
            return float(onto(free))


@dataclass(frozen=True)
class Rows:
    """Rows to predict: those fitted, or new ones.

    Attributes
    ----------
    X : ndarray, shape (m, p)
    offset : ndarray, shape (m,)
        Zeros where there is none.
    terms : tuple of RandomTerm
        In the fit's order; an ``index`` of -1 is a group that the fit has not seen. Empty where
        the question needs no groups.
    weights : ndarray, shape (m,)
        Prior weights or trials; ones in new rows.
    index : Index or None
        Of the table; None counts from 0.
    """

    X: Array
    offset: Array
    terms: Sequence[RandomTerm] = ()
    weights: Array = field(default_factory=lambda: np.ones(1))
    index: Any = None

    @property
    def n(self) -> int:
        """Number of rows m."""
        return self.X.shape[0]

    def fixed_part(self, beta: Array) -> Array:
        """``X beta + offset``, shape (m,)."""
        return self.X @ beta + self.offset

    def random_part(self, b: Sequence[Array]) -> Array:
        """``Z b``, shape (m,), zero for groups that the fit has not seen."""
        out = np.zeros(self.n)
        for term, effects in zip(self.terms, b, strict=True):
            known = 1.0 if term.index.min(initial=0) >= 0 else term.index >= 0
            for k in range(term.n_coefs):
                out += known * term.Z[:, k] * effects[:, k][term.index]
        return out

    def between(self, covariances: Sequence[Array], *, unseen_only: bool = False) -> Array:
        """``z' cov(b) z`` summed over terms, shape (m,): the variance of Z b over new groups."""
        out = np.zeros(self.n)
        for term, cov in zip(self.terms, covariances, strict=True):
            part = np.einsum("ik,kl,il->i", term.Z, cov, term.Z)
            out += np.where(term.index < 0, part, 0.0) if unseen_only else part
        return out


@dataclass(frozen=True)
class Moments:
    """The linear predictor of some rows.

    Attributes
    ----------
    eta : ndarray, shape (m,)
        On the link's scale; for a marginal prediction the link of the mean over groups.
    variance : ndarray, shape (m,), or None
        Variance of its estimate (of its prediction error, where it holds random effects); None
        where it was not asked for.
    between : ndarray, shape (m,), or None
        Variance of ``Z b`` over new groups, which a single new observation adds.
    """

    eta: Array
    variance: Array | None = None
    between: Array | None = None


@dataclass(frozen=True)
class Combination:
    """A linear predictor as a function of all parameters: value, derivative, their covariance.

    Attributes
    ----------
    value : ndarray, shape (m,)
    jacobian : ndarray, shape (m, d)
        Derivatives in the d parameters that the fit estimates jointly.
    covariance : ndarray, shape (d, d)
        Of their estimates; zero for one that is at its boundary and taken as fixed.
    """

    value: Array
    jacobian: Array
    covariance: Array

    @classmethod
    def of(cls, value: Array, jacobian: Array, covariance: Array) -> Combination:
        """With a covariance that is NaN for a parameter about which nothing is known."""
        unknown = np.isnan(np.diag(covariance))
        return cls(value, jacobian, np.where(unknown[:, None] | unknown, 0.0, covariance))

    @property
    def variance(self) -> Array:
        """Variance (m,) of each value, by the delta method."""
        return np.einsum("ia,ab,ib->i", self.jacobian, self.covariance, self.jacobian)


@dataclass(frozen=True)
class Likelihood:
    """Which likelihood a fit has maximised: only the same ones compare.

    Attributes
    ----------
    family, link : str
        Of the response.
    integral : str
        How random effects were integrated out: ``"exact"``, ``"nagq=1"``.
    method : str
        Of estimation, ``"maximum likelihood"`` or ``"h-likelihood"``.
    effects : dict of str to str
        Family of each grouping factor's effects.
    residual : str
        Kind of residual structure; empty for independent residuals.
    """

    family: str
    link: str
    integral: str = "exact"
    method: str = "maximum likelihood"
    effects: Mapping[str, str] = field(default_factory=dict)
    residual: str = ""
