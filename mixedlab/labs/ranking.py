"""Ranking: the table's top ward, what its rank is worth, and next year.

``ranking.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import reml_icc
from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, slider, toggle
from mixedlab.labs.kit.scene import Axis, Bars, Cells, Dots, Lines, Mark, Panel, Scene, Texts
from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Simulated
from mixedlab.simulate.ward_years import wards

Array = NDArray[np.float64]

MEAN, SD = 70.0, 12.0  # points; SD: of one patient, differences between wards included
LOW, HIGH = 50.0, 90.0  # of every axis of points
REPLAYS = 1000
POSTERIOR_DRAWS = 1000
TALL = 0.3  # height of the bars above the table, as a share of the table's


@dataclass(frozen=True)
class State:
    """The controls."""

    wards: int = slider(20, 5, 30, 1, "Wards")
    patients: int = slider(15, 4, 200, 1, "Patients a ward and year")
    icc: float = slider(0.06, 0, 0.5, 0.01, "ICC", help="share of the variance between wards")
    stability: float = slider(
        0.8, 0, 1, 0.05, "Stability of wards", help="correlation of a ward's true mean over a year"
    )
    unequal: bool = toggle(False, "Wards of unequal size", help="from a quarter to four times")
    seed: int = 19

    @property
    def sizes(self) -> NDArray[np.int_]:
        """Patients of each ward, shape (wards,); their order is mixed."""
        if not self.unequal:
            return np.full(self.wards, self.patients)
        # Steps of the golden ratio spread any number of wards evenly over the range.
        place = (np.arange(1, self.wards + 1) * 0.618034) % 1
        return np.maximum(2, np.round(self.patients * 4.0 ** (2 * place - 1))).astype(int)

    @property
    def sd_ward(self) -> float:
        """True spread of wards, in points."""
        return math.sqrt(self.icc) * SD

    @property
    def sd_patient(self) -> float:
        """Spread of one ward's patients, in points."""
        return math.sqrt(1 - self.icc) * SD


@dataclass(frozen=True)
class Years:
    """Two years of all wards, and the top ward's true rank in 1000 replays of the first.

    Attributes
    ----------
    size : ndarray (J,)
    mean : ndarray (2, J)
        Each ward's mean score, this year and next.
    within : float
        Sum of squares of this year's patients about their ward's mean.
    truth : ndarray (2, J)
    replayed : dict of ndarray (1000,)
        True rank of the ward that is first by its own mean, and by its shrunken one.
    posterior : ndarray (1000, J + 1)
        Standard normal numbers, for the draws of ranks.
    """

    size: NDArray[np.int_]
    mean: Array
    within: float
    truth: Array
    replayed: dict[str, NDArray[np.int_]]
    posterior: Array


@dataclass(frozen=True)
class Fits:
    """What a random-intercept model of this year says of the wards.

    Attributes
    ----------
    icc : float
    centre : float
        Generalised least squares mean.
    keep : ndarray (J,)
        Share n / (n + lambda) of its distance that each ward keeps.
    mean, sd : ndarray (J,)
        Shrunken means with their conditional sds.
    ranks : ndarray (J, J)
        Probability that ward j has rank r + 1.
    """

    icc: float
    centre: float
    keep: Array
    mean: Array
    sd: Array
    ranks: Array


def simulate(state: State) -> Years:
    """Draw two years patient by patient, and replay the first 1000 times."""
    made = _two_years(state, state.seed)
    year = made["year"] == 0
    size = state.sizes
    mean = np.stack([np.bincount(made["ward"][y], made["score"][y]) / size for y in (year, ~year)])
    residual = made["score"][year] - mean[0][made["ward"][year]]
    return Years(
        size,
        mean,
        float(residual @ residual),
        MEAN + made.truth["b"].T,
        replay(state),
        _normal(state.seed, "posterior", POSTERIOR_DRAWS, state.wards + 1),
    )


def _two_years(state: State, seed: int) -> Simulated:
    return wards(
        state.wards,
        tuple(state.sizes.tolist()),
        mean=MEAN,
        sd_ward=state.sd_ward,
        sd_patient=state.sd_patient,
        stability=state.stability,
        seed=seed,
    )


def replay(state: State) -> dict[str, NDArray[np.int_]]:
    """Return the top ward's true rank in 1000 other years, by either table.

    A ward's mean is all that a table uses, so means are drawn and no patients. The shrunken
    table knows the true ICC.
    """
    error = state.sd_patient / np.sqrt(state.sizes)
    # Wards all alike keep their order by a hair, so that one of them is the best.
    b = max(state.sd_ward, 1e-9) * _normal(state.seed, "replayed ward", REPLAYS, state.wards)
    own = b + error * _normal(state.seed, "replayed mean", REPLAYS, state.wards)
    keep = state.sd_ward**2 / (state.sd_ward**2 + error**2) if state.icc else 1.0
    return {"own": _rank_of_first(own, b), "shrunken": _rank_of_first(keep * own, b)}


def _rank_of_first(table: Array, b: Array) -> NDArray[np.int_]:
    best = b[np.arange(len(b)), table.argmax(axis=1)]
    return 1 + (b > best[:, None]).sum(axis=1)


@lru_cache(maxsize=8)
def _normal(seed: int, role: str, rows: int, columns: int) -> Array:
    """Standard normal numbers; kept, since no other control than the number of wards moves them."""
    return Draws(seed).normal(role, np.arange(rows)[:, None], np.arange(columns))


def fit(years: Years) -> Fits:
    """Fit this year's wards by REML, and draw their ranks from what the model knows."""
    size, own = years.size, years.mean[0]
    icc = reml_icc(size, own, years.within)
    ratio = icc / (1 - icc)  # of the variances between and within
    v = 1 + size * ratio
    centre = float((size / v) @ own / (size / v).sum())
    keep = size * ratio / v
    # REML's estimate of the residual variance, given the ratio.
    misfit = years.within + float((size / v) @ (own - centre) ** 2)
    variance = misfit / (size.sum() - 1)
    sd_centre = math.sqrt(variance / (size / v).sum())
    sd = np.sqrt(variance * ratio / v + ((1 - keep) * sd_centre) ** 2)
    mean = centre + keep * (own - centre)
    return Fits(
        icc,
        centre,
        keep,
        mean,
        sd,
        rank_probabilities(mean, keep, variance * ratio / v, sd_centre, years.posterior),
    )


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


def scene(state: State, years: Years, fits: Fits) -> Scene:
    """Describe the table, the ranks as distributions, and next year."""
    order = np.argsort(-years.mean[0], kind="stable")
    top, now, later = int(order[0]), years.mean[0], years.mean[1]
    first = {table: np.mean(rank == 1) for table, rank in years.replayed.items()}
    told = (
        f"{state.wards} wards with {_range(years.size)} patients. Ward {top + 1} is first with "
        f"{now[top]:.1f} points; the mean of all is {now.mean():.1f}."
    )
    outcome = (
        f"In {REPLAYS} replays of such a year the top ward was truly the best in "
        f"{first['own']:.0%}, the top ward by shrunken means in {first['shrunken']:.0%}. Of this "
        f"table the model says: ward {top + 1} is truly the best with probability "
        f"{fits.ranks[top, 0]:.0%}, and its true rank is {_interval(fits.ranks[top])}. Its "
        f"shrunken mean is {fits.mean[top]:.1f}."
    )
    place = f"number {_true_ranks(years)[top]}" if state.icc else "like every other"
    next_rank = 1 + int((later > later[top]).sum())
    truth = (
        f"Ward {top + 1} is truly {place}, with {years.truth[0][top]:.1f} points. Next "
        f"year it gets {later[top]:.1f} and is number {next_rank}. Foretold for it: "
        f"{_foretold(state, fits)[top]:.1f}."
    )
    return Scene(
        panels=[
            _table_panel(years, fits, order),
            _ranks_panel(years, fits, order),
            _next_panel(state, years, fits, top),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def _foretold(state: State, fits: Fits) -> Array:
    """Next year's mean of each ward: the shrunken distance times the wards' stability."""
    return fits.centre + state.stability * (fits.mean - fits.centre)


def _table_panel(years: Years, fits: Fits, order: NDArray[np.int_]) -> Panel:
    J = order.size
    rows = np.arange(J, 0, -1.0)
    names = [f"ward {j + 1}" for j in order]
    own, shrunken, sd = (v[order] for v in (years.mean[0], fits.mean, fits.sd))
    ends = np.column_stack([shrunken - 1.96 * sd, shrunken + 1.96 * sd]).clip(LOW, HIGH)
    marks: list[Mark] = [
        Lines(
            key="centre",
            color="complete",
            name="mean of all",
            x=[[fits.centre, fits.centre]],
            y=[[0.3, J + 0.7]],
            width=2,
            hover=[f"mean of all: {fits.centre:.1f}"],
        ),
        Lines(
            key="interval",
            color="partial",
            stage="estimate",
            keys=names,
            x=ends,
            y=rows[:, None] * np.ones(2),
            width=2,
            hover=[
                f"{who}: 95 %, {a:.1f} to {b:.1f}" for who, (a, b) in zip(names, ends, strict=True)
            ],
        ),
        Dots(
            key="own",
            color="none",
            name="own mean",
            keys=names,
            x=own.clip(LOW, HIGH),
            y=rows,
            size=4.5,
            hover=[
                f"{who}: {n} patients, {m:.1f} points"
                for who, n, m in zip(names, years.size[order], own, strict=True)
            ],
        ),
        Dots(
            key="shrunken",
            color="partial",
            stage="estimate",
            name="shrunken mean",
            keys=names,
            x=shrunken.clip(LOW, HIGH),
            y=rows,
            shape="square",
            size=4,
            hover=[
                f"{who}: keeps {k:.0%}, {m:.1f} points"
                for who, k, m in zip(names, fits.keep[order], shrunken, strict=True)
            ],
        ),
        Dots(
            key="true",
            color="truth",
            stage="truth",
            name="true mean",
            keys=names,
            x=years.truth[0][order].clip(LOW, HIGH),
            y=rows,
            shape="diamond",
            size=4,
            filled=False,
            hover=[
                f"{who}: truly {m:.1f}" for who, m in zip(names, years.truth[0][order], strict=True)
            ],
        ),
    ]
    return Panel(
        "table",
        "This year's table",
        Axis("points", LOW, HIGH),
        Axis("ward", 0.3, J + 0.7, _some(rows, [str(j + 1) for j in order])),
        marks,
    )


def _ranks_panel(years: Years, fits: Fits, order: NDArray[np.int_]) -> Panel:
    J = order.size
    edges = np.arange(J + 1) + 0.5
    true_rank = _true_ranks(years)
    # Wards all alike have no true order to show.
    ranked = order if true_rank.max() > 1 else order[:0]
    share = np.bincount(years.replayed["own"], minlength=J + 1)[1:] / REPLAYS
    floor, tall = J + 0.8, TALL * J
    some = np.flatnonzero(share)
    marks: list[Mark] = [
        Cells(
            key="ranks",
            color="partial",
            stage="estimate",
            x=edges,
            y=edges,
            values=fits.ranks[order[::-1]],
            low=0.0,
            high=4.0 / max(J, 5),
            hover=[
                f"ward {j + 1}: rank {r + 1} with probability {fits.ranks[j, r]:.0%}"
                for j in order[::-1]
                for r in range(J)
            ],
        ),
        Bars(
            key="replays",
            color="accent",
            stage="estimate",
            name="top ward's true rank, 1000 replays",
            keys=[str(r + 1) for r in some],
            x0=edges[some] + 0.1,
            x1=edges[some] + 0.9,
            y0=np.full(some.size, floor),
            y1=floor + 0.75 * tall * share[some] / max(share.max(), 0.3),
            hover=[f"truly number {r + 1} in {share[r]:.1%} of replays" for r in some],
        ),
        Texts(
            key="best",
            color="accent",
            stage="estimate",
            x=[J + 0.4],
            y=[floor + 0.86 * tall],
            text=[f"truly best in {share[0]:.0%}"],
            anchor="end",
        ),
        Dots(
            key="true",
            color="truth",
            stage="truth",
            name="true rank",
            keys=[f"ward {j + 1}" for j in ranked],
            x=true_rank[ranked],
            y=np.arange(J, 0, -1)[: ranked.size],
            shape="diamond",
            size=4,
            filled=False,
            hover=[f"ward {j + 1}: truly number {true_rank[j]}" for j in ranked],
        ),
    ]
    ranks = np.arange(1.0, J + 1)
    return Panel(
        "ranks",
        "Ranks as distributions",
        Axis("true rank (1 = best)", 0.5, J + 0.5, _some(ranks, [f"{r:.0f}" for r in ranks])),
        Axis("ward", 0.3, floor + tall, _some(ranks[::-1], [str(j + 1) for j in order])),
        marks,
        width=1.1,
    )


def _true_ranks(years: Years) -> NDArray[np.int_]:
    return 1 + (years.truth[0][None, :] > years.truth[0][:, None]).sum(axis=1)


def _some(places: Array, labels: list[str]) -> list[tuple[float, str]]:
    """Label every place where there is room, else every second or third."""
    step = 1 + (len(labels) - 1) // 12
    return [(float(p), label) for p, label in zip(places, labels, strict=True)][::step]


def _next_panel(state: State, years: Years, fits: Fits, top: int) -> Panel:
    now, later = years.mean.clip(LOW, HIGH)
    names = [f"ward {j + 1}" for j in range(now.size)]
    foretold = _foretold(state, fits).clip(LOW, HIGH)
    said = [
        f"{who}: {a:.1f} this year, {b:.1f} next"
        for who, a, b in zip(names, *years.mean, strict=True)
    ]
    ends = np.array([LOW, HIGH])
    marks: list[Mark] = [
        Lines(
            key="same",
            color="none",
            name="if the table held",
            x=[ends],
            y=[ends],
            width=1.5,
            hover=["next year as this year"],
        ),
        Lines(
            key="centre",
            color="complete",
            x=[ends],
            y=[[fits.centre, fits.centre]],
            width=1.5,
            hover=[f"mean of all: {fits.centre:.1f}"],
        ),
        Dots(
            key="foretold",
            color="partial",
            stage="estimate",
            name="foretold by shrinkage",
            keys=names,
            x=now,
            y=foretold,
            shape="square",
            size=4,
            hover=[f"{who}: foretold {m:.1f}" for who, m in zip(names, foretold, strict=True)],
        ),
        Dots(
            key="top",
            color="accent",
            stage="truth",
            name="this year's top ward",
            x=[now[top]],
            y=[later[top]],
            size=8,
            filled=False,
            hover=[said[top]],
        ),
        Dots(
            key="next",
            color="truth",
            stage="truth",
            name="next year's own mean",
            keys=names,
            x=now,
            y=later,
            size=4,
            filled=False,
            hover=said,
        ),
    ]
    whole = [(float(v), f"{v}") for v in (50, 60, 70, 80, 90)]
    return Panel(
        "next",
        "Next year",
        Axis("this year (points)", LOW, HIGH, whole),
        Axis("next year (points)", LOW, HIGH, whole),
        marks,
    )


def _range(size: NDArray[np.int_]) -> str:
    low, high = size.min(), size.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _interval(probability: Array) -> str:
    """The central 90 % of a ward's ranks."""
    below = probability.cumsum()
    low, high = (1 + int(np.searchsorted(below, q - 1e-12)) for q in (0.05, 0.95))
    span = f"{low}" if low == high else f"between {low} and {high}"
    return f"{span} (with 90 % probability)"


def measure(state: State, years: Years, fits: Fits) -> dict[str, float]:
    """Return the top ward's mean, this year, shrunken, in truth, and next year."""
    top = int(years.mean[0].argmax())
    return {
        "own": float(years.mean[0][top]),
        "shrunken": float(fits.mean[top]),
        "true": float(years.truth[0][top]),
        "next": float(years.mean[1][top]),
    }


LAB = Lab(
    name="ranking",
    title="Ranking with caution",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "20 wards are ranked by the mean score that 15 patients each gave. One ward is on top. In "
        "1000 such years, how often is the top ward truly the best?",
        ("Nearly always", "In about three of four", "In about half", "In fewer than half"),
    ),
    alt=(
        "Left: 20 wards in the order of their mean scores, from about 62 to 77 points. Middle: an "
        "empty square of wards and ranks. Right: an empty square of this year and next, with its "
        "diagonal."
    ),
    presets=(
        Preset("20 wards", {}, "15 patients each, 6 % of the variance between wards."),
        Preset(
            "Trust the table",
            {"wards": 5, "patients": 200, "icc": 0.3, "stability": 1.0},
            "The other outcome: few wards, far apart, many patients, nothing changes. The top ward "
            "is nearly always the best, and next year's table is this year's.",
        ),
        Preset(
            "Unequal wards",
            {"unequal": True, "wards": 30},
            "The top and the bottom of the table belong to small wards. Shrinkage moves them most.",
        ),
        Preset(
            "Wards all alike",
            {"icc": 0.0},
            "There is still a first and a last. Next year there will be others.",
        ),
    ),
    statistics=(
        Statistic("own", "Top ward, own mean", "none"),
        Statistic("shrunken", "Top ward, shrunken", "partial"),
        Statistic("true", "Top ward, in truth", "data"),
        Statistic("next", "Top ward, next year", "accent"),
    ),
    statistics_label="points",
    measure=measure,
    truth_label="Show the truth and next year",
)
