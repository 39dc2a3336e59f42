"""Chapter 5, Variance components."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import LinearFit, lmm

# Five laboratories, three measurements of one material each: mg of lead in a kilogram.
LEAD = np.array(
    [[21.4, 18.9, 23.1], [19.2, 22.6, 20.3], [23.9, 20.8, 21.5],
     [18.4, 21.9, 20.1], [22.2, 19.7, 23.4]]
)  # fmt: skip


def _laboratories() -> LinearFit:
    import pandas as pd

    lab = np.repeat(list("ABCDE"), LEAD.shape[1])
    return lmm("lead ~ 1 + (1 | lab)", pd.DataFrame({"lead": LEAD.ravel(), "lab": lab}))


@cache
def _most_between() -> float:
    """The upper end of the interval of the sd between laboratories."""
    return float(_laboratories().confint(method="profile")["upper"].iloc[0])


def _what_may_be_written() -> str:
    between, within = _laboratories().varcorr["sdcor"]
    return "up to" if between == 0 and _most_between() > within / 2 else "none"


def _components_that_move() -> str:
    """Which variance changes where 50 g are added to all samples of batch A."""
    table = load("dyestuff")
    moved = table.assign(Yield=table["Yield"] + 50.0 * (table["Batch"] == "A"))
    before, after = (lmm("Yield ~ 1 + (1 | Batch)", t).varcorr["vcov"] for t in (table, moved))
    names = ("between", "within")
    changed = [n for n, a, b in zip(names, before, after, strict=True) if abs(a - b) > 1e-3 * a]
    return changed[0] if len(changed) == 1 else "both"


@cache
def _pieces(name: str, group: str, response: str) -> tuple[float, float, int]:
    """Variance of the groups' means, variance within groups, rows a group."""
    groups = load(name).groupby(group, observed=True)[response]
    return float(groups.mean().var()), float(groups.var().mean()), int(groups.size().iloc[0])


def _between(name: str, group: str, response: str, taken_off: float = 1.0) -> float:
    """Variance between groups; ``taken_off`` is how much of the luck of a mean is taken off."""
    means, within, n = _pieces(name, group, response)
    return means - taken_off * within / n


RAIL, PASTES = ("rail", "Rail", "travel"), ("pastes", "sample", "strength")

EXERCISES = (
    Choice(
        id="5.1",
        title="A wrong scale",
        ask=(
            "Batch A of the dye was weighed on a scale that shows 50 g too little. You add 50 g to "
            "all five of its samples and fit again. Which estimated variance changes: 'between', "
            "'within' or 'both'?"
        ),
        options={
            "between": "only the variance between batches",
            "within": "only the variance within batches",
            "both": "both variances",
        },
        answer=_components_that_move,
        hint="Write down what the samples of batch A have in common, and what they differ by.",
        praise="The samples of a batch differ from each other by as much as before.",
        solution=lambda right: (
            f"{right!r}. All samples of batch A move together: their mean moves, and their "
            "distances from it do not. Within is an average of such distances."
        ),
        misconceptions=(
            Misconception(
                "an error of measurement taken for variance within",
                "within",
                "It was an error of measurement, true. Did it differ from sample to sample?",
            ),
            Misconception(
                "all components thought to move together",
                "both",
                "How far do the samples of batch A lie from their own mean, before and after?",
            ),
        ),
    ),
    Number(
        id="5.2",
        title="Six rails",
        ask=(
            "An ultrasonic wave was sent along six rails, three times along each. From the "
            "variance of the six means and the variance within a rail: what is REML's estimate of "
            "the variance between rails, in squares of the travel time's unit?"
        ),
        tolerance=0.5,
        answer=lambda: _between(*RAIL),
        hint="Each mean holds luck, with the variance within a rail divided by what?",
        praise="That is what ml.lmm finds, and the luck of three measurements is small here.",
        solution=lambda right: (
            "The means spread with the variance between plus a third of the variance within: "
            f"{_pieces(*RAIL)[0]:.2f} less {_pieces(*RAIL)[1]:.2f} / 3 makes {right:.2f}."
        ),
        misconceptions=(
            Misconception(
                "luck of the means left in",
                lambda: _between(*RAIL, taken_off=0),
                "That is the variance of the means. Which part of it would alike rails have?",
            ),
            Misconception(
                "all of the variance within taken off",
                lambda: _between(*RAIL, taken_off=3),
                "A mean of three measurements has less luck than one measurement. How much less?",
            ),
            Misconception(
                "a standard deviation for a variance",
                lambda: _between(*RAIL) ** 0.5,
                "That is the standard deviation. The variance was asked for.",
            ),
            Misconception(
                "the mean square between taken for the variance",
                lambda: 3 * _between(*RAIL, taken_off=0),
                "That is the mean square between rails: three times the variance of the means.",
            ),
        ),
    ),
    Choice(
        id="5.3",
        title="Five laboratories",
        ask=(
            "Five laboratories measure the lead in one material, three times each. REML's sd "
            "between laboratories is 0, its 95 % interval ends at 1.4 mg, and the sd within a "
            "laboratory is 1.7 mg. Which sentence may be written?"
        ),
        options={
            "none": "Laboratories do not differ.",
            "up to": "Laboratories may differ, by an sd nearly as large as that within.",
            "failed": "The fit failed, so the laboratories are left out of the model.",
        },
        answer=_what_may_be_written,
        hint="Read the interval, not the estimate alone.",
        praise="Five laboratories can't show more. The interval says so.",
        solution=lambda right: (
            f"{right!r}. The peak of the likelihood is at 0, but an sd between of "
            f"{_most_between():.1f} mg would be compatible with these numbers as well."
        ),
        misconceptions=(
            Misconception(
                "an estimate of 0 taken for proof",
                "none",
                "0 is the estimate. What else would give the same data often enough?",
            ),
            Misconception(
                "the wall taken for a failure",
                "failed",
                "The peak lies at the wall; the fit has found it. What would leaving the "
                "laboratories out change of what is known?",
            ),
        ),
    ),
    Number(
        id="5.4",
        title="The luck of two assays",
        ask=(
            "Two assays were made of each of 30 samples of a paste. A colleague reports the "
            "variance of the 30 means as the variance between samples. Mend it: what is the "
            "variance between samples?"
        ),
        tolerance=0.004,
        answer=lambda: _between(*PASTES),
        hint="Assays of one sample differ too. How much of that is still in a mean of two?",
        praise="ml.lmm('strength ~ 1 + (1 | sample)', pastes) says the same.",
        solution=lambda right: (
            f"The variance of the means, {_pieces(*PASTES)[0]:.3f}, holds half of the variance "
            f"within, {_pieces(*PASTES)[1]:.3f}. Less that it is {right:.3f}."
        ),
        misconceptions=(
            Misconception(
                "luck of the means left in",
                lambda: _between(*PASTES, taken_off=0),
                "That is what the colleague reports. Would 30 equal samples have equal means?",
            ),
            Misconception(
                "all of the variance within taken off",
                lambda: _between(*PASTES, taken_off=2),
                "You took off the variance of one assay. The means are of two.",
            ),
            Misconception(
                "a standard deviation for a variance",
                lambda: _between(*PASTES) ** 0.5,
                "That is the standard deviation. The variance was asked for.",
            ),
        ),
    ),
)
