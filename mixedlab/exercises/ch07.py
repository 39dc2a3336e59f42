"""Chapter 7, Within and between."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.contextual import within_between
from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import lmm
from mixedlab.simulate.stress_diary import diary

BOTH = "mAch ~ ses_dev + ses_mean + (1 | school)"
BLEND = "mAch ~ ses + (1 | school)"


@cache
def _slopes() -> dict[str, float]:
    """Every slope of mathematics on ses that one may report."""
    pupils = within_between(load("hsb82")[["school", "ses", "mAch"]], "ses", "school")
    schools = pupils.groupby("school", observed=True)[["ses", "mAch"]].mean()
    both, blend = lmm(BOTH, pupils).fixef, lmm(BLEND, pupils).fixef
    return {
        "within": float(both["ses_dev"]),
        "between": float(both["ses_mean"]),
        "blend": float(blend["ses"]),
        "naive": float(np.polyfit(pupils["ses"], pupils["mAch"], 1)[0]),
        "aggregated": float(np.polyfit(schools["ses"], schools["mAch"], 1)[0]),
    }


def _context() -> float:
    return _slopes()["between"] - _slopes()["within"]


def _blend(n_prompts: int) -> float:
    """Slope of the random-intercept model in the long run, for the diary of the lab."""
    return diary(n_persons=1, n_prompts=n_prompts, sd_error=1.0).truth["slope_random_intercept"]


def _where_the_blend_goes() -> str:
    truth = diary(n_persons=1).truth
    few, many = (
        [abs(_blend(n) - truth[level]) for level in ("within", "between")] for n in (5, 100)
    )
    nearer = [level for level, a, b in zip(("within", "between"), few, many, strict=True) if b < a]
    return nearer[0] if len(nearer) == 1 else "neither"


EXERCISES = (
    Choice(
        id="7.1",
        title="A longer diary",
        ask=(
            "The stress diary is kept for 100 prompts a person, not 5, and `stress ~ support + "
            "(1 | person)` is fitted again. Which slope does its coefficient come nearer to: "
            "'within', 'between', or 'neither'?"
        ),
        options={
            "within": "the slope within persons",
            "between": "the slope between persons",
            "neither": "it stays where it is",
        },
        answer=_where_the_blend_goes,
        hint="Ask what each further prompt tells about: the moments of a person, or other persons.",
        praise=(
            "A hundred prompts are a hundred moments of a person, and still one person. In the "
            "lab, raise the prompts and watch the hand of the random intercept."
        ),
        solution=lambda right: (
            f"{right!r}. The coefficient weighs both slopes by what is known of each. More prompts "
            "add moments and no persons. In the long run it is "
            f"{_blend(5):.2f} with 5 prompts and {_blend(100):.2f} with 100; within it is "
            f"{diary(n_persons=1).truth['within']:.2f}."
        ),
        misconceptions=(
            Misconception(
                "longer series taken for more persons",
                "between",
                "The number of persons is the same. What do more prompts say more about?",
            ),
            Misconception(
                "weights thought to be fixed",
                "neither",
                "The coefficient weighs two slopes by their precision. Which of them do more "
                "prompts make more precise?",
            ),
        ),
    ),
    Number(
        id="7.2",
        title="What a school adds",
        ask=(
            "Two pupils of the High School and Beyond data have the same ses. The mean ses of "
            f'their schools differs by 1. By the fit of "{BOTH}", how many points of '
            "mathematics lie between them?"
        ),
        tolerance=0.01,
        unit="points",
        answer=_context,
        hint=(
            "Write down ses_mean and ses_dev of both pupils: if ses_mean is larger by 1 and ses "
            "is the same, what is ses_dev?"
        ),
        praise="It is called the contextual effect: between less within.",
        solution=lambda right: (
            "The pupil of the school with the higher mean has ses_mean larger by 1 and ses_dev "
            f"smaller by 1: {_slopes()['between']:.2f} - {_slopes()['within']:.2f} = {right:.2f}. "
            "It is also the coefficient of ses_mean in mAch ~ ses + ses_mean + (1 | school)."
        ),
        misconceptions=(
            Misconception(
                "slope between for the contextual effect",
                lambda: _slopes()["between"],
                "That compares a whole school with another, pupils and all. Your two pupils have "
                "the same ses: what are their deviations from their schools?",
            ),
            Misconception(
                "slope within for the contextual effect",
                lambda: _slopes()["within"],
                "That compares two pupils of one school. These are in two schools.",
            ),
            Misconception(
                "slopes added",
                lambda: _slopes()["within"] + _slopes()["between"],
                "One of the two numbers of the second pupil is larger by 1, the other smaller.",
            ),
            Misconception(
                "contextual effect turned round",
                lambda: -_context(),
                "The size is right. Which pupil does better, given these slopes?",
            ),
            Misconception(
                "blended slope",
                lambda: _slopes()["blend"],
                f'That is the slope of "{BLEND}", which takes one slope for both.',
            ),
        ),
    ),
    Number(
        id="7.3",
        title="Repair an aggregated slope",
        ask=(
            "A report takes the means of the 160 schools, finds a slope of 5.91 of mathematics on "
            "ses, and tells parents: of two pupils in one school, one unit of ses apart, the "
            "better-off scores 5.91 points more. Which slope belongs into that sentence?"
        ),
        tolerance=0.01,
        unit="points",
        answer=lambda: _slopes()["within"],
        hint="The sentence compares pupils of one school: take ses as a deviation from its mean.",
        praise="Less than half of the report's figure. Schools are not pupils.",
        solution=lambda right: (
            'hsb = ml.within_between(hsb, "ses", "school"); '
            f'ml.lmm("{BOTH}", hsb).fixef["ses_dev"] gives {right:.2f}. The slope of the means, '
            f"{_slopes()['aggregated']:.2f}, is about schools: to read it as one of pupils is "
            "the ecological fallacy."
        ),
        misconceptions=(
            Misconception(
                "aggregated slope kept",
                lambda: _slopes()["aggregated"],
                "That is the report's own figure, a slope of schools.",
            ),
            Misconception(
                "slope between",
                lambda: _slopes()["between"],
                "That is again a slope of schools; only their sizes are allowed for.",
            ),
            Misconception(
                "blended slope",
                lambda: _slopes()["blend"],
                "That is the random intercept's slope: mostly within, a little between. Separate "
                "the two.",
            ),
            Misconception(
                "schools ignored",
                lambda: _slopes()["naive"],
                "That is one regression through all pupils. It still mixes both slopes.",
            ),
            Misconception(
                "contextual effect",
                _context,
                "That compares pupils of different schools at the same ses.",
            ),
        ),
    ),
)
