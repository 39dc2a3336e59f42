"""The profiled criteria of many data sets of one design, evaluated together.

The model, its criterion and its scales are those of ``mixedlab.engine.profiled`` with one
grouping factor (``levels``), for m responses at once: arrays gain a last axis, one place a
data set.

**Levels of one design are one.** With ``Z_j = Q_j U_j``, level j enters the criterion through
``U_j``, ``X_j~ = Q_j' X_j`` and ``y_j~ = Q_j' y_j``. Levels whose rows of X and Z are equal share
``U`` and ``X~``, and so ``N = I + U T U'``. All that is then needed of their responses are sums
over the class c of its ``n_c`` levels,

    s_c = sum_j y_j~,    S_c = sum_j y_j~ y_j~',

so that a balanced design, whatever its number of levels, costs as much as one level. With
``N = L L'``, ``A = N^-1 U`` and ``M = U' N^-1 U``,

    log|V| = sum_c n_c log|N_c|,
    X'V^-1X = E_xx + sum_c n_c X~' N^-1 X~,    X'V^-1y = sum_c X~' N^-1 s_c,
    y'V^-1y = E_yy + sum_c tr(N^-1 S_c),

E the cross-products outside the span of Z (``E_xy`` is 0, because the least-squares fit of y
within levels is taken off first). The residuals about ``e = X~ beta`` have the second
moments ``R_c = S_c - s_c e' - e s_c' + n_c e e'``, and the scores ``g_j = Z'Py = U' N^-1 r_j``

    sum_j g_j = A' (s_c - n_c e),    G_c = sum_j g_j g_j' = A' R_c A,

which is all that gradient and average information ask for: both are quadratic in ``g_j``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks
from mixedlab.engine.many_design import Design, Responses

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass
class Points:
    """``T = (F L)(F L)'`` of each data set: frames F and lower triangular L, (m, q, q)."""

    F: Array
    L: Array


@dataclass
class At:
    """The criterion at m points; derivatives are those in the lower triangle of L."""

    value: Array
    gradient: Array
    hessian: Array
    slope: Array  # (m, q, q): the derivative in T
    beta: Array  # (m, p)
    root: Array  # (m, p, p): inverse of the Cholesky factor of X'V^-1X
    sigma2: Array


class ManyProfiled:
    """The profiled criteria of a chunk of data sets; the names are those of the module's text."""

    def __init__(self, design: Design, data: Responses) -> None:
        self.design, self.data = design, data
        self.w = data.w.transpose(1, 2, 0)
        self.s, self.S = self._class_sums()
        d, log_scale = design, np.log(data.y_scale)
        self.constant = d.constant + d.logdet_x + d.nu * (1 + np.log(2 * np.pi) + 2 * log_scale)
        # A data set without a residual variance is out of bounds everywhere.
        self.constant = np.where(data.perfect, np.inf, self.constant)

    def _class_sums(self) -> tuple[Array, Array]:
        """Sums (q, C, m) and sums of squares (q, q, C, m) of y~ over the levels of a class."""
        w, d = self.w, self.design
        if len(d.count) == d.J:
            return w, w[:, None] * w
        member = (d.kind == np.arange(len(d.count))[:, None]).astype(float)
        squares = [[member @ (w[a] * w[b]) for b in range(d.q)] for a in range(d.q)]
        return np.stack([member @ v for v in w]), np.array(squares)

    # --- the criterion

    def evaluate(self, point: Points, which: Indices) -> At:
        """Criterion, gradient and average information of the data sets numbered ``which``."""
        d, m = self.design, which.size
        q, p, n_c, r, c = d.q, d.p, d.count, d.rows, d.cols
        rest = slice(None) if m == len(self.data.outside) else which
        s, S = self.s[..., rest], self.S[..., rest]
        F, half = point.F.transpose(1, 2, 0), (point.F @ point.L).transpose(1, 2, 0)
        shape = (q, p + q, *s.shape[1:])
        UX = np.empty(shape)
        UX[:, :q], UX[:, q:] = d.U[..., None], d.Xw[..., None]
        with np.errstate(all="ignore"):
            L = self.factor(UX[:, :q], half)
            logdet = 2.0 * sum((n_c * np.log(L[k, k])).sum(0) for k in range(q))
            e_of = UX[:, q:].copy()
            white = blocks.solve_lower(L, UX)
            U, X = white[:, :q], white[:, q:]
            ws = blocks.solve_lower(L, s[:, None].copy())[:, 0]
            gram = d.Exx[..., None] + np.einsum("ipcm,ircm->prm", n_c * X, X)
            cross = np.einsum("ipcm,icm->pm", X, ws)
            NS = blocks.solve_upper(L, blocks.solve_lower(L, S.copy()))
            r2 = self.data.outside[rest] + np.einsum("iicm->m", NS)
            identity = np.repeat(np.eye(p)[:, :, None], m, axis=2)
            inverse = blocks.solve_lower(blocks.cholesky(gram), identity)
            along = np.einsum("xpm,pm->xm", inverse, cross)
            beta = np.einsum("xpm,xm->pm", inverse, along)
            r2 = r2 - (along**2).sum(0)
            s2 = r2 / d.nu
            value = self.constant[rest] + logdet + d.nu * np.log(s2)
            if d.reml:
                value = value - 2.0 * np.log(np.einsum("ppm->pm", inverse)).sum(0)
            # Residuals about the fixed part, and the scores g of the levels of a class.
            e = np.einsum("ipcm,pm->icm", e_of, beta)
            se = s[:, None] * e
            R = S - se - se.swapaxes(0, 1) + n_c * (e[:, None] * e)
            NU = blocks.solve_upper(L, U.copy())
            RA = np.einsum("ikcm,kbcm->ibcm", R, NU)
            G = np.einsum("iacm,ibcm->abcm", NU, RA)
            g = np.einsum("iacm,icm->acm", NU, s - n_c * e)
            M = np.einsum("iacm,ibcm->abcm", U, U)
            G_all = G.sum(2)
            H = np.einsum("iacm,ixcm->axcm", U, np.einsum("ipcm,xpm->ixcm", X, inverse))
            Q = (n_c * M).sum(2) - G_all / s2
            if d.reml:
                Q -= np.einsum("axcm,bxcm->abm", n_c * H, H)
            B = np.einsum("ikcm,jlcm->ikjlm", M, G)
            E = np.einsum("ixcm,jcm->ijxm", H, g)
            average = (_average(B, r, c) - _along_X(E, r, c)) / s2
            gradient, hessian = _derivatives(F, half, Q, G_all / s2, average, d.nu, r, c)
        out = ~(np.isfinite(value) & (r2 > 0) & np.isfinite(hessian).all((0, 1)))
        value[out], hessian[:, :, out] = np.inf, np.eye(r.size)[:, :, None]
        return At(
            value, gradient.T, hessian.transpose(2, 0, 1), Q.transpose(2, 0, 1), beta.T,
            inverse.transpose(2, 0, 1), s2,
        )  # fmt: skip

    def factor(self, U: Array, half: Array) -> Array:
        """Cholesky factors of ``N = I + (U half) (U half)'``."""
        W = np.einsum("iacm,abm->ibcm", U, half)
        N = np.empty_like(W)
        for i in range(len(W)):
            for k in range(i + 1):
                np.einsum("bcm,bcm->cm", W[i], W[k], out=N[i, k])
            N[i, i] += 1.0
        return blocks.cholesky(N)

    @property
    def tol(self) -> float:
        """A decrease of the criterion that is worth a step."""
        # What rounding in a sum over the rows may hide; free of the response's unit.
        return 1e-11 + 3e-13 * self.design.n

    def start(self, start: Array | None) -> Points:
        """Where to begin: at a theta in the data's units, or by moments."""
        d, m = self.design, len(self.data.outside)
        if start is None:
            rank = np.einsum("kkc,c->", (d.U != 0).astype(float), d.count[:, 0])
            squares = np.einsum("abc,abc,c->", d.U, d.U, d.count[:, 0])
            inside = np.einsum("kkcm->m", self.S)
            dof = d.n - rank
            with np.errstate(all="ignore"):
                ratio = (inside * dof / self.data.outside - rank) / squares
            ratio = np.where((dof > 0) & np.isfinite(ratio), ratio, 1.0)
            L = np.eye(d.q) * np.sqrt(np.maximum(ratio, 1e-2))[:, None, None]
        else:
            theta = np.broadcast_to(np.asarray(start, dtype=float), (m, d.rows.size))
            L = d.z_basis @ d.lower(theta)
        return self.framed(L, None)

    def framed(self, half: Array, frame: Array | None) -> Points:
        """Eigenvectors of each term's ``T = half half'`` (in ``frame``) and ``L = diag(sd)``."""
        F, L = np.zeros_like(half), np.zeros_like(half)
        for where in self.design.columns:
            block = half[:, where, where]
            if block.shape[1] == 1:
                F[:, where, where], L[:, where, where] = 1.0, np.abs(block)
                continue
            vectors, sd, _ = np.linalg.svd(block)
            F[:, where, where] = vectors
            L[:, where, where] = np.eye(sd.shape[1]) * sd[:, None, :]
        return Points(F if frame is None else frame @ F, L)

    def move(self, point: Points, step: Array) -> Points:
        """The points a step in L away, each in the frame of its own T."""
        return self.framed(point.L + self.design.lower(step), point.F)


def _average(B: Array, r: Indices, c: Indices) -> Array:
    """``sum_j d_a' M d_b`` (k, k, m) with the directions d of ``system.RandomEffects.score``.

    ``B[i, k, l, n]`` is ``sum_c M_ik G_ln``, G the second moments of the scores.
    """
    r, c, off = (r[:, None], r), (c[:, None], c), (r != c).astype(float)
    first, second = off[:, None, None], off[:, None]
    return (
        B[r[0], r[1], c[0], c[1]]
        + first * B[c[0], r[1], r[0], c[1]]
        + second * B[r[0], c[1], c[0], r[1]]
        + first * second * B[c[0], c[1], r[0], r[1]]
    )


def _along_X(E: Array, r: Indices, c: Indices) -> Array:
    """What the directions have in the span of X, squared; ``E`` is ``sum_c H_ix g_j``."""
    along = E[r, c] + (r != c)[:, None, None] * E[c, r]
    return np.einsum("axm,bxm->abm", along, along)


def _derivatives(F, half, Q, G, average, nu, r, c) -> tuple[Array, Array]:
    """Gradient (k, m) and Hessian (k, k, m) in the entries of L, where ``T = (F L)(F L)'``.

    Q is the derivative in T, G the second moments of the scores over sigma^2.
    """
    gradient = 2.0 * np.einsum("iam,ijm,jbm->abm", F, Q, half)[r, c]
    from_r2 = 2.0 * np.einsum("iam,ijm,jbm->abm", F, G, half)[r, c]
    R, C = r[:, None], c[:, None]
    # How the entries of T move with those of L, and T's second derivative.
    to_T = F[R, r] * half[C, c] + half[R, c] * F[C, r]
    # An entry on the diagonal moves by both halves of the product rule at once.
    curved = 2.0 * np.einsum("iam,ijm,jbm->abm", F, Q, F)[R, r] * (c == C)[:, :, None]
    hessian = np.einsum("xam,xym,ybm->abm", to_T, average, to_T) + curved
    return gradient, hessian - from_r2[:, None] * from_r2 / nu
