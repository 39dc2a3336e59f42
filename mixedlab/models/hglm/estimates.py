"""What a hierarchical model's fit has estimated, by whatever method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.models.hglm.data import HierarchicalData

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimates:
    """Coefficients, dispersions, effects, and how they were found.

    Attributes
    ----------
    beta : ndarray, shape (p,)
    gamma : ndarray, shape (d,)
        Coefficients of log phi; empty where phi is known.
    log_lambda : sequence of ndarray
        Coefficients of each term's log lambda.
    vcov : ndarray, shape (k, k)
        Covariance of beta, gamma and all ``log_lambda``, in that order; NaN where not known.
    phi : ndarray, shape (n,)
        Dispersion of each row.
    lam : sequence of ndarray, shape (J,)
        Lambda of each level.
    b, b_sd : sequence of ndarray, shape (J,)
        What the effects add to the linear predictor, and its conditional sd.
    u, u_sd : sequence of ndarray, shape (J,)
        Effects on their own scale.
    loglik : float
    converged, singular : bool
        Singular: some term has no variance.
    how : str
        How the likelihood was computed.
    loglik_without : float
        Highest log-likelihood without random effects; NaN where not computed.
    is_beta_binomial : bool
        The closed beta-binomial form, in which u is the group's own probability.
    n_steps : int
        Steps or evaluations.
    trouble : str
        What went wrong, in words, where it has not converged.
    """

    beta: Array
    gamma: Array
    log_lambda: Sequence[Array]
    vcov: Array
    phi: Array
    lam: Sequence[Array]
    b: Sequence[Array]
    b_sd: Sequence[Array]
    u: Sequence[Array]
    u_sd: Sequence[Array]
    loglik: float
    converged: bool
    singular: bool
    how: str
    loglik_without: float = np.nan
    is_beta_binomial: bool = False
    n_steps: int = 0
    trouble: str = ""

    @property
    def vcov_beta(self) -> Array:
        """Covariance (p, p) of the fixed effects."""
        p = self.beta.size
        return self.vcov[:p, :p]

    @property
    def n_phi(self) -> int:
        """Number of parameters of phi."""
        return self.gamma.size

    @property
    def dispersion_se(self) -> Array:
        """Standard errors of ``gamma`` and of all ``log_lambda``."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diag(self.vcov)[self.beta.size :])


def predictor(data: HierarchicalData, beta: Array, v: Sequence[Array]) -> Array:
    """X beta + Z v + offset."""
    eta = data.X @ beta + data.offset
    for term, b in zip(data.terms, v, strict=True):
        eta = eta + term.Z[:, 0] * b[term.index]
    return eta


def phi_of(data: HierarchicalData, gamma: Array) -> Array:
    """Dispersion (n,) of each row."""
    return np.exp(data.dispersion_X @ gamma) if gamma.size else np.ones_like(data.y)


def runs_away(term: RandomTerm) -> str:
    """What it means that a lambda of inverse-gamma effects has no finite estimate."""
    return (
        f"lambda of {term.group!r} runs to infinity: its effects vary more than inverse-gamma "
        "effects can. Use random_family='gaussian'"
    )


def block_diagonal(blocks: Sequence[Array]) -> Array:
    """The square matrix with these square blocks on its diagonal."""
    ends = np.cumsum([0, *(len(b) for b in blocks)])
    out = np.zeros((ends[-1], ends[-1]))
    for start, end, block in zip(ends[:-1], ends[1:], blocks, strict=True):
        out[start:end, start:end] = block
    return out
