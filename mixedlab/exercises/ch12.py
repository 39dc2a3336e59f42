"""Chapter 12, Cluster-randomised trials."""

from __future__ import annotations

from functools import cache

from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.generalized import glmm
from mixedlab.models.linear import lmm
from mixedlab.simulate.village_outcomes import villages

ICC, PEOPLE = 0.1, 30  # of the trial in exercise 12.1
SIZE = 25  # people a village in exercise 12.2


def _best_share_of_the_error() -> float:
    """What is left of the standard error when everybody in the villages takes part."""
    return (ICC / (ICC + (1 - ICC) / PEOPLE)) ** 0.5


@cache
def _haemoglobin() -> tuple[float, int]:
    """The estimated ICC and the number of people of exercise 12.2."""
    trial = villages(
        outcome="continuous", n_villages=12, n_people=SIZE, intercept=12, effect=0.3,
        sd_village=0.5, seed=22,
    ).to_frame()  # fmt: skip
    fit = lmm("haemoglobin ~ treated + (1 | village)", trial)
    between, within = fit.varcorr["vcov"]
    return float(between / (between + within)), len(trial)


def _worth(neighbours: int = SIZE - 1) -> float:
    icc, people = _haemoglobin()
    return people / (1 + neighbours * icc)


@cache
def _standard_error(random: str) -> float:
    trial = villages(outcome="binary", n_villages=12, n_people=45, seed=5).to_frame()
    return float(glmm(f"infected ~ treated{random}", trial, family="binomial").se["treated"])


EXERCISES = (
    Choice(
        id="12.1",
        title="Half the standard error",
        ask=(
            "Eight villages an arm, thirty people in each, ICC 0.1. You want to halve the standard "
            "error of the effect and keep the villages. With how many times the people: 'four', "
            "'more' or 'never'?"
        ),
        options={
            "four": "four times as many",
            "more": "more than four times as many",
            "never": "no number of people is enough",
        },
        answer=lambda: "never" if _best_share_of_the_error() > 0.5 else "more",
        hint="Which part of the variance of a village's mean does not shrink?",
        praise="The villages' own part stays, and it is most of the whole.",
        solution=lambda right: (
            f"{right!r}. With everybody in the villages the standard error is still "
            f"{_best_share_of_the_error():.0%} of what it is now. Only villages lower it further."
        ),
        misconceptions=(
            Misconception(
                "people taken for independent",
                "four",
                "That is the rule for independent people. Do neighbours here tell as much as "
                "strangers?",
            ),
            Misconception(
                "the ceiling not seen",
                "more",
                "More than four times, yes. But let m grow without end: what is left?",
            ),
        ),
    ),
    Number(
        id="12.2",
        title="What the people are worth",
        ask=(
            "A trial has 24 villages of 25 people. From the two estimated variances: how many "
            "independent people would tell the effect as well?"
        ),
        tolerance=0.2,
        answer=_worth,
        hint="Divide the people by the design effect. What is the ICC?",
        praise="Six hundred people, and evidence of far fewer.",
        solution=lambda right: (
            f"The ICC is {_haemoglobin()[0]:.3f}, the design effect "
            f"{1 + (SIZE - 1) * _haemoglobin()[0]:.2f}, and 600 divided by it makes {right:.1f}."
        ),
        misconceptions=(
            Misconception(
                "all people for those of a village",
                lambda: _worth(_haemoglobin()[1] - 1),
                "m counts the people of one village, 25, and not those of all.",
            ),
            Misconception(
                "the number of villages for that of people",
                lambda: _worth(23),
                "m counts the people of a village, not the villages.",
            ),
            Misconception(
                "the design effect itself",
                lambda: _haemoglobin()[1] / _worth(),
                "That is the design effect. How many people are left after dividing by it?",
            ),
            Misconception(
                "all people counted as independent",
                lambda: _haemoglobin()[1],
                "So many there are. Neighbours resemble each other: what are they worth?",
            ),
        ),
    ),
    Choice(
        id="12.3",
        title="Four villages",
        ask=(
            "Two villages got a new well and two did not; 800 people were asked. With people as "
            "rows p is 0.001, with villages as the unit it is 0.24. Which sentence may be written: "
            "'effect', 'none' or 'open'?"
        ),
        options={
            "effect": "The well improved health (p = 0.001).",
            "none": "The well did not improve health (p = 0.24).",
            "open": "Four villages can't tell whether it was the well or the villages.",
        },
        answer=lambda: "open",
        hint="What was randomised, and how many of these were there?",
        praise="The interval by village would be very wide. Say so, and plan more villages.",
        solution=lambda right: (
            f"{right!r}. The lot fell on four villages, which leaves two degrees of freedom. Such "
            "a trial can neither show an effect of usual size nor exclude it."
        ),
        misconceptions=(
            Misconception(
                "people taken for the unit of the trial",
                "effect",
                "800 people were asked. How many times was the lot drawn?",
            ),
            Misconception(
                "a large p taken for no effect",
                "none",
                "Would such a trial have found the effect if there were one?",
            ),
        ),
    ),
    Number(
        id="12.4",
        title="Infected villages",
        ask=(
            "A colleague analyses infections in 24 randomised villages with people as rows. Mend "
            "the program: what is the standard error of the log odds ratio?"
        ),
        tolerance=0.0005,
        answer=lambda: _standard_error(" + (1 | village)"),
        hint="What must stand in the formula for what was randomised?",
        praise="The villages' share of the error was missing.",
        solution=lambda right: (
            f"With (1 | village) the standard error is {right:.3f}, and not "
            f"{_standard_error(''):.3f}."
        ),
        misconceptions=(
            Misconception(
                "people as rows",
                lambda: _standard_error(""),
                "That is what the colleague's program gave. On what did the lot fall?",
            ),
        ),
    ),
)
