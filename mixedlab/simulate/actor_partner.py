"""Couples: what one partner feels acts on both."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Correlation, Parameter, Simulated, scenario

_POINTS = "points of adherence"
_SLOPE = "points of adherence a point of quality"


@scenario
def couples(
    n_couples: Annotated[int, Parameter("couples", low=1)] = 120,
    actor_patient: Annotated[float, Parameter(_SLOPE)] = 0.5,
    partner_patient: Annotated[float, Parameter(_SLOPE)] = 0.3,
    actor_partner: Annotated[float, Parameter(_SLOPE)] = 0.35,
    partner_partner: Annotated[float, Parameter(_SLOPE)] = 0.1,
    mean_patient: Annotated[float, Parameter(_POINTS)] = 5.0,
    mean_partner: Annotated[float, Parameter(_POINTS)] = 4.6,
    sd_patient: Annotated[float, Parameter(_POINTS, low=0)] = 1.0,
    sd_partner: Annotated[float, Parameter(_POINTS, low=0)] = 1.26,
    rho: Correlation = 0.36,
    rho_quality: Correlation = 0.4,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate the actor-partner model with distinguishable roles.

    For the patient ``y = mean_patient + actor_patient * own + partner_patient * partner's + e1``,
    for the partner ``y = mean_partner + actor_partner * own + partner_partner * patient's + e2``;
    (e1, e2) have the given sds and correlation ``rho``, the two qualities are standard normal
    with correlation ``rho_quality``.

    Returns
    -------
    Simulated
        Columns ``couple``, ``role`` ("patient", "partner"), ``quality``, ``partner_quality``,
        ``adherence``. Truth: ``fixef`` by role, ``cov`` (2 x 2 residual covariance, patient
        first), ``rho``, and ``cov_y``, the covariance of the two outcomes,
        ``B R B' + cov`` with B the 2 x 2 of slopes and R the correlation of the qualities.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.couples(seed=1).to_frame().head(3).round(2)
       couple     role  quality  partner_quality  adherence
    0       0  patient    -0.86             0.21       4.20
    1       0  partner     0.21            -0.86       5.24
    2       1  patient     0.80             2.43       5.05
    """
    draws = Draws(seed)
    couple = np.arange(n_couples)

    def pair(role: str, r: float) -> np.ndarray:
        first, second = draws.normal(f"{role} 1", couple), draws.normal(f"{role} 2", couple)
        return np.column_stack([first, r * first + np.sqrt(1 - r**2) * second])

    x, e = pair("quality", rho_quality), pair("error", rho) * [sd_patient, sd_partner]
    B = np.array([[actor_patient, partner_patient], [partner_partner, actor_partner]])
    y = np.array([mean_patient, mean_partner]) + x @ B.T + e
    cov = np.array([[sd_patient**2, rho * sd_patient * sd_partner], [0, sd_partner**2]])
    cov[1, 0] = cov[0, 1]
    R = np.array([[1, rho_quality], [rho_quality, 1]])
    return Simulated(
        "couples",
        {
            "couple": np.repeat(couple, 2),
            "role": np.tile(np.array(["patient", "partner"]), n_couples),
            "quality": x.ravel(),
            "partner_quality": x[:, ::-1].ravel(),
            "adherence": y.ravel(),
        },
        truth={
            "fixef": {
                "patient": {"mean": mean_patient, "actor": actor_patient,
                            "partner": partner_patient},
                "partner": {"mean": mean_partner, "actor": actor_partner,
                            "partner": partner_partner},
            },
            "cov": cov,
            "rho": rho,
            "cov_y": B @ R @ B.T + cov,
        },
        units={"quality": "points", "partner_quality": "points", "adherence": _POINTS},
    )  # fmt: skip
