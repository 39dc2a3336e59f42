"""Chapter 1, Pseudoreplication."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import lmm
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


def _icc() -> float:
    """Share of the variance of dyestuff samples that lies between batches."""
    between, within = lmm("Yield ~ 1 + (1 | Batch)", load("dyestuff")).varcorr["vcov"]
    return float(between / (between + within))


def _design_effect() -> float:
    return 1 + (5 - 1) * _icc()


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
        title="What 30 samples are worth",
        ask=(
            "The dyestuff data hold five samples from each of six batches. Take the variances "
            'between and within batches from the REML fit of "Yield ~ 1 + (1 | Batch)". How many '
            "independent samples would tell the mean yield as well as these 30?"
        ),
        tolerance=0.005,
        unit="samples",
        answer=lambda: 30 / _design_effect(),
        hint="Divide the number of samples by the design effect, 1 + (n - 1) ICC.",
        praise="Nearly two in three samples tell nothing new of the mean.",
        solution=lambda right: (
            f"The ICC is between / (between + within) = {_icc():.3f}, the design effect "
            f"1 + 4 ICC = {_design_effect():.3f}, and 30 / {_design_effect():.3f} = {right:.2f}."
        ),
        misconceptions=(
            Misconception(
                "limit for value",
                lambda: 6 / _icc(),
                "That is where the worth ends, with samples without end: J / ICC. Here n is 5.",
            ),
            Misconception(
                "n for n - 1",
                lambda: 30 / (1 + 5 * _icc()),
                "Almost. A sample is correlated with the n - 1 others of its batch, not with n.",
            ),
            Misconception(
                "all samples for those of a batch",
                lambda: 30 / (1 + 29 * _icc()),
                "n counts the samples of one batch: 5, not the 30 of all.",
            ),
            Misconception(
                "root of the design effect",
                lambda: 30 / np.sqrt(_design_effect()),
                "You divided by the root of the design effect. The root is for standard errors; "
                "numbers of samples go with variances.",
            ),
            Misconception(
                "groups for rows",
                6,
                "That would be right for an ICC of 1, where all samples of a batch are alike.",
            ),
            Misconception(
                "design effect for worth",
                lambda: _design_effect(),
                "That is the design effect. Divide the 30 samples by it.",
            ),
        ),
    ),
    Choice(
        id="1.3",
        title="Fields, plots, plants",
        ask=(
            "Each of 8 fields has 10 plots, and each plot 5 plants. In every field 5 of the plots, "
            "drawn by lot, get a fertiliser. All plants are weighed. Of what does the comparison "
            "of fertilised and other plots need many: 'fields', 'plots' or 'plants'?"
        ),
        options={
            "fields": "8 fields are 8 pieces of evidence",
            "plots": "80 plots are 80 pieces of evidence",
            "plants": "400 plants are 400 pieces of evidence",
        },
        answer=lambda: "plots",
        hint="Between what did the lot choose?",
        praise=(
            "And each field is its own control. If the fertiliser may work differently from field "
            "to field, and other fields are meant too, the model needs a random slope for fields."
        ),
        solution=lambda right: (
            f"{right!r}. The fertiliser was given to plots. Plants of one plot share it and their "
            "soil: they are copies. Fields got both treatments, so what they differ by cancels."
        ),
        misconceptions=(
            Misconception(
                "rows taken for evidence",
                "plants",
                "The scales read 400 plants. But was a plant ever given fertiliser without its "
                "neighbours in the plot?",
            ),
            Misconception(
                "largest unit for that of treatment",
                "fields",
                "Each field holds both kinds of plot. Does it matter to their difference that one "
                "field is better than another?",
            ),
        ),
    ),
    Number(
        id="1.4",
        title="108 measurements of 27 children",
        ask=(
            "The orthodont data hold four measurements of each of 27 children. A report fits "
            '"distance ~ age + Sex" to 108 rows as if they were 108 children. What standard error '
            "has the difference between the sexes when each child has a random intercept?"
        ),
        tolerance=0.0005,
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
