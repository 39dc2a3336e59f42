"""Brain imaging: an effect in every subject, measured with a precision of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Simulated, rows_of, scenario

_PERCENT = "per cent signal change"


@scenario
def scans(
    n_subjects: Annotated[int, Parameter("subjects", low=2)] = 15,
    n_trials: Annotated[int | Sequence[int], Parameter("trials a subject", low=4)] = 40,
    effect: Annotated[float, Parameter(f"{_PERCENT}, in people at large")] = 0.3,
    tau: Annotated[float, Parameter(f"{_PERCENT}, sd of subjects' effects", low=0)] = 0.25,
    sd_trial: Annotated[float, Parameter(_PERCENT, low=0)] = 1.0,
    spread: Annotated[float, Parameter("sd of log of subjects' trial sds", low=0)] = 0.4,
    baseline: Annotated[float, Parameter(_PERCENT)] = 0.0,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate single-trial signals under task and rest for a two-stage group analysis.

    ``y_ij = baseline + beta_i * task_ij + e_ij`` with ``beta_i ~ N(effect, tau^2)`` and
    ``e_ij ~ N(0, sigma_i^2)``, ``sigma_i = sd_trial * exp(spread * z_i)``. Odd trials are task.

    Returns
    -------
    Simulated
        Columns ``subject``, ``task``, ``signal``. Truth: ``effect``, ``tau``, ``beta`` and
        ``sigma`` by subject, ``se`` (the true standard error of each subject's difference of
        means), ``i2`` = tau^2 / (tau^2 + typical se^2) with the typical variance of Higgins and
        Thompson (2002), and ``se_mixed``, the standard error of the best weighted mean
        ``1 / sqrt(sum 1 / (tau^2 + se_i^2))``, beside ``se_fixed``, which takes tau for 0.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.scans(seed=1).to_frame().head(3).round(2)
       subject  task  signal
    0        0     0    1.55
    1        0     1    0.07
    2        0     0   -0.76
    """
    draws = Draws(seed)
    subjects = np.arange(n_subjects)
    subject, trial = rows_of(n_trials, n_subjects, "numbers of trials")
    beta = effect + tau * draws.normal("subject", subjects)
    sigma = sd_trial * np.exp(spread * draws.normal("noise", subjects))
    task = trial % 2
    signal = (
        baseline + beta[subject] * task + sigma[subject] * draws.normal("trial", subject, trial)
    )
    n_task = np.bincount(subject, task)
    n_rest = np.bincount(subject) - n_task
    se = sigma * np.sqrt(1 / n_task + 1 / n_rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        w = 1 / se**2
        typical = (n_subjects - 1) * w.sum() / (w.sum() ** 2 - np.sum(w**2))
        i2 = tau**2 / (tau**2 + typical)
        se_mixed = 1 / np.sqrt(np.sum(1 / (tau**2 + se**2)))
    return Simulated(
        "scans",
        {"subject": subject, "task": task, "signal": signal},
        truth={
            "effect": effect,
            "tau": tau,
            "beta": beta,
            "sigma": sigma,
            "se": se,
            "i2": float(i2),
            "se_mixed": float(se_mixed),
            "se_fixed": float(1 / np.sqrt(w.sum())) if np.all(se > 0) else 0.0,
        },
        units={"task": "0 or 1", "signal": _PERCENT},
    )


def first_stage(sim: Simulated) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's difference of means and its estimated standard error.

    The subject's own residual variance is pooled over task and rest, as in a regression of one
    subject's trials on the task.

    Examples
    --------
    >>> import mixedlab as ml
    >>> estimate, se = ml.simulate.first_stage(ml.simulate.scans(n_subjects=4, seed=1))
    >>> estimate.round(2)
    array([ 0.2 ,  0.13, -0.32, -0.13])
    """
    subject, task, y = sim["subject"], sim["task"], sim["signal"]
    n = np.stack([np.bincount(subject, task == k) for k in (0, 1)])
    means = np.stack([np.bincount(subject, y * (task == k)) for k in (0, 1)]) / n
    left = y - means[task, subject]
    variance = np.bincount(subject, left**2) / (n.sum(axis=0) - 2)
    return means[1] - means[0], np.sqrt(variance * np.sum(1 / n, axis=0))
