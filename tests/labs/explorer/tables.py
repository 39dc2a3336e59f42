"""Tables to explore, of the kinds that come: lines, two values, counts, nested, crossed."""

from __future__ import annotations

import numpy as np
import pandas as pd

import mixedlab as ml


def counts() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    plot = np.repeat(np.arange(12), 8)
    effort = rng.uniform(1, 3, plot.size)
    rate = np.exp(0.4 + 0.5 * rng.normal(size=12)[plot]) * effort
    return pd.DataFrame(
        {
            "seen": rng.poisson(rate),
            "log effort": np.log(effort),
            "height": rng.normal(size=plot.size),
            "plot": [f"p{j}" for j in plot],
        }
    )


def binary() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    ward = np.repeat(np.arange(15), 12)
    age = rng.normal(50, 10, ward.size)
    eta = 0.03 * (age - 50) + rng.normal(size=15)[ward]
    well = np.where(rng.random(ward.size) < 1 / (1 + np.exp(-eta)), "yes", "no")
    return pd.DataFrame({"well": well, "age": age, "ward": [f"W{j}" for j in ward]})


def sleepstudy() -> pd.DataFrame:
    return ml.load("sleepstudy")


def pastes() -> pd.DataFrame:
    return ml.load("pastes")[["strength", "batch", "cask"]]


def penicillin() -> pd.DataFrame:
    return ml.load("penicillin")


ALL = {
    "sleepstudy": (sleepstudy, {}),
    "binary": (binary, {"y": "well", "x": "age", "group": "ward"}),
    "counts": (counts, {"y": "seen", "x": "height", "group": "plot"}),
    "pastes": (pastes, {"group": "batch/cask"}),
    "penicillin": (penicillin, {"group": ["plate", "sample"]}),
}
