"""Chapter 4, Shrinkage."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import LinearFit, lmm

BATCH, DRIVER = "E", "309"


def _share_kept(sd_patient: float) -> float:
    """What a hospital of 10 patients keeps where hospitals spread by 3 days."""
    return 10 / (10 + (sd_patient / 3) ** 2)


def _pull_of_noisy_patients() -> str:
    noisy, usual = _share_kept(12), _share_kept(6)
    return "more" if noisy < usual else "less" if noisy > usual else "the same"


@cache
def _dyestuff() -> LinearFit:
    return lmm("Yield ~ 1 + (1 | Batch)", load("dyestuff"))


@cache
def _sleep() -> LinearFit:
    return lmm("Reaction ~ Days + (1 | Subject)", load("sleepstudy"))


def _variances(fit: LinearFit) -> tuple[float, float]:
    between, within = fit.varcorr["vcov"]
    return float(between), float(within)


def _distance() -> float:
    """How far batch E lies from the mean of all, before shrinkage."""
    table = load("dyestuff")
    own = table["Yield"][table["Batch"] == BATCH].mean()
    return float(own - _dyestuff().fixef["(Intercept)"])


def _shrunken(n: float, ratio: float) -> float:
    return n / (n + ratio) * _distance()


def _ratio() -> float:
    between, within = _variances(_dyestuff())
    return within / between


def _blup(fit: LinearFit, group: str, level: str) -> float:
    return float(fit.ranef[group].loc[level, "(Intercept)"])


def _ridge(penalty: float, penalise_all: bool = False) -> float:
    """Effect of driver 309 in a ridge regression on indicators of the drivers."""
    table, drivers = load("sleepstudy"), _sleep().ranef["Subject"].index.to_numpy()
    X = np.column_stack([np.ones(len(table)), table["Days"]])
    Z = (table["Subject"].to_numpy()[:, None] == drivers).astype(float)
    free = np.zeros(2) if not penalise_all else np.full(2, penalty)
    A = np.hstack([X, Z])
    penalties = np.diag(np.r_[free, np.full(len(drivers), penalty)])
    coef = np.linalg.solve(A.T @ A + penalties, A.T @ table["Reaction"].to_numpy())
    return float(coef[2:][drivers == DRIVER][0])


def _upside_down(power: float = 1.0) -> float:
    between, within = _variances(_sleep())
    return _ridge((between / within) ** power)


def _penalised_throughout() -> float:
    between, within = _variances(_sleep())
    return _ridge(within / between, penalise_all=True)


EXERCISES = (
    Choice(
        id="4.1",
        title="Noisier patients",
        ask=(
            "Stays of patients of one hospital now spread with an sd of 12 days, not 6. "
            "Hospitals differ as before. Are the hospitals' means to be pulled 'less', "
            "'the same' or 'more'?"
        ),
        options={
            "less": "each keeps more of its distance",
            "the same": "each keeps the same share",
            "more": "each gives up more of its distance",
        },
        answer=_pull_of_noisy_patients,
        hint="λ is the variance within hospitals over the variance between them.",
        praise="λ is four times as large. Doubling the noise is worth a quarter of the patients.",
        solution=lambda right: (
            f"{right!r}. λ = σ² / σ_b² grows fourfold. With σ_b = 3 a hospital of 10 patients "
            f"kept {_share_kept(6):.0%} of its distance and now keeps {_share_kept(12):.0%}."
        ),
        misconceptions=(
            Misconception(
                "noise taken for difference",
                "less",
                "The observed means spread more, true. Is it the hospitals that spread, or luck?",
            ),
            Misconception(
                "share thought to depend on size alone",
                "the same",
                "The share is n / (n + λ). What is λ made of?",
            ),
        ),
    ),
    Number(
        id="4.2",
        title="A BLUP by hand",
        ask=(
            "Six batches of dyestuff have five samples each. From the variances, the mean and "
            "the batch means alone: what is the predicted effect of batch E, its distance from "
            "the mean after shrinkage?"
        ),
        tolerance=0.01,
        unit="g",
        answer=lambda: _blup(_dyestuff(), "Batch", BATCH),
        hint="n / (n + λ) times the batch's distance, with n = 5 and λ = within / between.",
        praise="That is what fit.ranef holds.",
        solution=lambda right: (
            f"λ = within / between = {_ratio():.3f}; the weight is 5 / (5 + λ) = "
            f"{5 / (5 + _ratio()):.3f}; times {_distance():.1f} it makes {right:.2f}."
        ),
        misconceptions=(
            Misconception(
                "no shrinkage", _distance, "That is the whole distance. How much of it is luck?"
            ),
            Misconception(
                "one sample for five",
                lambda: _shrunken(1, _ratio()),
                "Your weight is that of a batch with one sample, the ICC. Each batch has five.",
            ),
            Misconception(
                "all samples for those of the batch",
                lambda: _shrunken(30, _ratio()),
                "n counts the samples of this batch: 5, not the 30 of all.",
            ),
            Misconception(
                "standard deviations for variances",
                lambda: _shrunken(5, np.sqrt(_ratio())),
                "You took the ratio of standard deviations. λ is a ratio of variances.",
            ),
            Misconception(
                "ratio upside down",
                lambda: _shrunken(5, 1 / _ratio()),
                "Your λ is upside down. More variance between batches must mean less shrinkage.",
            ),
            Misconception(
                "share given up",
                lambda: _distance() - _shrunken(5, _ratio()),
                "That is what the batch gives up. What does it keep?",
            ),
            Misconception(
                "mean for effect",
                lambda: float(_dyestuff().fixef.iloc[0]) + _shrunken(5, _ratio()),
                "That is the shrunken mean of the batch. The effect is its distance from the "
                "mean of all.",
            ),
        ),
    ),
    Choice(
        id="4.3",
        title="Towards what",
        ask=(
            "Six of 24 hospitals are university clinics. They get the hardest cases and keep "
            "patients longer. Towards what should the mean stay of a clinic with 4 patients be "
            "pulled: 'all', 'clinics' or 'nothing'?"
        ),
        options={
            "all": "the mean of all 24 hospitals, as every other hospital",
            "clinics": "the mean of the six clinics",
            "nothing": "it should stay where it is, since clinics are different",
        },
        answer=lambda: "clinics",
        hint="If you had to guess its mean without its four patients, what would you say?",
        praise=(
            "A pull goes to what you expect of a group before you see its rows. In a formula: "
            "stay ~ clinic + (1 | hospital). The deviations from *that* are exchangeable."
        ),
        solution=lambda right: (
            f"{right!r}. Before its patients are seen one expects of a clinic what clinics have. "
            "stay ~ clinic + (1 | hospital) gives clinics a mean of their own, as a fixed effect, "
            "and pulls each hospital towards the mean of its kind."
        ),
        misconceptions=(
            Misconception(
                "one centre for groups known to differ",
                "all",
                "You know something of clinics that the other hospitals do not share. Pulled to "
                "the mean of all, every clinic would look better than it is.",
            ),
            Misconception(
                "no pull for special groups",
                "nothing",
                "Its four patients may have been lucky as well. Of which hospitals does one know "
                "something that holds for it?",
            ),
        ),
    ),
    Number(
        id="4.4",
        title="A ridge upside down",
        ask=(
            "A colleague writes the sleepstudy model with a random intercept as a ridge "
            "regression and does not get the mixed model's effects. Mend his program. What is "
            "the effect of driver 309?"
        ),
        tolerance=0.01,
        unit="ms",
        answer=lambda: _blup(_sleep(), "Subject", DRIVER),
        hint="What should happen to the penalty when drivers do not differ at all?",
        praise="A penalty is strong where groups are alike: within over between.",
        solution=lambda right: (
            "The penalty must be within / between; the program has it upside down. Then driver "
            f"309 has {right:.2f}, as fit.ranef says, and not {_upside_down():.2f}."
        ),
        misconceptions=(
            Misconception(
                "penalty upside down",
                _upside_down,
                "That is what the program gave. If drivers did not differ, `between` would be 0. "
                "Should the penalty then be 0 too?",
            ),
            Misconception(
                "standard deviations for variances",
                lambda: _upside_down(-0.5),
                "Right way up, but a ratio of standard deviations. λ is a ratio of variances.",
            ),
            Misconception(
                "fixed effects penalised",
                _penalised_throughout,
                "You penalised the intercept and the slope as well. Only the drivers' columns "
                "have a penalty.",
            ),
            Misconception(
                "no penalty",
                lambda: _ridge(1e-9),
                "That is no pull at all. The penalty is within / between.",
            ),
        ),
    ),
)
