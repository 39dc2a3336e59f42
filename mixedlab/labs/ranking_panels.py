"""Panels of the lab on ranking: true ranks of winners, the table, and what more patients do."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.marks import bars, cells, dots, each, level, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Panel
from mixedlab.labs.kit.words import percent
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

LOW, HIGH = 50.0, 90.0  # of every axis of points
MOST_WARDS = 30
ROWS = (-11, -24, -37)  # where wards stand below the bars: this year, truly, next year


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
    return _ranks(years.truth[0])


def next_ranks(years) -> NDArray[np.int_]:
    """Return each ward's rank in next year's table."""
    return _ranks(years.mean[1])


def _ranks(values: Array) -> NDArray[np.int_]:
    return 1 + (values[None, :] > values[:, None]).sum(axis=1)


def followed(state, years) -> tuple[int, int]:
    """Return the ward that the reader follows, and its place in this year's table."""
    order = _order(years)
    place = min(state.place, order.size)
    return int(order[place - 1]), place


def moved_in_words(ward: int, now: int, later: int) -> str:
    """Say in a headline where next year takes a ward."""
    if now == later:
        return f"ward {ward + 1} is number {now} again next year"
    return f"ward {ward + 1} {'falls' if later > now else 'rises'} to number {later} next year"


def _order(years) -> NDArray[np.int_]:
    """Wards, the first of the table first."""
    return np.argsort(-years.mean[0], kind="stable")


def odds_panel(state, years, replays: int) -> Panel:
    """How often the top ward truly has each place; and below, where this table's wards go."""
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
    above = 100 * max(share[0], share[1:].max() + 0.05)  # its neighbours may be as high
    marks += [
        texts("own", 1 / J + 0.01, above, f"truly best in {percent(share[0])}",
              key="said", anchor="start", **look),
        *_places(state, years),
    ]  # fmt: skip
    ticks = {(r - 0.5) / J: str(r) for r in range(1, J + 1) if r == 1 or r % 5 == 0}
    rows = dict(zip(ROWS, ("this year", "truly", "next year"), strict=True))
    return Panel(
        "odds", "Where the top ward truly stands",
        Axis.ticked("place (1 = best)", 0, 1, ticks),
        Axis.ticked("replays (%)", ROWS[-1] - 7, 104, {v: str(v) for v in (0, 50, 100)} | rows),
        marks, hero=True,
    )  # fmt: skip


def _places(state, years) -> list[Mark]:
    """Each ward's place this year, from which it travels to its true one and to next year's."""
    order = _order(years)
    J, (one, place) = order.size, followed(state, years)
    names, now, later = _names(order), np.arange(1, J + 1), next_ranks(years)[order]
    true = true_ranks(years)[order]
    alike = true.max() == 1  # wards all alike have no true order to show
    paths = [[now, later], [ROWS[0], ROWS[2]]] if alike else [[now, true, later], ROWS]
    x, y = (np.array(paths[0]).T - 0.5) / J, np.tile(paths[1], (J, 1))
    some = slice(0, 0 if alike else J)
    grab = [
        Drag("The ward you follow", x="place", ends=_ends(J), sets={"place": int(k)}) for k in now
    ]
    mine, look = [place - 1], {"stage": "truth", "starts_from": "wards"}
    return [
        lines("guide", names, x, y, key="paths", stage="truth"),
        lines("yours", [f"ward {one + 1}"], x[mine], y[mine], key="path", stage="truth", width=4),
        dots("yours", [f"ward {one + 1}"], x[mine, 0], ROWS[0], key="followed", filled=False,
             size=8, hover=[f"you follow ward {one + 1}"]),
        dots("own", names, x[:, 0], ROWS[0], key="wards", size=4.5, drag=grab,
             hover=each("{}: number {} this year", names, now)),
        dots("truth", names[some], x[some, 1], ROWS[1], key="truth", size=4,
             starts_from="wards", hover=each("{}: truly number {}", names[some], true[some])),
        dots("own", names, x[:, -1], ROWS[2], key="next", size=4.5, filled=False,
             hover=each("{}: number {} next year", names, later), **look),
    ]  # fmt: skip


def _ends(J: int) -> tuple[float, float]:
    """Where the first and the last place lie that a reader may follow."""
    return 0.5 / J, (MOST_WARDS - 0.5) / J


def _names(order: NDArray[np.int_]) -> list[str]:
    return [f"ward {j + 1}" for j in order]


def table_panel(state, years, fits) -> Panel:
    """Show this year's table, the best at the top; a new year reshuffles its rows."""
    order = _order(years)
    J, (one, place) = order.size, followed(state, years)
    names, rows = _names(order), 1 - (np.arange(J) + 0.5) / J
    now, later = years.mean[:, order].clip(LOW, HIGH)
    shrunken, true = fits.mean[order].clip(LOW, HIGH), years.truth[0][order].clip(LOW, HIGH)
    top, bottom = (1 - end for end in _ends(J))
    marks = [
        upright("everyone", fits.centre, 0, 1, key="centre", name="mean of all", stage="data"),
        dots("yours", [f"ward {one + 1}"], now[[place - 1]], rows[[place - 1]], key="followed",
             filled=False, size=8, name="the ward you follow (grab any)",
             hover=[f"you follow ward {one + 1}"]),
        dots("own", names, now, rows, name="own mean", size=4,
             hover=each("{}: {} patients, {:.1f} points", names, years.size[order], now),
             drag=[Drag("The ward you follow", y="place", ends=(top, bottom), sets={"place": k + 1})
                   for k in range(J)]),
        dots("model", names, shrunken, rows, name="shrunken mean", size=3.5, starts_from="own",
             hover=each("{}: shrunken to {:.1f}", names, shrunken)),
        dots("own", names, later, rows, key="next", name="next year", size=4, filled=False,
             stage="truth", starts_from="own", hover=each("{}: next year {:.1f}", names, later)),
        dots("truth", names, true, rows, name="truth", size=4, starts_from="own",
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


def ranks_panel(state, years, fits) -> Panel:
    """What the model says of each ward's rank: a row a ward, dark where it is probable."""
    order = _order(years)
    J, (one, place) = order.size, followed(state, years)
    edges = np.arange(J + 1) / J
    ranks = {(r - 0.5) / J: str(r) for r in range(1, J + 1) if r == 1 or r % 5 == 0}
    marks = [
        cells("ranks", edges, edges, fits.ranks[order[::-1]], 0.0, 4 / max(J, 5),
              color="model", stage="estimate"),
        bars("yours", [f"ward {one + 1}"], 0, 1, 1 - place / J, 1 - (place - 1) / J,
             key="followed", filled=False, stage="estimate", hover=[f"you follow ward {one + 1}"]),
    ]  # fmt: skip
    true = true_ranks(years)[order]
    if true.max() > 1:  # wards all alike have no true order to show
        names = _names(order)
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
