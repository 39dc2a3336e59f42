"""The intraclass correlation in its two meanings: a share of the variance, a correlation of pairs.

Two rows of one group share the group's effect. With a total variance of 1 their covariance is the
variance between groups, so that the share of the variance is the correlation of the pairs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.marks import bars, dots, lines, texts
from mixedlab.labs.kit.scene import Axis, Panel
from mixedlab.labs.kit.words import percent
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

N_PAIRS = 150
EDGE = 4.0  # the rare value further out, in standard deviations, is drawn at the edge


@lru_cache(maxsize=8)
def pairs_of_one_group(icc: float, seed: int) -> Array:
    """Draw two rows (2, 150) of each of 150 groups; the numbers stay when the ICC moves."""
    draws = Draws(seed)
    group = np.arange(N_PAIRS)
    shared = np.sqrt(icc) * draws.normal("pair donor", group)
    return shared + np.sqrt(1 - icc) * draws.normal("pair", np.arange(2)[:, None], group)


def icc_seen_twice(icc: float, pairs: Array, row: str, group: str) -> Panel:
    """Show pairs of rows of one group as dots, and above them the share of the variance as a bar.

    ``row`` and ``group`` are their names: "cell", "donor".
    """
    first, second = np.clip(pairs, -EDGE, EDGE)
    left, right = -3.6, 3.6
    split = left + icc * (right - left)
    correlation = float(np.corrcoef(pairs)[0, 1])
    marks = [
        dots("data", None, first, second, key="pairs", size=2.5, opacity=0.7),
        lines("truth", None, [[-EDGE, EDGE]], [[-EDGE * icc, EDGE * icc]], key="line",
              hover=[f"slope {icc:g}: the ICC"]),
        bars("own", None, left, split, 5.0, 5.7, key="between",
             hover=[f"variance between {group}s"]),
        bars("guide", None, split, right, 5.0, 5.7, key="within",
             hover=[f"variance within {group}s"]),
        texts("own", left, 6.15, f"{percent(icc)} of variance: {group}s", anchor="start"),
        texts("data", left, 4.2, f"correlation {correlation:.2f}", anchor="start"),
    ]  # fmt: skip
    whole = (-4, -2, 0, 2, 4)
    return Panel(
        "icc",
        "The ICC, seen twice",
        Axis.ticked(f"one {row} (sd)", -EDGE, EDGE, whole),
        Axis.ticked(f"its {group}'s other {row} (sd)", -EDGE, 6.8, whole),
        marks,
        folded=True,
    )
