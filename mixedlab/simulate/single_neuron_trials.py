"""Trials in neurons in subjects: three levels of correlated firing."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Simulated, scenario

_HZ = "spikes a second"


@scenario
def trials(
    n_subjects: Annotated[int, Parameter("subjects", low=1)] = 8,
    n_neurons: Annotated[int, Parameter("neurons a subject", low=1)] = 10,
    n_trials: Annotated[int, Parameter("trials a neuron", low=1)] = 20,
    mean: Annotated[float, Parameter(_HZ)] = 12.0,
    effect: Annotated[float, Parameter(f"{_HZ}, stimulus minus rest")] = 1.0,
    sd_subject: Annotated[float, Parameter(_HZ, low=0)] = 2.0,
    sd_neuron: Annotated[float, Parameter(_HZ, low=0)] = 3.0,
    sd_trial: Annotated[float, Parameter(_HZ, low=0)] = 4.0,
    stimulus_varies: Literal["trial", "subject"] = "trial",
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate firing rates with a stimulus that varies by trial or by subject.

    ``y_ijk = mean + effect * stimulus + s_i + u_ij + e_ijk`` with independent normal subjects,
    neurons and trials. Odd trials (or odd subjects) have the stimulus.

    Returns
    -------
    Simulated
        Columns ``subject``, ``neuron`` (numbered over all subjects), ``stimulus``, ``rate``.
        Truth: ``fixef``, the sds, ``b_subject``, ``b_neuron``, ``icc_subject`` (correlation of two
        trials of a subject from two neurons), ``icc_neuron`` (from one neuron), and with n
        neurons of m trials ``se_effect``, the true sd of the difference of the two condition
        means, beside ``se_naive``, what independence would make of it (nan where one condition is
        empty).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.trials(seed=1).to_frame().head(3).round(2)
       subject  neuron  stimulus   rate
    0        0       0         0   6.06
    1        0       0         1   7.18
    2        0       0         0  11.71
    """
    draws = Draws(seed)
    subject, neuron, trial = (
        a.ravel()
        for a in np.meshgrid(
            np.arange(n_subjects), np.arange(n_neurons), np.arange(n_trials), indexing="ij"
        )
    )
    s = sd_subject * draws.normal("subject", np.arange(n_subjects))
    u = sd_neuron * draws.normal("neuron", np.arange(n_subjects)[:, None], np.arange(n_neurons))
    e = sd_trial * draws.normal("trial", subject, neuron, trial)
    stimulus = (trial if stimulus_varies == "trial" else subject) % 2
    total = sd_subject**2 + sd_neuron**2 + sd_trial**2
    # The difference of condition means weighs each row by +-1/n of its condition; a group's effect
    # counts with the square of the sum of its rows' weights.
    n_on = int(stimulus.sum())
    n_off = stimulus.size - n_on
    both = n_on > 0 and n_off > 0
    weight = np.where(stimulus == 1, 1 / max(n_on, 1), -1 / max(n_off, 1))
    cell = subject * n_neurons + neuron
    squares = [np.sum(weight**2), *(np.sum(np.bincount(g, weight) ** 2) for g in (cell, subject))]
    se = np.sqrt(np.dot([sd_trial**2, sd_neuron**2, sd_subject**2], squares))
    shared = np.array([sd_subject**2, sd_subject**2 + sd_neuron**2])
    icc = shared / total if total > 0 else np.full(2, np.nan)
    return Simulated(
        "trials",
        {
            "subject": subject,
            "neuron": cell,
            "stimulus": stimulus,
            "rate": mean + effect * stimulus + s[subject] + u[subject, neuron] + e,
        },
        truth={
            "fixef": {"(Intercept)": mean, "stimulus": effect},
            "b_subject": s,
            "b_neuron": u.ravel(),
            "sd_subject": sd_subject,
            "sd_neuron": sd_neuron,
            "sd_trial": sd_trial,
            "icc_subject": float(icc[0]),
            "icc_neuron": float(icc[1]),
            "se_effect": float(se) if both else np.nan,
            "se_naive": float(np.sqrt(total * squares[0])) if both else np.nan,
        },
        units={"stimulus": "0 or 1", "rate": _HZ},
    )
