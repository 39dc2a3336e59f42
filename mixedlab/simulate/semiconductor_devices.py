"""Semiconductor devices: curvature after a line of processes that share each device."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Simulated, scenario

_LOG = "log curvature, for high minus low, halved"


@scenario
def devices(
    n_devices: Annotated[int, Parameter("devices", low=2)] = 16,
    n_measurements: Annotated[int, Parameter("measurements a device", low=1)] = 4,
    mean: Annotated[float, Parameter("mm", low=1e-12)] = 0.009,
    lamination: Annotated[float, Parameter(_LOG)] = 0.2,
    firing: Annotated[float, Parameter(_LOG)] = 0.3,
    cooling: Annotated[float, Parameter(_LOG)] = -0.4,
    cv_device: Annotated[float, Parameter("coefficient of variation of devices", 0, 3)] = 0.25,
    cv_error: Annotated[
        float, Parameter("coefficient of variation of measurements", 1e-3, 3)
    ] = 0.3,
    error_of_firing: Annotated[float, Parameter("log dispersion, high minus low, halved")] = 0.0,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate a two-level experiment on three sub-processes, one setting for each device.

    ``y | u ~ Gamma(shape 1/phi, mean mu u)`` with ``log mu = log mean + lamination x1 + firing x2
    + cooling x3`` and x = -1 or 1 in a full factorial that is repeated; ``u`` is inverse gamma
    ``IG(a + 1, a)`` with E u = 1 and coefficient of variation ``cv_device``, so that
    ``a = 1 + 1/cv_device^2``. ``log phi = log cv_error^2 + error_of_firing x2``: a process may act
    on the spread and not on the mean.

    Returns
    -------
    Simulated
        Columns ``device``, ``lamination``, ``firing``, ``cooling``, ``curvature``. Truth:
        ``fixef``, ``u``, ``lam`` = 1/a (0 without device effects), ``phi`` by row, ``mu`` by row,
        and ``cv`` by row, the marginal coefficient of variation
        ``sqrt((1 + phi) (1 + cv_device^2) - 1)``.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.devices(seed=1).to_frame().head(3).round(2)
       device  lamination  firing  cooling  curvature
    0       0          -1      -1       -1       0.00
    1       0          -1      -1       -1       0.01
    2       0          -1      -1       -1       0.01
    """
    draws = Draws(seed)
    labels = np.arange(n_devices)
    x = np.where((labels[:, None] >> np.arange(3)) % 2 == 1, 1, -1)
    device = np.repeat(labels, n_measurements)
    number = np.tile(np.arange(n_measurements), n_devices)
    if cv_device > 0:
        a = 1 + 1 / cv_device**2
        u, lam = a / draws.gamma("device", a + 1, labels), 1 / a
    else:
        u, lam = np.ones(n_devices), 0.0
    mu = mean * np.exp(x @ np.array([lamination, firing, cooling]))
    phi = cv_error**2 * np.exp(error_of_firing * x[:, 1])
    spread = phi[device] * draws.gamma("measurement", 1 / phi[device], device, number)
    return Simulated(
        "devices",
        {
            "device": device,
            "lamination": x[device, 0],
            "firing": x[device, 1],
            "cooling": x[device, 2],
            "curvature": (mu * u)[device] * spread,
        },
        truth={
            "fixef": {"(Intercept)": float(np.log(mean)), "lamination": lamination,
                      "firing": firing, "cooling": cooling},
            "u": u,
            "lam": float(lam),
            "phi": phi[device],
            "mu": mu[device],
            "cv": np.sqrt((1 + phi[device]) * (1 + cv_device**2) - 1),
        },
        units={"lamination": "-1 or 1", "firing": "-1 or 1", "cooling": "-1 or 1",
               "curvature": "mm"},
    )  # fmt: skip
