"""Chapter 1, Pseudoreplication."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.simulate.cells_in_donors import cells
from mixedlab.three_poolings import ThreePoolings, pooling

JAWS = "distance ~ age + Sex + (1 | Subject)"
SEX = "Sex[T.Female]"


def _worth(n_donors: int, n_cells: int) -> float:
    """Effective number of cells, by the truth of the scenario."""
    return cells(n_donors, n_cells, icc=0.1).truth["n_effective"]


def _better_design() -> str:
    few, many = _worth(6, 500), _worth(30, 100)
    return "30 donors" if many > few else "6 donors" if few > many else "the same"


@cache
def _jaws() -> ThreePoolings:
    return pooling(JAWS, load("orthodont"))


def _naive_error(coef: str = SEX) -> float:
    return float(_jaws().complete.se[coef].iloc[0])


def _error(coef: str = SEX) -> float:
    return float(_jaws().fit.se[coef])


EXERCISES = (
    Choice(
        id="1.1",
        title="Where to spend",
        ask=(
            "You can pay for 3000 cells: 500 from each of 6 donors, or 100 from each of 30. Half "
            "of the donors are treated; the ICC is 0.1. Which study tells you more: '6 donors', "
            "'30 donors' or 'the same'?"
        ),
        options={
            "6 donors": "500 cells from each of 6",
            "30 donors": "100 cells from each of 30",
            "the same": "3000 cells are 3000 cells",
        },
        answer=_better_design,
        hint="How many independent cells are the 3000 worth in each study?",
        praise="Donors before cells, wherever a donor costs less than hundreds of cells.",
        solution=lambda right: (
            f"{right!r}. Divide 3000 by 1 + (n - 1) ICC. Six donors make "
            f"{_worth(6, 500):.0f} independent cells, thirty {_worth(30, 100):.0f}."
        ),
        misconceptions=(
            Misconception(
                "cells taken for evidence",
                "the same",
                "The machine reads 3000 cells either way. But how many people were treated?",
            ),
            Misconception(
                "depth preferred to breadth",
                "6 donors",
                "500 cells make a donor's mean exact. Is that what you want to know?",
            ),
        ),
    ),
    Number(
        id="1.2",
        title="What 500 cells are worth",
        ask=(
            "50 cells come from each of 10 donors; the ICC is 0.1. How many independent cells "
            "would tell the mean as well?"
        ),
        tolerance=0.5,
        unit="cells",
        answer=lambda: _worth(10, 50),
        hint="Divide the number of cells by the design effect, 1 + (n - 1) ICC.",
        praise="Five in six of the cells were read for nothing, as far as the mean is concerned.",
        solution=lambda right: (
            f"500 / (1 + 49 * 0.1) = 500 / 5.9 = {right:.1f}. No number of cells from these 10 "
            "donors would be worth more than 10 / 0.1 = 100."
        ),
        misconceptions=(
            Misconception(
                "limit for value",
                lambda: 10 / 0.1,
                "That is where the worth ends, with cells without end: J / ICC. Here n is 50.",
            ),
            Misconception(
                "n for n - 1",
                lambda: 500 / (1 + 50 * 0.1),
                "Almost. A cell is correlated with the n - 1 others of its donor, and not with n.",
            ),
            Misconception(
                "root of the design effect",
                lambda: 500 / np.sqrt(5.9),
                "You divided by the root of the design effect. The root is for standard errors; "
                "numbers of cells go with variances.",
            ),
            Misconception(
                "donors for cells",
                10,
                "That would be right for an ICC of 1, where all cells of a donor are alike.",
            ),
            Misconception(
                "cells multiplied by the ICC",
                lambda: 500 * 0.1,
                "You multiplied by the ICC. How much does the variance of a mean of 50 cells grow?",
            ),
            Misconception(
                "design effect for worth",
                5.9,
                "That is the design effect. Divide the 500 cells by it.",
            ),
        ),
    ),
    Number(
        id="1.3",
        title="108 measurements of 27 children",
        ask=(
            "The orthodont data hold four measurements of each of 27 children. A report fits "
            '"distance ~ age + Sex" to 108 rows as if they were 108 children. What standard error '
            "has the difference between the sexes when each child has a random intercept?"
        ),
        tolerance=0.005,
        unit="mm",
        answer=_error,
        hint="pooling(...).fit is the mixed model; its `se` has a row for Sex[T.Female].",
        praise=(
            "The report's was too small for sex, which varies between children, and too large "
            "for age, which varies within them."
        ),
        solution=lambda right: (
            f'ml.lmm("{JAWS}", ml.load("orthodont")).se["{SEX}"] gives {right:.3f}. The report '
            f"said {_naive_error():.3f}. For age it said {_naive_error('age'):.3f}, where the "
            f"mixed model says {_error('age'):.3f}."
        ),
        misconceptions=(
            Misconception(
                "measurements as children",
                _naive_error,
                "That is the report's own. Four measurements of a child are not four children.",
            ),
            Misconception(
                "standard error of age",
                lambda: _error("age"),
                "That is the standard error of the slope of age. The difference between the "
                "sexes is asked for.",
            ),
            Misconception(
                "standard error of the intercept",
                lambda: _error("(Intercept)"),
                "That is the intercept's. Look at the row of Sex[T.Female].",
            ),
            Misconception(
                "estimate for standard error",
                lambda: float(_jaws().fit.fixef[SEX]),
                "That is the difference itself. How exactly is it known?",
            ),
            Misconception(
                "spread of children",
                lambda: float(_jaws().fit.varcorr["sdcor"].iloc[0]),
                "That is how much children of one sex differ from each other. A standard error "
                "says how exactly a coefficient is known.",
            ),
        ),
    ),
)
