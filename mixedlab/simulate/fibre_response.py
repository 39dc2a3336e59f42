"""Fibre and blood glucose: a response that differs by person, where the spread is the finding."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Correlation, Parameter, Simulated, rows_of, scenario

_GLUCOSE = "mmol/l"
_SLOPE = "mmol/l a gram of fibre"


@scenario
def fibre(
    n_persons: Annotated[int, Parameter("persons", low=1)] = 24,
    n_meals: Annotated[int, Parameter("meals a person", low=2)] = 8,
    intercept: Annotated[float, Parameter(_GLUCOSE)] = 8.0,
    slope: Annotated[float, Parameter(_SLOPE)] = -0.08,
    sd_intercept: Annotated[float, Parameter(_GLUCOSE, low=0)] = 0.8,
    sd_slope: Annotated[float, Parameter(_SLOPE, low=0)] = 0.08,
    rho: Correlation = -0.5,
    sd_error: Annotated[float, Parameter(_GLUCOSE, low=0)] = 0.5,
    max_fibre: Annotated[float, Parameter("grams a meal", low=1e-6)] = 20.0,
    origin: Annotated[float, Parameter("grams where x is 0")] = 0.0,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate glucose after meals of 0 to ``max_fibre`` grams of fibre, evenly spaced.

    ``y_ij = (intercept + b0_i) + (slope + b1_i) * fibre_ij + e_ij``; ``intercept``,
    ``sd_intercept`` and ``rho`` hold at 0 g. ``origin`` moves the zero of the column ``x`` alone:
    the data stay the same, while the intercept, its sd and the correlation there change.

    Returns
    -------
    Simulated
        Columns ``person``, ``fibre``, ``x`` = fibre - origin, ``glucose``. Truth: ``b`` (persons
        by intercept and slope, at the origin), ``fixef``, ``cov`` (2 x 2), ``rho`` at the origin,
        and ``narrowest`` = -rho sd_intercept / sd_slope, the grams of fibre at which persons
        differ least.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.fibre(seed=1).to_frame().head(3).round(2)
       person  fibre     x  glucose
    0       0   0.00  0.00     6.75
    1       0   2.86  2.86     6.04
    2       0   5.71  5.71     6.62
    """
    person, meal = rows_of(n_meals, n_persons, "meals")
    grams = max_fibre * np.arange(n_meals) / (n_meals - 1)
    b, glucose = draw_fibre(
        Draws(seed), n_persons, grams, (intercept, slope), (sd_intercept, sd_slope), rho, sd_error
    )
    b[:, 0] += origin * b[:, 1]
    t00, t01, t11 = sd_intercept**2, rho * sd_intercept * sd_slope, sd_slope**2
    at_origin = np.array(
        [[t00 + 2 * origin * t01 + origin**2 * t11, t01 + origin * t11], [t01 + origin * t11, t11]]
    )
    spread = np.sqrt(at_origin[0, 0] * t11)
    return Simulated(
        "fibre",
        {
            "person": person,
            "fibre": grams[meal],
            "x": grams[meal] - origin,
            "glucose": glucose.ravel(),
        },
        truth={
            "fixef": {"(Intercept)": intercept + slope * origin, "x": slope},
            "b": b,
            "cov": at_origin,
            "rho": float(at_origin[0, 1] / spread) if spread > 0 else np.nan,
            "sd_error": sd_error,
            "narrowest": -t01 / t11 if t11 > 0 else np.nan,
        },
        units={"fibre": "g", "x": "g from the origin", "glucose": _GLUCOSE},
    )


def draw_fibre(
    draws: Draws,
    n_persons: int,
    grams: NDArray[np.float64],
    line: ArrayLike,
    sds: tuple[float, float],
    rho: float,
    sd_error: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what `fibre` returns, for one seed or for many (``Draws.of_many``).

    ``line`` is the intercept and slope of the population, ``sds`` those of the persons about it,
    with correlation ``rho``, all at 0 g.

    Returns
    -------
    b : ndarray (..., persons, 2)
        Effects of the persons on intercept and slope, at 0 g.
    glucose : ndarray (..., persons, meals)
    """
    everyone = np.arange(n_persons)
    z0, z1 = draws.normal("intercept", everyone), draws.normal("slope", everyone)
    b = np.stack([sds[0] * z0, sds[1] * (rho * z0 + np.sqrt(1 - rho**2) * z1)], axis=-1)
    a, c = np.moveaxis(np.asarray(line) + b, -1, 0)[..., None]
    e = sd_error * draws.normal("meal", everyone[:, None], np.arange(grams.size))
    return b, a + c * grams + e


def slope_covariance(cov: ArrayLike, x: ArrayLike, sd_error: float = 0.0) -> NDArray[np.float64]:
    """Return the covariance of one person's responses at the points ``x``.

    ``Cov(y, y') = t00 + t01 (x + x') + t11 x x'``, plus ``sd_error**2`` on the diagonal. ``cov``
    is the 2 x 2 covariance of intercept and slope.

    Examples
    --------
    >>> import mixedlab as ml
    >>> import numpy as np
    >>> ml.simulate.slope_covariance(np.diag([0.64, 0.01]), [0.0, 10.0]).round(2)
    array([[0.64, 0.64],
           [0.64, 1.64]])
    """
    x = np.asarray(x, dtype=float)
    Z = np.column_stack([np.ones_like(x), x])
    return Z @ np.asarray(cov) @ Z.T + sd_error**2 * np.eye(x.size)
