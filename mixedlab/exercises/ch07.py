"""Chapter 7, Within and between."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.contextual import within_between
from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import lmm

PUPILS = "mAch ~ minority_dev + minority_mean + (1 | school)"
FEWER, MORE = 0.1, 0.4  # shares of pupils of a minority in two schools
HOUSES = "log_radon ~ floor_dev + floor_mean + (1 | county)"


def _slopes_of_drivers() -> str:
    """Which slopes of reaction time on days the sleep study can give."""
    study = within_between(load("sleepstudy"), "Days", "Subject")
    varies = [bool(np.ptp(study[f"Days_{part}"]) > 0) for part in ("dev", "mean")]
    return {
        (True, True): "both",
        (True, False): "within",
        (False, True): "between",
        (False, False): "neither",
    }[tuple(varies)]


@cache
def _pupils() -> dict[str, float]:
    """Slopes of mathematics on belonging to a minority, by the model with both parts."""
    table = load("hsb82")[["school", "minrty", "mAch"]]
    table["minority"] = (table["minrty"] == "Yes").astype(float)
    fit = lmm(PUPILS, within_between(table, "minority", "school"))
    return {"within": fit.fixef["minority_dev"], "between": fit.fixef["minority_mean"]}


def _two_schools() -> float:
    """Points that the school with more pupils of a minority adds, for equal pupils."""
    slopes = _pupils()
    return float((MORE - FEWER) * (slopes["between"] - slopes["within"]))


@cache
def _houses() -> dict[str, float]:
    """Every slope of log radon on floor that one may report."""
    table = within_between(load("radon"), "floor", "county")
    county = table.groupby("county", observed=True)[["floor", "log_radon"]].mean()
    both, blend = lmm(HOUSES, table), lmm("log_radon ~ floor + (1 | county)", table)
    return {
        "within": float(both.fixef["floor_dev"]),
        "between": float(both.fixef["floor_mean"]),
        "blend": float(blend.fixef["floor"]),
        "naive": float(np.polyfit(table["floor"], table["log_radon"], 1)[0]),
        "aggregated": float(np.polyfit(county["floor"], county["log_radon"], 1)[0]),
    }


EXERCISES = (
    Choice(
        id="7.1",
        title="The same ten days",
        ask=(
            "In the table `sleepstudy` each of 18 drivers is measured on the same ten days. You "
            "want the slope of reaction time on `Days` within drivers and the slope between "
            "drivers. Which can these data give: 'both', only 'within', only 'between', or "
            "'neither'?"
        ),
        options={
            "both": "a driver's mean and the deviation from it, as in the chapter",
            "within": "the deviations vary; the means do not",
            "between": "eighteen drivers differ, and that is what a slope between needs",
            "neither": "days are the same for all, so nothing can be learned from them",
        },
        answer=_slopes_of_drivers,
        hint="Write down the mean of `Days` of the first driver, then of the second.",
        praise=(
            "Every driver's mean is 4.5. Where each group has the same values of x, by design, "
            "there is no slope between, and a random intercept finds the slope within exactly."
        ),
        solution=lambda right: (
            f"{right!r}. The mean of Days is 4.5 for every driver, so Days_mean is a constant, and "
            "no slope can be learned from a constant. All of Days is deviation."
        ),
        misconceptions=(
            Misconception(
                "parts thought to vary always",
                "both",
                "The parts can be computed. But does the drivers' mean of `Days` differ between "
                "drivers?",
            ),
            Misconception(
                "differences in y for differences in x",
                "between",
                "The drivers differ in reaction time. A slope between needs drivers who differ in "
                "their mean of `Days`.",
            ),
            Misconception(
                "balance thought to hide a slope",
                "neither",
                "Each driver goes through ten different days. Is that not a change of x within a "
                "driver?",
            ),
        ),
    ),
    Number(
        id="7.2",
        title="The school and the pupil",
        ask=(
            f'Fit "{PUPILS}" to High School and Beyond, where `minority` is 1 for a pupil of a '
            "minority and 0 for others. Two pupils, neither of a minority, go to two schools: in "
            f"one {FEWER:.0%} of the pupils are of a minority, in the other {MORE:.0%}. How many "
            "points of mathematics does the pupil of the second school lie above the other "
            "(negative: below), by this fit?"
        ),
        tolerance=0.001,
        unit="points",
        answer=_two_schools,
        hint=(
            "Write down minority_mean and minority_dev of both pupils. The pupils' own value is 0, "
            "so the deviation is 0 less the school's mean."
        ),
        praise="That is 0.3 times the contextual effect. It does not make the school the cause.",
        solution=lambda right: (
            "minority_mean is larger by 0.3 and minority_dev smaller by 0.3: 0.3 * "
            f"({_pupils()['between']:.3f} + {-_pupils()['within']:.3f}) = {right:.3f}."
        ),
        misconceptions=(
            Misconception(
                "slope between for the contextual effect",
                lambda: (MORE - FEWER) * _pupils()["between"],
                "That compares the mean of the one school with that of the other. In it also the "
                "pupils differ: more of them are of a minority. Your two pupils are alike.",
            ),
            Misconception(
                "slope within for the contextual effect",
                lambda: (MORE - FEWER) * _pupils()["within"],
                "That slope compares pupils of one school. Yours go to two schools.",
            ),
            Misconception(
                "contextual effect of a whole unit",
                lambda: _pupils()["between"] - _pupils()["within"],
                "That is for two schools with shares of 0 and 1. By how much do these two differ?",
            ),
            Misconception(
                "slopes added",
                lambda: (MORE - FEWER) * (_pupils()["between"] + _pupils()["within"]),
                "One of the two numbers of the second pupil is larger by 0.3, the other smaller.",
            ),
        ),
    ),
    Choice(
        id="7.3",
        title="A sentence about sleep",
        ask=(
            "Two hundred nurses report their hours of sleep before each of five shifts and take a "
            "test of attention after it. The model has both parts of sleep. Errors change by -0.9 "
            "(SE 0.1) for an hour above the nurse's own mean, and by 0.1 (SE 0.3) for an hour of "
            "that mean. Which sentence may be written?"
        ),
        options={
            "short night": (
                "After a night one hour shorter than usual for her, a nurse makes about 0.9 errors "
                "more"
            ),
            "short sleepers": (
                "Nurses who usually sleep one hour less than others make about 0.9 errors more"
            ),
            "no effect": "How long a nurse usually sleeps has no effect on her errors",
            "on average": "Taken together, an hour of sleep changes errors by about -0.4",
        },
        answer=lambda: "short night",
        hint="Ask of each sentence: are two nights of one nurse compared, or two nurses?",
        praise="It compares two nights of one nurse, and -0.9 is the slope within.",
        solution=lambda right: (
            f"{right!r}. -0.9 compares nights of one nurse. About two nurses the data say little: "
            "0.1 with an SE of 0.3 leaves room for half an error either way."
        ),
        misconceptions=(
            Misconception(
                "slope within read as one between",
                "short sleepers",
                "That compares two nurses. Which of the two slopes is theirs?",
            ),
            Misconception(
                "no evidence taken for no effect",
                "no effect",
                "The SE is 0.3: slopes from about -0.5 to 0.7 go with the data. Is that none?",
            ),
            Misconception(
                "two slopes averaged",
                "on average",
                "The mean of the answers to two questions answers neither.",
            ),
        ),
    ),
    Number(
        id="7.4",
        title="Repair: centred about the wrong mean",
        ask=(
            "A report wants the effect of the `floor` (0 basement, 1 ground floor) on log radon "
            "between houses of the *same* county. It subtracts the mean of all 919 houses from "
            '`floor` and fits "log_radon ~ floor_centred + (1 | county)" to `radon`. Repair it: '
            "what is the slope within counties?"
        ),
        tolerance=0.0005,
        answer=lambda: _houses()["within"],
        hint='ml.within_between(radon, "floor", "county") subtracts each county\'s own mean.',
        praise=(
            "Subtracting one number from all moves the axis and no slope. Subtracting each "
            "county's own mean removes what differs between counties."
        ),
        solution=lambda right: (
            'radon = ml.within_between(radon, "floor", "county"); '
            f'ml.lmm("{HOUSES}", radon).fixef["floor_dev"] gives {right:.3f}. The report\'s '
            f"{_houses()['blend']:.3f} is a blend with the slope between, "
            f"{_houses()['between']:.3f}."
        ),
        misconceptions=(
            Misconception(
                "blended slope kept",
                lambda: _houses()["blend"],
                "That is the report's own slope: centring about the mean of all changes no slope.",
            ),
            Misconception(
                "slope between",
                lambda: _houses()["between"],
                "That is the slope between counties: those with many houses without a basement "
                "against others.",
            ),
            Misconception(
                "counties ignored",
                lambda: _houses()["naive"],
                "That is one regression through all houses. It mixes both slopes.",
            ),
            Misconception(
                "aggregated slope",
                lambda: _houses()["aggregated"],
                "That is a slope of 85 counties' means, and not of houses.",
            ),
        ),
    ),
)
