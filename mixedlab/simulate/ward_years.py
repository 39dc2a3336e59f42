"""Hospital wards over two years: which ward is best, and will it be next year?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Correlation, Parameter, Simulated, rows_of, scenario

_POINTS = "points of patient experience"


@scenario
def wards(
    n_wards: Annotated[int, Parameter("wards", low=1)] = 20,
    n_patients: Annotated[int | Sequence[int], Parameter("patients a ward and year", low=1)] = 15,
    mean: Annotated[float, Parameter(_POINTS)] = 70.0,
    sd_ward: Annotated[float, Parameter(_POINTS, low=0)] = 3.0,
    sd_patient: Annotated[float, Parameter(_POINTS, low=0)] = 12.0,
    stability: Correlation = 0.8,
    n_years: Annotated[int, Parameter("years", low=1)] = 2,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate patients' scores by ward and year.

    ``y = mean + b_jt + e``; a ward's effect keeps variance sd_ward^2 and has correlation
    ``stability`` from one year to the next (an AR(1) process).

    Returns
    -------
    Simulated
        Columns ``ward``, ``year``, ``score``. Truth: ``mean``, ``b`` (wards by years), ``icc`` of
        two patients of a ward and year, ``reliability`` by ward = n / (n + lambda) with
        ``lambda = sd_patient^2 / sd_ward^2``, and ``regression``, by ward: how much of a ward's
        distance from the mean is expected again next year, stability times reliability.
    """
    draws = Draws(seed)
    everyone = np.arange(n_wards)
    z = draws.normal("ward", everyone[:, None], np.arange(n_years))
    b = np.empty((n_wards, n_years))
    b[:, 0] = z[:, 0]
    for year in range(1, n_years):
        b[:, year] = stability * b[:, year - 1] + np.sqrt(1 - stability**2) * z[:, year]
    b *= sd_ward
    one_year = rows_of(n_patients, n_wards, "numbers of patients")
    year = np.repeat(np.arange(n_years), one_year[0].size)
    ward, patient = (np.tile(part, n_years) for part in one_year)
    e = sd_patient * draws.normal("patient", ward, year, patient)
    sizes = np.bincount(one_year[0])
    total = sd_ward**2 + sd_patient**2
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = sd_ward**2 / (sd_ward**2 + sd_patient**2 / sizes)
    return Simulated(
        "wards",
        {"ward": ward, "year": year, "score": mean + b[ward, year] + e},
        truth={
            "mean": mean,
            "b": b,
            "icc": sd_ward**2 / total if total > 0 else np.nan,
            "reliability": reliability,
            "regression": stability * reliability,
        },
        units={"year": "years", "score": _POINTS},
    )
