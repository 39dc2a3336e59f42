"""Pictures of a genome-wide scan: expected against observed p-values, and p-values by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.errors import DataError
from mixedlab.pictures.style import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.structures.kinship.association import Scan


def qq(scan: Scan | ArrayLike, ax: Axes | None = None, *, level: float = 0.95) -> Axes:
    """Observed against expected -log10 p-values, with the null's band.

    Points on the diagonal are what SNPs without effect give. A whole line above it means that
    something, often relatedness, inflates every test; a tail that leaves it late means signal.

    Parameters
    ----------
    scan : Scan or array_like
        A scan (its Wald tests), or p-values.
    ax : matplotlib Axes, optional
    level : float
        Pointwise coverage of the band, from the beta distribution of ordered uniform values.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.pictures.qq([0.01, 0.2, 0.5, 0.9]).has_data()
    True
    """
    from scipy.special import betaincinv

    observed = np.sort(_minus_log10(scan))
    m = observed.size
    rank = np.arange(m, 0, -1)
    expected = -np.log10(rank / (m + 1))
    ax = axes_or_new(ax, 4.6, 4.4)
    # The band needs few of the points: evenly spaced on the picture.
    at = np.unique(np.round(np.geomspace(1, m, min(m, 200))).astype(int))
    ends = [-np.log10(betaincinv(at, m + 1 - at, p)) for p in (0.5 - level / 2, 0.5 + level / 2)]
    where = -np.log10(at / (m + 1))
    ax.fill_between(where, *ends, color=GREY, alpha=0.25, lw=0, label=f"{level:.0%} if no effect")
    top = expected[-1]
    ax.plot([0, top], [0, top], color=GREY, lw=1, ls="--")
    ax.plot(expected, observed, "o", ms=3, color=BLUE, mew=0, label="SNPs")
    ax.set_xlabel("expected $-\\log_{10}$ p")
    ax.set_ylabel("observed $-\\log_{10}$ p")
    lambda_gc = getattr(scan, "lambda_gc", None)
    if lambda_gc is not None:
        ax.set_title(f"$\\lambda_{{GC}}$ = {lambda_gc:.2f}", loc="left", fontsize="medium")
    ax.legend(frameon=False, loc="upper left")
    return ax


def manhattan(
    scan: Scan | ArrayLike,
    chromosome: ArrayLike | None = None,
    position: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    threshold: float | None = None,
) -> Axes:
    """-log10 p-values along the genome, chromosomes in turn.

    Parameters
    ----------
    scan : Scan or array_like
        A scan (its Wald tests), or p-values.
    chromosome : array_like, shape (m,), optional
        Chromosome of each SNP of the genotype table (of all of them, tested or not).
    position : array_like, shape (m,), optional
        Place on the chromosome; by default the order of the table.
    ax : matplotlib Axes, optional
    threshold : float, optional
        P-value of the dashed line; by default Bonferroni's 0.05 over the number of SNPs tested.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.pictures.manhattan([0.01, 0.2, 0.5, 0.9]).has_data()
    True
    """
    observed = _minus_log10(scan)
    m = observed.size
    tested = getattr(scan, "column", np.arange(m))
    chromosome = _of_tested(chromosome, tested, "chromosome")
    position = _of_tested(position, tested, "position")
    labels, code = ((), np.zeros(m, dtype=int)) if chromosome is None else _in_turn(chromosome)
    order = np.lexsort((np.arange(m) if position is None else position.astype(float), code))
    ax = axes_or_new(ax, 9, 3.6)
    # SNPs are drawn at equal distances: what matters is the order, not the gaps.
    place = np.empty(m)
    place[order] = np.arange(m)
    for k in range(max(len(labels), 1)):
        here = code == k
        # Two colours and two marks in turn, so that the borders show in grey too.
        style = {"marker": "o" if k % 2 == 0 else "s", "color": BLUE if k % 2 == 0 else ORANGE}
        ax.plot(place[here], observed[here], ls="", ms=3, mew=0, **style)
    line = 0.05 / m if threshold is None else threshold
    ax.axhline(-np.log10(line), color=GREY, lw=1, ls="--")
    ax.annotate(
        f"p = {line:.1e}",
        (0.005, -np.log10(line)),
        xycoords=("axes fraction", "data"),
        ha="left",
        va="bottom",
        color=GREY,
    )
    if labels:
        ax.set_xticks([place[code == k].mean() for k in range(len(labels))], labels)
        ax.tick_params(axis="x", length=0)
    ax.set_xlabel("chromosome" if labels else "SNP")
    ax.set_ylabel("$-\\log_{10}$ p")
    ax.margins(x=0.01)
    ax.set_ylim(bottom=0)
    return ax


def _minus_log10(scan: Scan | ArrayLike) -> NDArray[np.float64]:
    if hasattr(scan, "log10p_wald"):
        return -scan.log10p_wald
    p = np.asarray(scan, dtype=float)
    if p.size == 0:
        raise DataError("There is no p-value to draw.")
    bad = ~((p > 0) & (p <= 1))
    if p.ndim != 1 or bad.any():
        raise DataError(
            "p-values must lie above 0 and at most at 1; where they underflow to 0, give the "
            "scan itself, which keeps their logarithms."
        )
    return -np.log10(p)


def _of_tested(values: ArrayLike | None, tested: NDArray, name: str) -> NDArray | None:
    if values is None:
        return None
    values = np.asarray(values)
    if values.ndim != 1 or values.size <= tested.max():
        raise DataError(f"{name} needs one value for each SNP of the genotype table.")
    return values[tested]


def _in_turn(chromosome: NDArray) -> tuple[Sequence[str], NDArray[np.intp]]:
    """Chromosomes as labels in order, numbers before letters, and the place of each SNP's."""
    labels = {str(c) for c in chromosome.tolist()}
    ordered = sorted(labels, key=lambda c: (not c.isdigit(), int(c) if c.isdigit() else 0, c))
    rank = {label: k for k, label in enumerate(ordered)}
    return ordered, np.array([rank[str(c)] for c in chromosome.tolist()], dtype=np.intp)
