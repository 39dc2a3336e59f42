"""A trial that randomises villages, with a continuous, a binary or a count outcome."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.outcomes import Outcome, draw_outcome, marginal_mean, residual_variance
from mixedlab.simulate.scenario import Parameter, Simulated, rows_of, scenario

_OUTCOME = {"continuous": "haemoglobin", "binary": "infected", "count": "episodes"}
_UNIT = {"haemoglobin": "g/dl", "infected": "0 or 1", "episodes": "episodes a year"}


@scenario
def villages(
    n_villages: Annotated[int, Parameter("villages an arm", low=1)] = 10,
    n_people: Annotated[int, Parameter("people a village, on average", low=1)] = 30,
    cv_size: Annotated[float, Parameter("coefficient of variation of village size", 0, 3)] = 0.0,
    intercept: Annotated[float, Parameter("linear predictor")] = 0.0,
    effect: Annotated[float, Parameter("linear predictor, treated minus control")] = -0.5,
    sd_village: Annotated[float, Parameter("linear predictor", low=0)] = 0.4,
    sd_person: Annotated[float, Parameter("g/dl, continuous outcome only", low=0)] = 1.2,
    outcome: Outcome = "binary",
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate a cluster-randomised trial; odd villages are treated.

    ``g(E y_ij) = intercept + effect * treated_j + b_j``, ``b_j ~ N(0, sd_village^2)``, with
    identity, logit or log link for haemoglobin, infection and episodes of illness. Sizes are
    gamma with the given coefficient of variation, rounded, and at least 1.

    Returns
    -------
    Simulated
        Columns ``village``, ``treated`` and the outcome. Truth: ``fixef``, ``b``, ``sizes``,
        ``sd_village``, ``marginal_mean`` of (control, treated), ``icc`` on the scale of the
        linear predictor (nan for counts), and ``design_effect`` =
        ``1 + ((1 + cv^2) n - 1) icc``, with n and cv of the sizes drawn (Eldridge, Ashby and Kerry
        2006, International Journal of Epidemiology 35:1292).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.villages(seed=1).to_frame().head(3).round(2)
       village  treated  infected
    0        0        0         1
    1        0        0         0
    2        0        0         0
    """
    draws = Draws(seed)
    J = 2 * n_villages
    everyone = np.arange(J)
    sizes = np.full(J, n_people)
    if cv_size > 0:
        spread = cv_size**2 * draws.gamma("size", 1 / cv_size**2, everyone)
        sizes = np.maximum(1, np.round(n_people * spread)).astype(int)
    village, person = rows_of(tuple(sizes.tolist()), J, "sizes")
    b = sd_village * draws.normal("village", everyone)
    treated = village % 2
    eta = intercept + effect * treated + b[village]
    y = draw_outcome(draws, "person", outcome, eta, sd_person, village, person)
    within = residual_variance(outcome, sd_person)
    total = sd_village**2 + within
    icc = sd_village**2 / total if total > 0 else np.nan
    name = _OUTCOME[outcome]
    return Simulated(
        "villages",
        {"village": village, "treated": treated, name: y},
        truth={
            "fixef": {"(Intercept)": intercept, "treated": effect},
            "b": b,
            "sizes": sizes,
            "sd_village": sd_village,
            "marginal_mean": marginal_mean(outcome, [intercept, intercept + effect], sd_village),
            "icc": icc,
            "design_effect": float(1 + (np.mean(sizes**2) / np.mean(sizes) - 1) * icc),
        },
        units={"treated": "0 or 1", name: _UNIT[name]},
    )
