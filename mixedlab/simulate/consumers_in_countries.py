"""Consumers nested in countries: who buys, and how price acts in each country."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.outcomes import expit, marginal_mean
from mixedlab.simulate.scenario import Parameter, Simulated, scenario

_LOGIT = "log odds of buying"


@scenario
def consumers(
    n_countries: Annotated[int, Parameter("countries", low=1)] = 12,
    n_consumers: Annotated[int, Parameter("consumers a country", low=1)] = 25,
    n_occasions: Annotated[int, Parameter("shopping occasions a consumer", low=1)] = 8,
    intercept: Annotated[float, Parameter(_LOGIT)] = 0.0,
    price: Annotated[float, Parameter(f"{_LOGIT}, for one sd of price")] = -0.8,
    sd_country: Annotated[float, Parameter(_LOGIT, low=0)] = 0.6,
    sd_consumer: Annotated[float, Parameter(_LOGIT, low=0)] = 1.0,
    sd_price: Annotated[float, Parameter(f"{_LOGIT}, of countries' slopes", low=0)] = 0.3,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate purchases on occasions with different prices.

    ``logit P(buy) = intercept + c_k + u_i + (price + s_k) * x`` with countries c, consumers u,
    slopes s of the countries, and standard normal prices x.

    Returns
    -------
    Simulated
        Columns ``country``, ``consumer`` (numbered over all countries), ``price``, ``bought``.
        Truth: ``fixef``, the sds, ``c``, ``u``, ``s``, ``icc_country`` and ``icc_consumer`` on the
        latent scale (two purchases of a country, of one consumer; price 0) with the logistic
        variance pi^2/3, and ``marginal_mean``, the share that buys at price 0.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.consumers(seed=1).to_frame().head(3).round(2)
       country  consumer  price  bought
    0        0         0  -0.45       1
    1        0         0   0.60       0
    2        0         0   0.64       0
    """
    draws = Draws(seed)
    countries, people = np.arange(n_countries), np.arange(n_consumers)
    country, person, occasion = (
        a.ravel() for a in np.meshgrid(countries, people, np.arange(n_occasions), indexing="ij")
    )
    c = sd_country * draws.normal("country", countries)
    s = sd_price * draws.normal("slope", countries)
    u = sd_consumer * draws.normal("consumer", countries[:, None], people)
    x = draws.normal("price", country, person, occasion)
    eta = intercept + c[country] + u[country, person] + (price + s[country]) * x
    bought = draws.bernoulli("buys", expit(eta), country, person, occasion)
    total = sd_country**2 + sd_consumer**2 + np.pi**2 / 3
    return Simulated(
        "consumers",
        {
            "country": country,
            "consumer": country * n_consumers + person,
            "price": x,
            "bought": bought,
        },
        truth={
            "fixef": {"(Intercept)": intercept, "price": price},
            "sd_country": sd_country,
            "sd_consumer": sd_consumer,
            "sd_price": sd_price,
            "c": c,
            "u": u.ravel(),
            "s": s,
            "icc_country": float(sd_country**2 / total),
            "icc_consumer": float((sd_country**2 + sd_consumer**2) / total),
            "marginal_mean": float(
                marginal_mean("binary", intercept, float(np.hypot(sd_country, sd_consumer)))
            ),
        },
        units={"price": "standard deviations", "bought": "0 or 1"},
    )
