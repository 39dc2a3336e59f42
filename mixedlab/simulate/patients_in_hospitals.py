"""Patients in hospitals: who is infected, how long they stay, how often they wheeze."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.outcomes import Outcome, draw_outcome, marginal_mean, residual_variance
from mixedlab.simulate.scenario import Parameter, Simulated, rows_of, scenario

_OUTCOME = {"continuous": "stay", "binary": "infected", "count": "attacks"}
_UNIT = {"stay": "days", "infected": "0 or 1", "attacks": "asthma attacks a year"}


@scenario
def hospitals(
    n_hospitals: Annotated[int, Parameter("hospitals", low=1)] = 30,
    patients: Annotated[int | Sequence[int], Parameter("patients a hospital", low=1)] = 20,
    intercept: Annotated[float, Parameter("linear predictor")] = -1.0,
    slope: Annotated[float, Parameter("linear predictor for one sd of severity")] = 0.7,
    sd_hospital: Annotated[float, Parameter("linear predictor", low=0)] = 0.8,
    sd_patient: Annotated[float, Parameter("days, continuous outcome only", low=0)] = 2.0,
    outcome: Outcome = "binary",
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate patients in hospitals that differ by a random intercept.

    ``g(E y_ij) = intercept + slope * severity_ij + b_j`` with ``b_j ~ N(0, sd_hospital^2)``; the
    link ``g`` is the identity for a stay in days, logit for infected or not, log for counts of
    asthma attacks. ``severity`` is standard normal. ``patients`` is one number for all hospitals
    or one for each.

    Returns
    -------
    Simulated
        Columns ``hospital``, ``severity`` and ``stay``, ``infected`` or ``attacks``. Truth:
        ``fixef``, ``sd_hospital``, ``b`` by hospital, ``eta`` (each patient's linear predictor),
        ``marginal_mean`` (of a patient of severity 0, over hospitals) and ``icc`` on the scale
        of the linear predictor (nan for counts).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.hospitals(seed=1).to_frame().head(3).round(2)
       hospital  severity  infected
    0         0      0.64         0
    1         0      1.67         1
    2         0     -0.86         0
    """
    draws = Draws(seed)
    hospital, number = rows_of(patients, n_hospitals, "sizes in `patients`")
    b = sd_hospital * draws.normal("hospital", np.arange(n_hospitals))
    severity = draws.normal("severity", hospital, number)
    eta = intercept + slope * severity + b[hospital]
    y = draw_outcome(draws, "patient", outcome, eta, sd_patient, hospital, number)
    within = residual_variance(outcome, sd_patient)
    total = sd_hospital**2 + within
    name = _OUTCOME[outcome]
    return Simulated(
        "hospitals",
        {"hospital": hospital, "severity": severity, name: y},
        truth={
            "fixef": {"(Intercept)": intercept, "severity": slope},
            "sd_hospital": sd_hospital,
            "b": b,
            "eta": eta,
            "marginal_mean": float(marginal_mean(outcome, intercept, sd_hospital)),
            "icc": sd_hospital**2 / total if total > 0 else np.nan,
        },
        units={"severity": "standard deviations", name: _UNIT[name]},
    )
