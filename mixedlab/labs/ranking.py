"""Ranking: the table's top ward, what its rank is worth, and next year.

``ranking.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import reml_icc
from mixedlab.labs import ranking_panels as panels
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, dragged, slider, toggle
from mixedlab.labs.kit.scene import Scene
from mixedlab.labs.kit.words import count, percent
from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Simulated
from mixedlab.simulate.ward_years import draw_wards, wards

Array = NDArray[np.float64]

MEAN, SD = 70.0, 12.0  # points; SD: of one patient, differences between wards included
REPLAYS = 1000
POSTERIOR_DRAWS = 1000
CURVE_AT = (4, 8, 15, 30, 50, 80, 120, 160, 200)  # patients a ward
AT_ONCE = 400_000  # patients drawn at once


@dataclass(frozen=True)
class State:
    """The controls."""

    wards: int = slider(20, 5, panels.MOST_WARDS, 1, "Wards")
    patients: int = slider(15, 4, 200, 1, "Patients a ward and year")
    icc: float = slider(0.06, 0, 0.5, 0.01, "ICC", help="share of the variance between wards")
    stability: float = slider(
        0.8, 0, 1, 0.05, "Stability of wards", help="correlation of a ward's true mean over a year"
    )
    unequal: bool = toggle(False, "Wards of unequal size", help="from a quarter to four times")
    place: int = dragged(1, 1, panels.MOST_WARDS, 1, "Place of the ward you follow")
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

    Patients (J,); mean scores and true means, this year and next (2, J); the sum of squares of this
    year's patients about their ward's mean; the true rank (1000,) of the ward that is first by its
    own mean and by its shrunken one; standard normal numbers (1000, J + 1) for draws of ranks.
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

    The ICC, the mean of all, the share n / (n + lambda) that each ward keeps (J,), shrunken means
    with their conditional sds (J,), and the probability that ward j has rank r + 1 (J, J).
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
        panels.normal_numbers(state.seed, "posterior", POSTERIOR_DRAWS, state.wards + 1),
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
    b = max(state.sd_ward, 1e-9) * panels.normal_numbers(
        state.seed, "replayed ward", REPLAYS, state.wards
    )
    own = b + error * panels.normal_numbers(state.seed, "replayed mean", REPLAYS, state.wards)
    keep = state.sd_ward**2 / (state.sd_ward**2 + error**2) if state.icc else 1.0
    return {"own": panels.rank_of_first(own, b), "shrunken": panels.rank_of_first(keep * own, b)}


def shrink(size: NDArray[np.int_], own: Array, within: float) -> tuple[float, float, Array, Array]:
    """Return the ICC, the mean of all, the shares kept and the shrunken means."""
    icc = reml_icc(size, own, within)
    v = 1 + size * icc / (1 - icc)
    centre = float((size / v) @ own / (size / v).sum())
    keep = 1 - 1 / v
    return icc, centre, keep, centre + keep * (own - centre)


def fit(years: Years) -> Fits:
    """Fit this year's wards by REML, and draw their ranks from what the model knows."""
    size, own = years.size, years.mean[0]
    icc, centre, keep, mean = shrink(size, own, years.within)
    ratio = icc / (1 - icc)  # of the variances between and within
    v = 1 + size * ratio
    # REML's estimate of the residual variance, given the ratio.
    misfit = years.within + float((size / v) @ (own - centre) ** 2)
    variance = misfit / (size.sum() - 1)
    sd_centre = math.sqrt(variance / (size / v).sum())
    sd = np.sqrt(variance * ratio / v + ((1 - keep) * sd_centre) ** 2)
    return Fits(
        icc,
        centre,
        keep,
        mean,
        sd,
        panels.rank_probabilities(mean, keep, variance * ratio / v, sd_centre, years.posterior),
    )


def best_by_patients(state: State) -> Array:
    """Return in how many per cent the top ward is truly best, for each of ``CURVE_AT``."""
    shares = [np.mean(replay(replace(state, patients=n))["own"] == 1) for n in CURVE_AT]
    return 100 * np.array(shares)


def scene(state: State, years: Years, fits: Fits) -> Scene:
    """Describe where the top ward truly stands, the table, and what more patients would do."""
    top, now, later = int(years.mean[0].argmax()), years.mean[0], years.mean[1]
    first = {table: np.mean(rank == 1) for table, rank in years.replayed.items()}
    patients, rank = f"{panels.span(years.size)} patients", panels.rank_interval(fits.ranks[top])
    told = (
        f"{count(state.wards, 'ward')} with {patients}. Ward {top + 1} is first with "
        f"{now[top]:.1f} points; the mean of all is {now.mean():.1f}."
    )
    outcome = (
        f"In {REPLAYS} replays of such a year the top ward was truly the best in "
        f"{percent(first['own'])}, the top ward by shrunken means in {percent(first['shrunken'])}. "
        f"Of this table the model says: ward {top + 1} is truly the best with probability "
        f"{percent(fits.ranks[top, 0])}, and its true rank is {rank}. "
        f"Its shrunken mean is {fits.mean[top]:.1f}."
    )
    one, place = panels.followed(state, years)
    truly = f"number {panels.true_ranks(years)[one]}" if state.icc else "like every other"
    next_place = int(panels.next_ranks(years)[one])
    truth = (
        f"Ward {one + 1}, number {place} this year, is truly {truly}, with "
        f"{years.truth[0][one]:.1f} points. Next year it gets {later[one]:.1f} and is number "
        f"{next_place}. Foretold for it: {_foretold(state, fits)[one]:.1f}."
    )
    return Scene(
        panels=[
            panels.odds_panel(state, years, REPLAYS),
            panels.table_panel(state, years, fits),
            panels.curve_panel(state, CURVE_AT, best_by_patients(state), 100 * first["own"]),
            panels.ranks_panel(state, years, fits),
        ],
        ask=f"{count(state.wards, 'ward')} are ranked by the mean score of {patients} "
        f"each. In {REPLAYS} such years, how often is the top ward truly the best?",
        headline=f"top ward truly best in {percent(first['own'])}",
        headline_truth=panels.moved_in_words(one, place, next_place),
        answer=100 * float(first["own"]),
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome, outcome_truth=truth,
    )  # fmt: skip


def _foretold(state: State, fits: Fits) -> Array:
    """Next year's mean of each ward: the shrunken distance times the wards' stability."""
    return fits.centre + state.stability * (fits.mean - fits.centre)


def measure(state: State, years: Years, fits: Fits) -> dict[str, float]:
    """Return the top ward's mean, this year, shrunken, in truth, and next year."""
    top = int(years.mean[0].argmax())
    return {
        "own": float(years.mean[0][top]),
        "shrunken": float(fits.mean[top]),
        "true": float(years.truth[0][top]),
        "next": float(years.mean[1][top]),
    }


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the same of many years, drawn together: no replays, no ranks."""
    size, parts = state.sizes, []
    some = max(1, AT_ONCE // (2 * size.sum()))
    for at in range(0, len(seeds), some):
        draws = Draws.of_many(seeds[at : at + some])
        b, score, _ = draw_wards(
            draws, tuple(size.tolist()), MEAN, state.sd_ward, state.sd_patient, state.stability
        )
        by_year = score.reshape(len(score), 2, -1)
        starts = np.cumsum(size) - size
        own, later = (np.add.reduceat(by_year[:, t], starts, axis=-1) / size for t in (0, 1))
        within = ((by_year[:, 0] - np.repeat(own, size, axis=-1)) ** 2).sum(-1)
        shrunken = [shrink(size, o, w)[3] for o, w in zip(own, within, strict=True)]
        top = own.argmax(-1)[:, None]
        four = own, np.array(shrunken), MEAN + b[..., 0], later
        parts.append([np.take_along_axis(v, top, -1)[:, 0] for v in four])
    joined = [np.concatenate(v) for v in zip(*parts, strict=True)]
    return dict(zip(("own", "shrunken", "true", "next"), joined, strict=True))


LAB = Lab(
    name="ranking", title="Ranking wards",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "Wards are ranked by their patients' mean score. How often is the top ward truly the best?",
        panel="odds", axis="y", low=0, high=100, step=1, start=80,
        label="truly best", near=8, unit=" %",
    ),
    alt=(
        "An empty chart of true places above a row of 20 wards, their table in the order of their "
        "mean scores, from about 62 to 77 points, and a handle at 15 patients a ward."
    ),
    main=("patients", "icc"),
    goals=(
        Goal("Make the top ward truly best nine times in ten",
             lambda state, data, fits: np.mean(data.replayed["own"] == 1) >= 0.9,
             {"wards": 5, "patients": 200, "icc": 0.3}),
        Goal("Make the first rank pure luck",
             lambda state, data, fits: state.icc == 0, {"icc": 0}),
        Goal("Make the shrunken table find the best more often",
             lambda state, data, fits: np.mean(data.replayed["shrunken"] == 1)
             > np.mean(data.replayed["own"] == 1) + 0.03, {"unequal": True, "wards": 30}),
    ),
    statistics=(
        Statistic("own", "Top ward, own mean", "own", lifts="table/own"),
        Statistic("shrunken", "Top ward, shrunken", "model", lifts="table/model"),
        Statistic("true", "Top ward, in truth", "data", lifts="table/own"),
        Statistic("next", "Top ward, next year", "own", lifts="table/own"),
    ),
    statistics_label="points",
    measure=measure,
    measure_many=measure_many,
    truth_label="Show the truth and next year",
    new_sample_label="Replay the year",
)  # fmt: skip
