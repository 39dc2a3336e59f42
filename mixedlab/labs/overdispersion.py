"""Overdispersion: ticks, seeds, devices or drivers, and four models of their extra variation.

All models are fitted as hierarchical generalised linear models, by one algorithm. The panels are
in ``overdispersion_panels``; ``overdispersion.model.md`` says in a teacher's words what is
simulated, fitted and simplified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family, family
from mixedlab.engine.fixed_likelihood import scoring
from mixedlab.engine.random_families import random_family
from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, choice, slider
from mixedlab.labs.overdispersion_panels import describe
from mixedlab.labs.responses_of_four_kinds import KINDS, Fits, Fitted, Kind, Sample
from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

GROUPS, ROWS = 48, 4
LEVELS = np.linspace(-1.5, 1.5, 6)  # of the covariate, in standard deviations


@dataclass(frozen=True)
class State:
    """The controls."""

    kind: str = choice(
        "counts",
        {key: kind.title for key, kind in KINDS.items()},
        "Response",
        help="each has a family of its own, and a family for its groups",
    )
    spread: float = slider(
        0.7, 0, 1, 0.05, "Spread of effects", "sd, link scale", help="0: nothing extra"
    )
    level: str = choice(
        "groups",
        {"groups": "group to group", "rows": "row to row"},
        "The extra variation is from",
        help="broods differ, or each chick by itself",
    )
    treated: str = choice(
        "groups",
        {"groups": "whole groups", "rows": "half of each"},
        "Treated are",
        help="every other brood, or two chicks of each",
    )
    model: str = choice(
        "plain",
        {
            "plain": "none",
            "observation": "rows",
            "normal": "groups",
            "conjugate": "groups, conjugate",
        },
        "Effects in the model drawn",
        help="normal effects, or those of the conjugate family",
    )
    seed: int = 28


def simulate(state: State) -> Sample:
    """Draw the effects on the link scale, then each response given its effect."""
    kind, draws = KINDS[state.kind], Draws(state.seed)
    group = np.repeat(np.arange(GROUPS), ROWS)
    number = np.tile(np.arange(ROWS), GROUPS)
    # Six levels of the covariate, each with as many treated groups as untreated ones.
    covariate = LEVELS[group % LEVELS.size]
    treated = (group // LEVELS.size if state.treated == "groups" else number) % 2
    X = np.column_stack([np.ones(group.size), covariate, treated])
    where = (group,) if state.level == "groups" else (group, number)
    effects = state.spread * draws.normal(f"effect of {state.level}", *where)
    link = family(kind.family, kind.link).link
    y = kind.draw(draws, link.mu(X @ kind.beta + effects), group, number)
    return Sample(kind, y, X, group, state.spread, state.level)


def fit(sample: Sample) -> Fits:
    """Fit the plain model, an effect for each row, and two kinds of effects for each group."""
    kind = sample.kind
    found = [_plain(sample)]
    if (
        not kind.has_dispersion
    ):  # where the family has one, an effect for each row is not told apart
        found.append(_hierarchical(sample, "observation", "gaussian"))
    found.append(_hierarchical(sample, "normal", "gaussian"))
    if kind.conjugate != "gaussian":
        found.append(_hierarchical(sample, "conjugate", kind.conjugate))
    return Fits({model.key: model for model in found})


def _plain(sample: Sample) -> Fitted:
    """Fit the generalised linear model; its dispersion, if it has one, by Pearson's statistic."""
    kind, made, weights = sample.kind, _family(sample.kind), _weights(sample)
    beta, _ = scoring(made, sample.y, sample.X, weights, np.zeros(sample.y.size))
    eta = sample.X @ beta
    residuals = (sample.y - made.link.mu(eta)) / np.sqrt(made.variance(made.link.mu(eta), weights))
    ratio = float(residuals @ residuals) / (sample.y.size - beta.size)
    phi = ratio if kind.has_dispersion else 1.0
    information = sample.X.T @ (made.fisher_weights(eta, weights)[:, None] * sample.X) / phi
    se = np.sqrt(np.diag(np.linalg.inv(information)))
    return Fitted("plain", kind.name_of("plain"), beta, se, phi=phi, pearson=ratio)


def _hierarchical(sample: Sample, key: str, effects: str) -> Fitted:
    """Fit by h-likelihood: the effects are estimated beside the coefficients."""
    n, kind = sample.y.size, sample.kind
    index = np.arange(n) if key == "observation" else sample.group
    term = RandomTerm("group", index, tuple(range(index.max() + 1)), np.ones((n, 1)), ("1",))
    data = HierarchicalData(
        y=sample.y, X=sample.X, terms=[term], family=_family(kind),
        random=[random_family(effects)], weights=_weights(sample), offset=np.zeros(n),
        dispersion_X=np.ones((n, 1)), random_dispersion_X=[np.ones((term.n_levels, 1))],
        phi_known=not kind.has_dispersion, dispersion_names=("(Intercept)",),
        random_dispersion_names=[("(Intercept)",)],
    )  # fmt: skip
    found = fit_h_likelihood(data)
    return Fitted(
        key,
        kind.name_of(key),
        found.beta,
        np.sqrt(np.diag(found.vcov_beta)),
        phi=float(found.phi[0]),
        effects=data.random[0],
        lam=0.0 if found.singular else float(found.lam[0][0]),
    )


def _family(kind: Kind) -> Family:
    return family(kind.family, kind.link)


def _weights(sample: Sample) -> Array:
    return np.full(sample.y.size, float(sample.kind.trials))


def measure(state: State, sample: Sample, fits: Fits) -> dict[str, float]:
    """Return how many of its own standard errors each model's treatment effect is off."""
    true = sample.kind.beta[2]
    values = {key: (model.beta[2] - true) / model.se[2] for key, model in fits.models.items()}
    return {s.name: float(values.get(s.name, np.nan)) for s in LAB.statistics}


LAB = Lab(
    name="overdispersion",
    title="Overdispersion",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=lambda state, sample, fits: describe(state.model, state.treated, sample, fits),
    question=Question(
        "48 broods of grouse, four chicks each; every other brood's hen was dosed against ticks. "
        "The counts vary more than a Poisson model allows. Give the model an effect for each "
        "brood. What becomes of the dose's coefficient and its standard error (SE)?",
        (
            "The coefficient moves a lot, its SE stays",
            "The coefficient hardly moves, its SE grows",
            "Both change a lot",
            "Neither: extra noise averages out",
        ),
    ),
    alt=(
        "Left: variance against mean of twelve sets of chicks, both on logarithmic axes; most "
        "dots lie above the line on which they are equal. Middle: bars, how many chicks had 0, "
        "1, 2 and more ticks, on a square root scale. Right: an empty panel for estimates."
    ),
    presets=(
        Preset("Ticks in broods", {}, "Broods differ, and whole broods were dosed."),
        Preset(
            "Half of each brood",
            {"treated": "rows"},
            "The other outcome: brood effects cancel when brothers are compared. The SE stays.",
        ),
        Preset(
            "Chicks differ, broods do not",
            {"level": "rows", "treated": "rows", "model": "observation"},
            "Brood effects do not help now: each chick has its own. The model must say whose.",
        ),
        Preset(
            "Seeds on unlike trays",
            {"kind": "proportions", "spread": 1.0, "model": "conjugate"},
            "Under the logit link the coefficient moves too, away from 0: chapter 15 says why.",
        ),
    ),
    statistics=(
        Statistic("plain", "No effects", "naive"),
        Statistic("observation", "An effect for each row", "accent"),
        Statistic("normal", "Group effects, normal", "partial"),
        Statistic("conjugate", "Group effects, conjugate", "robust"),
    ),
    statistics_label="estimate less truth (in the model's own SEs; their sd should be 1)",
    measure=measure,
    truth_of=lambda state: {"plain": 0.0, "observation": 0.0, "normal": 0.0, "conjugate": 0.0},
    truth_label="Show the truth",
)
