"""Chapter 22, Ranking with caution."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import lmm
from mixedlab.simulate.ward_years import wards

REPLAYS = 1000
WARDS, PATIENTS = 20, 15
SD_WARD, SD_PATIENT = 3.0, 12.0


@cache
def _replays() -> dict[str, np.ndarray]:
    """Own means of two years and true effects of the first, (1000, 20) each."""
    parts: dict[str, list[np.ndarray]] = {"now": [], "later": [], "true": []}
    for seed in range(1, REPLAYS + 1):
        made = wards(WARDS, PATIENTS, sd_ward=SD_WARD, sd_patient=SD_PATIENT, seed=seed)
        score = made["score"].reshape(2, WARDS, PATIENTS).mean(axis=2)
        parts["now"].append(score[0])
        parts["later"].append(score[1])
        parts["true"].append(made.truth["b"][:, 0])
    return {name: np.stack(rows) for name, rows in parts.items()}


def _share_best() -> float:
    made = _replays()
    return float(np.mean(made["now"].argmax(axis=1) == made["true"].argmax(axis=1)))


def _share_still_first() -> float:
    made = _replays()
    return float(np.mean(made["now"].argmax(axis=1) == made["later"].argmax(axis=1)))


def _change_of_the_last() -> float:
    """Mean change to the next year of the ward that is last this year."""
    made, everyone = _replays(), np.arange(REPLAYS)
    last = made["now"].argmin(axis=1)
    return float(np.mean(made["later"][everyone, last] - made["now"][everyone, last]))


def _without_a_manager() -> str:
    change = _change_of_the_last()
    error = 2 * SD_PATIENT / np.sqrt(PATIENTS * REPLAYS)
    return "better" if change > error else "worse" if change < -error else "the same"


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
        title="A new manager for the last ward",
        ask=(
            "Each year the last of 20 wards gets a new manager. Next year its mean score is 4 "
            "points "
            "higher, on average over many hospitals. Wards like those of the lab's default would, "
            "without a new manager, do 'worse', 'the same' or 'better' in the year after they were "
            "last?"
        ),
        options={
            "worse": "lower, on average",
            "the same": "as before, on average",
            "better": "higher, on average",
        },
        answer=_without_a_manager,
        hint=(
            "In the lab, show the truth and next year. Where do the wards on the left come to lie?"
        ),
        praise=(
            "Those chosen for being last were also unlucky, and luck does not repeat. Whether "
            "managers help you learn from last wards that got none."
        ),
        solution=lambda right: (
            f"{right!r}. In 1000 replays the last ward changes by {_change_of_the_last():+.1f} "
            "points, "
            "and nobody did anything. The manager's 4 points are no evidence."
        ),
        misconceptions=(
            Misconception(
                "no regression expected",
                "the same",
                "Its true mean stays much the same. But was its score this year its true mean, "
                "given "
                "that you picked it *because* it was the lowest?",
            ),
            Misconception(
                "trend expected to go on",
                "worse",
                "Nothing drags it down. What of this year's score was bad luck, and will that come "
                "again?",
            ),
        ),
    ),
    Number(
        id="22.2",
        title="Is the top ward the best?",
        ask=(
            f"{WARDS} wards with {PATIENTS} patients each, sd between wards {SD_WARD:g}, sd of "
            "patients "
            f"{SD_PATIENT:g}. Replay {REPLAYS} years with ml.simulate.wards. In what share of "
            "them is "
            "the ward with the highest mean truly the best?"
        ),
        tolerance=0.05,
        answer=_share_best,
        hint=(
            "For each seed compare two places: argmax of the 20 means of year 0, and argmax of "
            'truth["b"][:, 0].'
        ),
        praise="Most prizes go to another ward than the best.",
        solution=lambda right: (
            "Count the seeds where score.reshape(2, 20, 15).mean(axis=2)[0].argmax() equals "
            f'truth["b"][:, 0].argmax(): {right:.2f} for seeds 1 to {REPLAYS}.'
        ),
        misconceptions=(
            Misconception(
                "by chance alone",
                1 / WARDS,
                "That would be so if the table told nothing at all. It tells something.",
            ),
            Misconception(
                "reliability for a probability of rank",
                SD_WARD**2 / (SD_WARD**2 + SD_PATIENT**2 / PATIENTS),
                "That is the share n / (n + lambda) which a ward keeps of its distance, a matter "
                "of "
                "points and not of ranks. Count replays.",
            ),
            Misconception(
                "first again for truly best",
                _share_still_first,
                "That is how often the top ward is on top again next year. Compare it "
                "with the truth.",
            ),
        ),
    ),
    Number(
        id="22.3",
        title="Repair: schools compared by their predicted effects",
        ask=(
            "A report fits mAch ~ 1 + (1 | school), takes the predicted effects of the schools "
            "as data "
            "and compares Catholic with public ones by the mean of each. Estimate the difference "
            "between the sectors in one model instead. How many points is it?"
        ),
        unit="points",
        tolerance=0.01,
        answer=_sector_in_the_model,
        hint="Put sector into the fixed part of the model, beside (1 | school).",
        praise=(
            "The predicted effects were shrunken towards a mean that knew of no sectors. A "
            "comparison "
            "belongs in the fixed part. It is still no causal effect: families choose schools."
        ),
        solution=lambda right: (
            f'ml.lmm("mAch ~ sector + (1 | school)", schools).fixef gives {right:.2f}. The '
            "predicted "
            f"effects differ by {_by_predicted_effects():.2f} only: about a tenth was lost to "
            "shrinkage."
        ),
        misconceptions=(
            Misconception(
                "predicted effects taken as data",
                _by_predicted_effects,
                "That is the report's figure. Each effect was pulled towards the mean of all "
                "schools, "
                "and so was the difference.",
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
