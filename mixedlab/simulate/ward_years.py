"""Hospital wards over two years: which ward is best, and will it be next year?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

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

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.wards(seed=1).to_frame().head(3).round(2)
       ward  year  score
    0     0     0  93.82
    1     0     0  82.52
    2     0     0  79.12
    """
    sizes = rows_of(n_patients, n_wards, "numbers of patients")[0]
    sizes = tuple(np.bincount(sizes).tolist())
    draws = Draws(seed)
    b, score, (ward, year, _) = draw_wards(
        draws, sizes, mean, sd_ward, sd_patient, stability, n_years
    )
    total = sd_ward**2 + sd_patient**2
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = sd_ward**2 / (sd_ward**2 + sd_patient**2 / np.array(sizes))
    return Simulated(
        "wards",
        {"ward": ward, "year": year, "score": score},
        truth={
            "mean": mean,
            "b": b,
            "icc": sd_ward**2 / total if total > 0 else np.nan,
            "reliability": reliability,
            "regression": stability * reliability,
        },
        units={"year": "years", "score": _POINTS},
    )


def draw_wards(
    draws: Draws,
    sizes: tuple[int, ...],
    mean: float,
    sd_ward: float,
    sd_patient: float,
    stability: float,
    n_years: int = 2,
) -> tuple[NDArray, NDArray, tuple[NDArray, NDArray, NDArray]]:
    """Draw what `wards` returns, for one seed or for many (``Draws.of_many``).

    Returns
    -------
    b : ndarray (..., wards, years)
        Effects of the wards.
    score : ndarray (..., n)
    places : three ndarrays (n,)
        Ward, year and patient of each row: year by year, then ward by ward.
    """
    J = len(sizes)
    z = draws.normal("ward", np.arange(J)[:, None], np.arange(n_years))
    b = np.empty(z.shape)
    b[..., 0] = z[..., 0]
    for t in range(1, n_years):
        b[..., t] = stability * b[..., t - 1] + np.sqrt(1 - stability**2) * z[..., t]
    b *= sd_ward
    one_year = rows_of(sizes, J, "numbers of patients")
    year = np.repeat(np.arange(n_years), one_year[0].size)
    ward, patient = (np.tile(part, n_years) for part in one_year)
    e = sd_patient * draws.normal("patient", ward, year, patient)
    return b, mean + b[..., ward, year] + e, (ward, year, patient)
