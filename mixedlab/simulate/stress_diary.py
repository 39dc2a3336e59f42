"""Momentary stress and support on phones: one slope within persons, one between them."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Simulated, rows_of, scenario

_POINTS = "points of stress"
_SLOPE = "points of stress a point of support"


@scenario
def diary(
    n_persons: Annotated[int, Parameter("persons", low=1)] = 40,
    n_prompts: Annotated[int, Parameter("prompts a person", low=1)] = 15,
    within: Annotated[float, Parameter(_SLOPE)] = -0.8,
    between: Annotated[float, Parameter(_SLOPE)] = 0.6,
    sd_means: Annotated[float, Parameter("points of support, of persons' means", low=0)] = 1.0,
    sd_moments: Annotated[float, Parameter("points of support, within a person", low=0)] = 1.0,
    sd_person: Annotated[float, Parameter(_POINTS, low=0)] = 0.5,
    sd_error: Annotated[float, Parameter(_POINTS, low=0)] = 0.7,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate a diary in which support relieves the moment but marks those who need it.

    Support is ``x_it = 5 + m_i + d_it`` with ``m_i ~ N(0, sd_means^2)`` and
    ``d_it ~ N(0, sd_moments^2)``. Stress is
    ``y_it = 5 + between * m_i + within * d_it + u_i + e_it``.

    Returns
    -------
    Simulated
        Columns ``person``, ``support``, ``stress``. Truth: ``within``, ``between``,
        ``person_mean`` (the true mean support), ``u``, and the slopes that three other
        regressions estimate in the long run: ``slope_pooled`` (one regression for all rows:
        the variance-weighted blend of both), ``slope_aggregated`` (of person means, which still
        hold ``sd_moments^2 / n_prompts`` of within-variance), ``slope_random_intercept`` (of a
        model that takes one slope for both).

    Notes
    -----
    With variances T of means, D of moments and n prompts, row sums of squares within and between
    give the pooled slope (T between + D within) / (T + D). Person means have variance T + D/n and
    slope (T between + (D/n) within) / (T + D/n) (Luedtke et al. 2008, Psychological Methods
    13:203). The random-intercept model weighs each row's deviation by 1/s^2 and each person's mean
    by n/(s^2 + n s_u^2), where s_u^2 is what that model takes for the persons' variance; the value
    given solves both for many persons.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.diary(seed=1).to_frame().head(3).round(2)
       person  support  stress
    0       0     6.15    4.44
    1       0     3.69    5.61
    2       0     5.16    4.87
    """
    draws = Draws(seed)
    person, prompt = rows_of(n_prompts, n_persons, "prompts")
    everyone = np.arange(n_persons)
    m = sd_means * draws.normal("person mean", everyone)
    u = sd_person * draws.normal("person", everyone)
    d = sd_moments * draws.normal("moment", person, prompt)
    e = sd_error * draws.normal("error", person, prompt)
    stress = 5 + between * m[person] + within * d + u[person] + e
    return Simulated(
        "diary",
        {"person": person, "support": 5 + m[person] + d, "stress": stress},
        truth={
            "within": within,
            "between": between,
            "person_mean": 5 + m,
            "u": u,
            **_slopes_in_the_long_run(
                within, between, sd_means**2, sd_moments**2, sd_person**2, sd_error**2, n_prompts
            ),
        },
        units={"support": "points, 0 to 10", "stress": "points, 0 to 10"},
    )


def _slopes_in_the_long_run(
    within: float, between: float, T: float, D: float, U: float, E: float, n: int
) -> dict[str, float]:
    """Return the limits, for many persons, of the three regressions that take one slope."""

    def blend(weight_between: float, weight_within: float) -> float:
        total = weight_between + weight_within
        return (weight_between * between + weight_within * within) / total if total else np.nan

    pooled, aggregated = blend(T, D), blend(T, D / n)
    slope = pooled
    for _ in range(500):
        # Given the slope: residual variance within, and of person means; they set the weights
        # of the (n - 1) D within and the n-fold between sums of squares of the next slope.
        s2 = E + (within - slope) ** 2 * D
        of_means = (between - slope) ** 2 * T + U + s2 / n
        weight_within = D * ((n - 1) / s2 + 1 / (n * of_means)) if s2 else D
        new = blend(T / of_means if of_means else T, weight_within)
        if abs(new - slope) < 1e-14:
            break
        slope = new
    return {
        "slope_pooled": pooled,
        "slope_aggregated": aggregated,
        "slope_random_intercept": slope,
    }
