"""Clustered data from a stated truth, one scenario a file.

Every generator takes parameters with units and a ``seed`` and returns ``Simulated``: columns as
arrays, matrices, and the truth. The same seed gives the same numbers on every platform, and a
number keeps its place when another parameter moves (see ``draws``). ``ml.simulate.scenarios()``
lists them.
"""

from importlib import import_module
from typing import Any

_HOME_OF = {
    "hospitals": "patients_in_hospitals",
    "cells": "cells_in_donors",
    "diary": "stress_diary",
    "fibre": "fibre_response",
    "trials": "single_neuron_trials",
    "villages": "village_outcomes",
    "dropout": "trial_with_dropout",
    "batches": "donors_by_batches",
    "contamination": "negative_controls",
    "couples": "actor_partner",
    "relatives": "genotyped_relatives",
    "scans": "brain_scans",
    "wards": "ward_years",
    "consumers": "consumers_in_countries",
    "devices": "semiconductor_devices",
}
_SHARED = {
    "Draws": "draws",
    "Simulated": "scenario",
    "Parameter": "scenario",
    "slope_covariance": "fibre_response",
    "first_stage": "brain_scans",
}
__all__ = [*_HOME_OF, *_SHARED, "scenarios"]


def scenarios() -> dict[str, str]:
    """Return each scenario's name and what it simulates, in one line.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.scenarios()["hospitals"]
    'Simulate patients in hospitals that differ by a random intercept.'
    """
    return {
        name: getattr(_module(home), name).__doc__.splitlines()[0]
        for name, home in _HOME_OF.items()
    }


def _module(home: str) -> Any:
    return import_module(f"mixedlab.simulate.{home}")


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name) or _SHARED.get(name)
    if home is None:
        raise AttributeError(f"module 'mixedlab.simulate' has no attribute {name!r}")
    value = getattr(_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
