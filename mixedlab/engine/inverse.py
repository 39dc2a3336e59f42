"""The parts of the inverse that the gradient needs: those where the data have an entry.

With C the conditional covariance of the random effects (over sigma^2), known for later columns,
a factor of the chain adds

    C_fl = -K B C_ll,    C_ff = K + K B C_ll B'K,
    Z_f'V^-1 Z_f = Z_f'V_f^-1 Z_f - h C_ll h',    h = Z_f'V_f^-1 Z_l,

with ``V_f`` the covariance in which the later factors are not in yet, so that one pass back
through the blocks gives all of them (Takahashi, Fagan & Chin, 1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.elimination import Elimination
from mixedlab.engine.levels import FactoredLevels, FactoredOrthogonal
from mixedlab.engine.square import FactoredSquare

Array = NDArray[np.float64]
Block = FactoredLevels | FactoredOrthogonal | FactoredSquare


# Rows whose levels the data do not pair are solved for this many at once.
_AT_ONCE = 256


class SelectedInverse(NamedTuple):
    """``C`` in the order of the products (`Elimination`), and by factor the sums ``Z_f'V^-1Z_f``.

    For the whole of C no sums are made; for the sums the first factor's part of C is left out.
    """

    C: Array
    slopes: dict[int, Array]


def selected_inverse(
    plan: Elimination, blocks: Sequence[Block], *, whole: bool = False
) -> SelectedInverse:
    """One pass back through the factored blocks, for the sums or for the ``whole`` of C."""
    C = np.empty(plan.flat_size if whole or len(plan.factors) > 1 else 0)
    factors = () if whole else plan.factors
    slopes = {f: np.zeros((factor.n_coefs,) * 2) for f, factor in enumerate(factors)}
    last = len(plan.stages)
    for done in blocks[last:]:
        done.fill_inverse(C, slopes)
    for s in reversed(range(last)):
        stage, done = plan.stages[s], blocks[s]
        linked = stage.entries.level.size > 0
        half = stage.entries.half_of(C) if linked else None
        if not whole:
            slopes[stage.factor] += done.own_precision()
            if linked:
                h, squares = done.cross(), done.cross_squares()
                slopes[stage.factor] -= stage.entries.sandwich(h, C, half, squares)
        if s or whole:
            own = done.covariance()
            if linked:
                KB = done.moved()
                KBC = stage.entries.times(KB, C, half)
                own = own + stage.entries.inner(KBC, KB)
                C[stage.where] = -KBC.ravel()
            C[stage.blocks] = own.ravel()
    return SelectedInverse(C, slopes)


def covariance_times(plan: Elimination, blocks: Sequence[Block], s: Array) -> Array:
    """``C s`` for coefficients s (c, n_columns): forward through the blocks, and back."""
    left, own = s.copy(), []
    for stage, done in zip(plan.stages, blocks, strict=False):
        K, KB = done.covariance(), done.moved()
        mine = done.own(left)
        own.append((done, KB, np.einsum("kmj,cmj->ckj", K, mine)))
        for to, values in zip(left, mine, strict=True) if KB.size else ():
            to -= stage.entries.by_column(KB, values)
    out = np.zeros_like(s)
    for square, done in zip(plan.squares, blocks[len(plan.stages) :], strict=True):
        out[:, square.columns] = done.covariance_times(left[:, square.columns])
    for done, KB, mine in reversed(own):
        for c, later in enumerate(out) if KB.size else ():
            mine[c] -= done.levels.entries.by_level(KB, later)
        done.put(mine, out)
    return out


def row_variances(
    plan: Elimination, blocks: Sequence[Block], index: Sequence[NDArray[np.intp]], Z: list[Array]
) -> Array:
    """``z_i'C z_i`` (n,) for rows of any levels; a level of -1 adds nothing.

    ``Z`` holds the rows' columns of each factor (q, n), ``index`` the level of each (q, n). Rows
    whose levels occur together in the data need the selected inverse only, others a solve each.
    """
    C = selected_inverse(plan, blocks, whole=True).C
    Z = [np.where(at >= 0, z, 0.0) for z, at in zip(Z, index, strict=True)]
    index = [np.maximum(at, 0) for at in index]
    out = np.zeros(Z[0].shape[1])
    known = np.logical_and.reduce([(at == at[0]).all(axis=0) for at in index])
    for (f, g), places in plan.places.items():
        if f == g:
            pair, twice = index[f][0], 1.0
        else:
            link, J = plan.links[f, g], plan.factors[g].n_levels
            wanted, have = index[f][0] * J + index[g][0], link.first * J + link.second
            pair = np.minimum(np.searchsorted(have, wanted), have.size - 1)
            twice, absent = 2.0, (have[pair] != wanted) & Z[f].any(axis=0) & Z[g].any(axis=0)
            known &= ~absent
        at = C[places[:, :, pair]]
        out += twice * np.einsum("kn,kmn,mn->n", Z[f], at, Z[g])
    for rows in np.array_split(np.flatnonzero(~known), max(1, (~known).sum() // _AT_ONCE)):
        s = np.zeros((rows.size, plan.n_columns))
        for f, z in enumerate(Z):
            for k in range(len(z)):
                s[np.arange(rows.size), plan.columns_of(f, k, index[f][k, rows])] = z[k, rows]
        out[rows] = np.einsum("cm,cm->c", s, covariance_times(plan, blocks, s))
    return out
