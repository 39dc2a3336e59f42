r"""Gauss-Hermite rules for means over normal variables.

All rules are for the standard normal weight: ``sum(w f(z))`` is the mean of ``f(Z)``, exact for
polynomials of degree 2k - 1 in each coordinate.

Source: Golub and Welsch (1969), *Mathematics of Computation* 23, 221-230, as numpy computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@lru_cache(maxsize=64)
def gauss_hermite(k: int) -> tuple[Array, Array]:
    """Nodes and weights (k,) of the rule with k nodes; the weights sum to 1."""
    if k < 1:
        raise ValueError(f"A quadrature rule needs at least 1 node, not {k}.")
    z, w = np.polynomial.hermite_e.hermegauss(k)
    return z, w / w.sum()


def product_rule(k: int, q: int) -> tuple[Array, Array]:
    """Nodes (q, k**q) and weights (k**q,) of the product rule in q dimensions."""
    z, w = gauss_hermite(k)
    nodes = np.stack([m.ravel() for m in np.meshgrid(*[z] * q, indexing="ij")])
    weights = np.prod([m.ravel() for m in np.meshgrid(*[w] * q, indexing="ij")], axis=0)
    return nodes, weights


def mean_over_normal(f: Callable[[Array], Array], center: Array, sd: Array, k: int = 50) -> Array:
    """Mean of ``f(center + sd Z)`` for each element; ``f`` works on arrays."""
    z, w = gauss_hermite(k)
    center, sd = np.broadcast_arrays(np.asarray(center, dtype=float), np.asarray(sd, dtype=float))
    total = np.zeros(center.shape)
    for node, weight in zip(z, w, strict=True):  # one node at a time: memory stays that of center
        total += weight * f(center + sd * node)
    return total
