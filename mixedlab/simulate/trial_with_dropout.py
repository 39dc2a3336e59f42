"""A trial over weeks from which patients drop out, for one of three reasons."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.outcomes import expit
from mixedlab.simulate.scenario import Correlation, Parameter, Probability, Simulated, scenario

_POINTS = "points of quality of life"


@scenario
def dropout(
    n_patients: Annotated[int, Parameter("patients, half of them treated", low=2)] = 100,
    n_visits: Annotated[int, Parameter("visits, two weeks apart", low=2)] = 6,
    start: Annotated[float, Parameter(_POINTS)] = 50.0,
    slope: Annotated[float, Parameter(f"{_POINTS} a week, control arm")] = -0.5,
    effect: Annotated[float, Parameter(f"{_POINTS} a week, treated minus control")] = 0.8,
    sd_start: Annotated[float, Parameter(_POINTS, low=0)] = 8.0,
    sd_slope: Annotated[float, Parameter(f"{_POINTS} a week", low=0)] = 0.8,
    rho: Correlation = 0.2,
    sd_error: Annotated[float, Parameter(_POINTS, low=0)] = 4.0,
    mechanism: Literal["completely at random", "at random", "not at random"] = "at random",
    hazard: Probability = 0.12,
    strength: Annotated[float, Parameter("log odds of leaving for 10 points worse")] = 1.5,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate quality of life by arm and week, and who leaves before the end.

    ``y_it = (start + b0_i) + (slope + effect * treated_i + b1_i) * week_t + e_it``. Before each
    visit but the first a patient leaves for good with log odds
    ``logit(hazard) - strength * (z - start) / 10``, where z is nothing (completely at random: the
    hazard itself), the score at the last visit (at random), or the score that would now be seen
    (not at random). Odd patients are treated.

    Returns
    -------
    Simulated
        All rows, seen or not: columns ``patient``, ``treated``, ``week``, ``quality``, and
        ``observed``; rows with ``observed`` are the trial's data. Truth: ``fixef``, ``b``
        (patients by start and slope), ``cov`` (2 x 2), ``sd_error``, and ``completers``, the
        expected share seen to the end where dropout is completely at random (else nan).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.dropout(seed=1).to_frame().head(3).round(2)
       patient  treated  week  quality  observed
    0        0        0   0.0    47.79      True
    1        0        0   2.0    46.30      True
    2        0        0   4.0    46.50      True
    """
    draws = Draws(seed)
    patients, visits = np.arange(n_patients), np.arange(n_visits)
    weeks, treated = 2.0 * visits, patients % 2
    z0, z1 = draws.normal("start", patients), draws.normal("slope", patients)
    b0, b1 = sd_start * z0, sd_slope * (rho * z0 + np.sqrt(1 - rho**2) * z1)
    e = sd_error * draws.normal("visit", patients[:, None], visits)
    own_slope = slope + effect * treated + b1
    y = (start + b0)[:, None] + own_slope[:, None] * weeks + e

    logit = np.log(max(hazard, 1e-300)) - np.log1p(-min(hazard, 1 - 1e-16))
    reason = {
        "completely at random": np.full((n_patients, n_visits - 1), start),
        "at random": y[:, :-1],
        "not at random": y[:, 1:],
    }[mechanism]
    chance = expit(logit - strength * (reason - start) / 10)
    leaves = draws.bernoulli("leaves", chance, patients[:, None], visits[1:])
    observed = np.ones((n_patients, n_visits), dtype=bool)
    observed[:, 1:] = np.cumsum(leaves, axis=1) == 0
    t01 = rho * sd_start * sd_slope
    at_random = mechanism == "completely at random"
    return Simulated(
        "dropout",
        {
            "patient": np.repeat(patients, n_visits),
            "treated": np.repeat(treated, n_visits),
            "week": np.tile(weeks, n_patients),
            "quality": y.ravel(),
            "observed": observed.ravel(),
        },
        truth={
            "fixef": {"(Intercept)": start, "week": slope, "treated:week": effect},
            "b": np.column_stack([b0, b1]),
            "cov": np.array([[sd_start**2, t01], [t01, sd_slope**2]]),
            "sd_error": sd_error,
            "completers": float((1 - hazard) ** (n_visits - 1)) if at_random else np.nan,
        },
        units={"treated": "0 or 1", "week": "weeks", "quality": _POINTS},
    )
