"""Chapter 3, Fixed or random."""

from __future__ import annotations

from functools import cache

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import LinearFit, lmm


@cache
def _schools() -> LinearFit:
    return lmm("mAch ~ 1 + (1 | school)", load("hsb82"))


def _between() -> float:
    return float(_schools().varcorr["vcov"].iloc[0])


def _error_of_mean() -> float:
    return float(_schools().se.iloc[0])


@cache
def _plate_by_dummies() -> float:
    """The intercept of a model with a column for each plate: the first plate's mean."""
    return float(lmm("diameter ~ C(plate) + (1 | sample)", load("penicillin")).fixef.iloc[0])


@cache
def _plate_never_seen() -> float:
    fit = lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", load("penicillin"))
    return float(fit.fixef.iloc[0])


EXERCISES = (
    Choice(
        id="3.1",
        title="A column for each county",
        ask=(
            "A regression has a column of zeros and ones for each of 85 counties, all fixed, and "
            "no intercept. What does it predict for a house in a county that was never measured: "
            "'nothing', 'zero' or 'the mean'?"
        ),
        options={
            "nothing": "it has no coefficient for that county, so there is no prediction",
            "zero": "all columns are 0 for that house, so the prediction is 0",
            "the mean": "the mean of the 85 coefficients",
        },
        answer=lambda: "nothing",
        hint="Which coefficient belongs to the new county, and which data tell it?",
        praise="Each fixed effect is known from its own houses alone, and there are none.",
        solution=lambda right: (
            f"{right!r}. The new county would need a column and a coefficient of its own. No house "
            "tells that coefficient. That counties are alike is said by the random effects alone."
        ),
        misconceptions=(
            Misconception(
                "zeros in the row taken for a prediction",
                "zero",
                "Zeros in all columns say that the house belongs to none of the 85. Does that make "
                "its log radon 0?",
            ),
            Misconception(
                "fixed effects taken for draws from one distribution",
                "the mean",
                "That is what one would like to say. Where does the model say that the new county "
                "resembles the others?",
            ),
        ),
    ),
    Number(
        id="3.2",
        title="A school never seen",
        ask=(
            "From mAch ~ 1 + (1 | school): what is the variance of the true mean of a school never "
            "seen about its prediction, with the uncertainty of the prediction itself?"
        ),
        tolerance=0.005,
        answer=lambda: _between() + _error_of_mean() ** 2,
        hint="Two things are unknown: where the mean of all schools lies, and how far from it this "
        "school is. Their variances add up.",
        praise="The mean of all schools is known well here. What is left is that schools differ.",
        solution=lambda right: (
            f"Schools spread with the variance {_between():.3f}, and the mean of all is uncertain "
            f"with {_error_of_mean():.3f} squared. Together {right:.3f}."
        ),
        misconceptions=(
            Misconception(
                "the spread of the schools left out",
                lambda: _error_of_mean() ** 2,
                "That is how well the mean of all schools is known. Is this school that mean?",
            ),
            Misconception(
                "the uncertainty of the mean left out",
                _between,
                "That is the spread of the schools about the true mean. Is the true mean known?",
            ),
            Misconception(
                "a standard error added to a variance",
                lambda: _between() + _error_of_mean(),
                "You added a standard error to a variance. Square it first.",
            ),
            Misconception(
                "the pupils' variance added",
                lambda: _between() + _error_of_mean() ** 2 + float(_schools().sigma) ** 2,
                "That is for the score of one pupil. The mean of the school was asked for.",
            ),
        ),
    ),
    Choice(
        id="3.3",
        title="Which of them is random?",
        ask=(
            "A trial compares two drugs in 40 wards, on men and women, in two hospitals. One "
            "wants to speak of wards in general. What should be random: 'drug', 'sex', 'wards' or "
            "'hospitals'?"
        ),
        options={
            "drug": "the drug, since it was given at random",
            "sex": "men and women, since persons differ",
            "wards": "the wards",
            "hospitals": "the two hospitals",
        },
        answer=lambda: "wards",
        hint="Which labels could be shuffled, and are there enough of them to tell a spread?",
        praise="Forty exchangeable names, and more wards to speak of than these.",
        solution=lambda right: (
            f"{right!r}. You want these two drugs and both sexes by name, and two hospitals are "
            "too few to estimate a spread: all three are fixed. Wards are many and exchangeable."
        ),
        misconceptions=(
            Misconception(
                "random allocation taken for a random effect",
                "drug",
                "It was allotted at random, true. But do you want to know of these two drugs, or "
                "of drugs in general?",
            ),
            Misconception(
                "all that varies taken for random",
                "sex",
                "Could you shuffle the two labels and lose nothing? And is there a third to come?",
            ),
            Misconception(
                "two levels thought to tell a spread",
                "hospitals",
                "How well do two numbers tell a standard deviation?",
            ),
        ),
    ),
    Number(
        id="3.4",
        title="The first plate for all",
        ask=(
            "Samples of penicillin clear zones on 24 plates. A colleague wants to predict the zone "
            "on a plate never used, takes a model with a column for each plate, and reports its "
            "intercept. Mend it: which diameter is to be expected on a new plate?"
        ),
        tolerance=0.002,
        unit="mm",
        answer=_plate_never_seen,
        hint="Of which plate does the intercept speak when every other plate has a column?",
        praise="With plates random, the fixed part speaks of any plate.",
        solution=lambda right: (
            f"The intercept, {_plate_by_dummies():.2f}, is the first plate's mean. With "
            f"(1 | plate) the fixed part is that of a plate in general: {right:.2f}."
        ),
        misconceptions=(
            Misconception(
                "the baseline's mean for that of all",
                _plate_by_dummies,
                "That is what the colleague reports: the mean on the plate that has no column.",
            ),
        ),
    ),
)
