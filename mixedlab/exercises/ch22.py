"""Chapter 22, Ranking wards."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import lmm
from mixedlab.simulate.draws import Draws
from mixedlab.simulate.ward_years import draw_wards

REPLAYS = 2000
WARDS, MORE_WARDS, PATIENTS = 20, 40, 15
SD_WARD, SD_PATIENT = 3.0, 12.0


@cache
def _share_best(n_wards: int) -> float:
    """In what share of years the ward with the highest mean is truly the best."""
    sizes = (PATIENTS,) * n_wards
    draws = Draws.of_many(range(1, REPLAYS + 1))
    b, score, _ = draw_wards(draws, sizes, 0.0, SD_WARD, SD_PATIENT, 1.0, n_years=1)
    own = score.reshape(REPLAYS, n_wards, PATIENTS).mean(axis=-1)
    return float(np.mean(own.argmax(axis=-1) == b[..., 0].argmax(axis=-1)))


def _with_more_wards() -> str:
    change = _share_best(MORE_WARDS) - _share_best(WARDS)
    error = 2 / np.sqrt(2 * REPLAYS)
    return "more often" if change > error else "less often" if change < -error else "as often"


@cache
def _first_two_batches() -> dict[str, float]:
    """Difference of the two highest batches, in sds: by predicted effects and by own means."""
    table = load("dyestuff")
    fit = lmm("Yield ~ 1 + (1 | Batch)", table)
    effect, sd = (part["Batch"]["(Intercept)"] for part in (fit.ranef, fit.ranef_sd))
    first, second = effect.nlargest(2).index
    own = table.groupby("Batch", observed=True)["Yield"].agg(["mean", "size"])
    distance = effect[first] - effect[second]
    own_sd = fit.sigma * np.sqrt(1 / own["size"][first] + 1 / own["size"][second])
    return {
        "predicted": float(distance / np.hypot(sd[first], sd[second])),
        "one sd": float(distance / sd[first]),
        "sds added": float(distance / (sd[first] + sd[second])),
        "own": float((own["mean"][first] - own["mean"][second]) / own_sd),
    }


def _probability(of: str) -> float:
    from scipy.special import ndtr

    return float(ndtr(_first_two_batches()[of]))


@cache
def _schools():
    return load("hsb82")


@cache
def _sector_in_the_model() -> float:
    fit = lmm("mAch ~ sector + (1 | school)", _schools())
    return float(fit.fixef["sector[T.Catholic]"])


@cache
def _by_predicted_effects() -> float:
    effect = lmm("mAch ~ 1 + (1 | school)", _schools()).ranef["school"]["(Intercept)"]
    sector = _schools().groupby("school", observed=True)["sector"].first().loc[effect.index]
    catholic = (sector == "Catholic").to_numpy()
    return float(effect[catholic].mean() - effect[~catholic].mean())


def _adjusted() -> float:
    fit = lmm("mAch ~ sector + ses_dev + ses_mean + (1 | school)", _schools())
    return float(fit.fixef["sector[T.Catholic]"])


EXERCISES = (
    Choice(
        id="22.1",
        title="Forty wards",
        ask=(
            f"Instead of {WARDS} wards {MORE_WARDS} are ranked. All else stays: wards differ with "
            f"an sd of {SD_WARD:g} points, each has {PATIENTS} patients, whose scores have an "
            f"sd of {SD_PATIENT:g}. Is the top ward truly the best 'more often', 'as often' or "
            "'less often'?"
        ),
        options={
            "more often": "among more wards the best one stands out more",
            "as often": "each ward has as many patients as before, so its mean is as certain",
            "less often": "more wards come near to the best one, and each has its luck",
        },
        answer=_with_more_wards,
        hint="In the lab, bet on the bar at place 1, then move *Wards* from 20 to 30.",
        praise="It is truly higher than the first of twenty wards, and still more seldom the best.",
        solution=lambda right: (
            f"{right!r}: in {REPLAYS} years {_share_best(WARDS):.0%} with {WARDS} wards and "
            f"{_share_best(MORE_WARDS):.0%} with {MORE_WARDS}. The more wards, the more of them "
            "lie close below the best, and one of them is lucky."
        ),
        misconceptions=(
            Misconception(
                "the best of many thought to stand out",
                "more often",
                "The best of forty is higher than the best of twenty. But how far below it does "
                "the second best lie?",
            ),
            Misconception(
                "certainty of a mean for that of a rank",
                "as often",
                "Each mean is as certain as before. But how many wards may now be lucky?",
            ),
        ),
    ),
    Number(
        id="22.2",
        title="Is the first better than the second?",
        ask=(
            'Fit "Yield ~ 1 + (1 | Batch)" to `dyestuff` and take the two batches with the highest '
            "predicted effects. Given the data their effects are normal and independent, with the "
            "predicted effects as means and `ranef_sd` as sds. With what probability does the "
            "first truly have the higher yield?"
        ),
        tolerance=0.0005,
        answer=lambda: _probability("predicted"),
        hint=(
            "The difference of two independent normals is normal. Its variance is the sum of "
            "their variances."
        ),
        praise="The first of six batches, and no certain winner even against one of them.",
        solution=lambda right: (
            "norm.cdf((b1 - b2) / np.sqrt(sd1**2 + sd2**2)), with norm of scipy.stats, gives "
            f"{right:.4f}: the distance is {_first_two_batches()['predicted']:.2f} sds of the "
            "difference."
        ),
        misconceptions=(
            Misconception(
                "sd of one for that of the difference",
                lambda: _probability("one sd"),
                "You divided by the sd of one batch. Both are uncertain.",
            ),
            Misconception(
                "sds added",
                lambda: _probability("sds added"),
                "Variances add up; standard deviations do not.",
            ),
            Misconception(
                "own means for predicted effects",
                lambda: _probability("own"),
                "Those are the batches' own means with their standard errors. The two were picked "
                "for being highest: take the predicted effects.",
            ),
            Misconception(
                "the tail that is left",
                lambda: 1 - _probability("predicted"),
                "That is the probability that the second is the better one.",
            ),
        ),
    ),
    Choice(
        id="22.3",
        title="A sentence for the newspaper",
        ask=(
            "By a mixed model of this year's scores ward 7 has the third highest predicted effect, "
            "1.9 points above the mean of all 20 wards. The 90 % interval of its rank is 2 to 12. "
            "Which sentence may be printed?"
        ),
        options={
            "third": "Ward 7 is the third best of the twenty",
            "work": "The work on ward 7 makes its patients' scores 1.9 points higher",
            "half": "Ward 7 belongs to the better half of the wards",
            "between": "Ward 7 is probably somewhere between second and twelfth",
        },
        answer=lambda: "between",
        hint="What does the interval of ranks leave open?",
        praise="It says what the table knows of this rank, and no more.",
        solution=lambda right: (
            f"{right!r}. The third place is the place in the table, not the true rank; the "
            "interval reaches beyond the tenth; a predicted effect holds all in which wards differ."
        ),
        misconceptions=(
            Misconception(
                "place in the table taken for the true rank",
                "third",
                "Third is its place in this table. What may its true rank be?",
            ),
            Misconception(
                "predicted effect taken for a cause",
                "work",
                "The effect holds all that differs between wards, also who lies there.",
            ),
            Misconception(
                "middle of an interval taken for all of it",
                "half",
                "Ranks 11 and 12 are in the interval too, and they are not in the better half.",
            ),
        ),
    ),
    Number(
        id="22.4",
        title="Repair: schools compared by their predicted effects",
        ask=(
            "A report fits mAch ~ 1 + (1 | school), takes the predicted effects of the schools "
            "as data and compares Catholic with public ones by the mean of each. Estimate the "
            "difference between the sectors in one model instead. How many points is it?"
        ),
        unit="points",
        tolerance=0.001,
        answer=_sector_in_the_model,
        hint="Put sector into the fixed part of the model, beside (1 | school).",
        praise=(
            "The predicted effects were shrunken towards a mean that knew of no sectors. A "
            "comparison belongs in the fixed part. It is still no causal effect: families choose "
            "schools."
        ),
        solution=lambda right: (
            f'ml.lmm("mAch ~ sector + (1 | school)", schools).fixef gives {right:.3f}. The '
            f"predicted effects differ by {_by_predicted_effects():.3f} only: about a tenth was "
            "lost to shrinkage."
        ),
        misconceptions=(
            Misconception(
                "predicted effects taken as data",
                _by_predicted_effects,
                "That is the report's figure. Each effect was pulled towards the mean of all "
                "schools, and so was the difference.",
            ),
            Misconception(
                "another question: schools of equal ses",
                _adjusted,
                "That compares schools of equal ses. A good question; but the report asked for the "
                "difference as it is.",
            ),
        ),
    ),
)
