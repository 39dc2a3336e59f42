"""Panels of the lab on ranking: true ranks of winners, the table, and what more patients do."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.marks import bars, cells, dots, each, level, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Drag, Panel
from mixedlab.labs.kit.words import percent
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

LOW, HIGH = 50.0, 90.0  # of every axis of points


def rank_of_first(table: Array, b: Array) -> NDArray[np.int_]:
    """Return the true rank of the ward that is first in each table."""
    best = b[np.arange(len(b)), table.argmax(axis=1)]
    return 1 + (b > best[:, None]).sum(axis=1)


@lru_cache(maxsize=8)
def normal_numbers(seed: int, role: str, rows: int, columns: int) -> Array:
    """Standard normal numbers; kept, since no other control than the number of wards moves them."""
    return Draws(seed).normal(role, np.arange(rows)[:, None], np.arange(columns))


def rank_probabilities(
    mean: Array, keep: Array, variance: Array, sd_centre: float, z: Array
) -> Array:
    """Return the probability of each rank for each ward, by drawing all wards at once.

    Parameters
    ----------
    mean, keep, variance : ndarray (J,)
        Shrunken means, shares kept, and variances given the mean of all.
    sd_centre : float
        Standard error of the mean of all, which wards share.
    z : ndarray (draws, J + 1)
        Standard normal numbers.

    Returns
    -------
    ndarray (J, J)
        Row j: ward j; column r: rank r + 1. Each row and column sums to 1.
    """
    J = mean.size
    # Where the variance is estimated as 0 all wards are alike, and every order is as likely.
    spread = np.maximum(np.sqrt(variance), 1e-9)
    drawn = mean + np.outer(z[:, J], (1 - keep) * sd_centre) + spread * z[:, :J]
    order = np.argsort(-drawn, axis=1)
    return np.stack([np.bincount(order[:, r], minlength=J) for r in range(J)], axis=1) / len(z)


def true_ranks(years) -> NDArray[np.int_]:
    """Return each ward's true rank, 1 for the best."""
    return 1 + (years.truth[0][None, :] > years.truth[0][:, None]).sum(axis=1)


def odds_panel(years, replays: int) -> Panel:
    """How often the ward on top of the table truly has each rank; places share one width."""
    J = years.size.size
    share = np.bincount(years.replayed["own"], minlength=J + 1)[1:] / replays
    edges, look = np.arange(J + 1) / J, {"stage": "estimate"}
    told = each("truly number {} in {:.1%} of replays", np.arange(1, J + 1), share)
    first, rest = slice(0, 1), slice(1, None)
    marks = [
        bars("own", None, edges[:-1][part] + 0.1 / J, edges[1:][part] - 0.1 / J, 0,
             100 * share[part], key=key, hover=told[part], opacity=opacity, **look)
        for key, part, opacity in (("best", first, 1.0), ("others", rest, 0.45))
    ]  # fmt: skip
    marks.append(
        texts("own", 1 / J + 0.01, 100 * share[0], f"truly best in {percent(share[0])}",
              key="said", anchor="start", **look)
    )  # fmt: skip
    ticks = {(r - 0.5) / J: str(r) for r in range(1, J + 1) if r == 1 or r % 5 == 0}
    return Panel(
        "odds", "The top ward's true rank", Axis.ticked("true rank (1 = best)", 0, 1, ticks),
        Axis.ticked("replays (%)", 0, 104, (0, 25, 50, 75, 100)), marks, hero=True,
    )  # fmt: skip


def table_panel(years, fits) -> Panel:
    """Show this year's table, the best at the top; a new year reshuffles its rows."""
    order = np.argsort(-years.mean[0], kind="stable")
    J = order.size
    names, rows = [f"ward {j + 1}" for j in order], 1 - (np.arange(J) + 0.5) / J
    now, later = years.mean[:, order].clip(LOW, HIGH)
    shrunken, true = fits.mean[order].clip(LOW, HIGH), years.truth[0][order].clip(LOW, HIGH)
    marks = [
        upright("everyone", fits.centre, 0, 1, key="centre", name="mean of all", stage="data"),
        dots("own", names, now, rows, name="own mean", size=4,
             hover=each("{}: {} patients, {:.1f} points", names, years.size[order], now)),
        dots("model", names, shrunken, rows, name="shrunken mean", size=3.5, starts_from="own",
             hover=each("{}: shrunken to {:.1f}", names, shrunken)),
        dots("own", names, later, rows, key="next", name="next year's mean", size=4, filled=False,
             stage="truth", starts_from="own", hover=each("{}: next year {:.1f}", names, later)),
        dots("truth", names, true, rows, name="true mean", size=4, starts_from="own",
             hover=each("{}: truly {:.1f}", names, true)),
    ]  # fmt: skip
    return Panel("table", "This year's table", Axis("points", LOW, HIGH), _wards(order), marks)


def curve_panel(state, at, best: Array, here: float) -> Panel:
    """How often the top ward is the best against the number of patients, which is dragged."""
    told = f"{state.patients} patients: truly best in {here:.0f} %"
    marks = [
        level("guide", 90, 0, 205, key="nine"),
        lines("model", None, [at], [best], key="curve", hover=["truly best"]),
        dots("model", None, [state.patients], [here], key="here", hover=[told]),
        dots("yours", None, [state.patients], [0], hover=["drag the number of patients"],
             drag=[Drag("Patients a ward", x="patients")]),
    ]  # fmt: skip
    return Panel(
        "curve", "With more patients", Axis.ticked("patients a ward", 0, 205, (4, 50, 100, 200)),
        Axis.ticked("truly best (%)", -4, 104, (0, 50, 90)), marks,
    )  # fmt: skip


def ranks_panel(years, fits) -> Panel:
    """What the model says of each ward's rank: a row a ward, dark where it is probable."""
    order = np.argsort(-years.mean[0], kind="stable")
    J = order.size
    edges = np.arange(J + 1) / J
    ranks = {(r - 0.5) / J: str(r) for r in range(1, J + 1) if r == 1 or r % 5 == 0}
    marks = [
        cells("ranks", edges, edges, fits.ranks[order[::-1]], 0.0, 4 / max(J, 5),
              color="model", stage="estimate")
    ]  # fmt: skip
    true = true_ranks(years)[order]
    if true.max() > 1:  # wards all alike have no true order to show
        names = [f"ward {j + 1}" for j in order]
        marks.append(
            dots("truth", names, (true - 0.5) / J, 1 - (np.arange(J) + 0.5) / J, key="true",
                 size=3.5, hover=each("{}: truly number {}", names, true))
        )  # fmt: skip
    return Panel("ranks", "Ranks as distributions", Axis.ticked("true rank", 0, 1, ranks),
                 _wards(order), marks, folded=True)  # fmt: skip


def _wards(order: NDArray[np.int_]) -> Axis:
    J, step = order.size, 1 + (order.size - 1) // 10
    ticks = {1 - (i + 0.5) / J: str(order[i] + 1) for i in range(0, J, step)}
    return Axis.ticked("ward", 0, 1, ticks)


def span(size: NDArray[np.int_]) -> str:
    """Say how many patients wards have."""
    low, high = size.min(), size.max()
    return f"{low}" if low == high else f"{low} to {high}"


def rank_interval(probability: Array) -> str:
    """The central 90 % of a ward's ranks."""
    below = probability.cumsum()
    low, high = (1 + int(np.searchsorted(below, q - 1e-12)) for q in (0.05, 0.95))
    span = f"{low}" if low == high else f"between {low} and {high}"
    return f"{span} (with 90 % probability)"
