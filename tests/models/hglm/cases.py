"""Data sets and models of the hierarchical tests."""

import numpy as np
import pandas as pd

import mixedlab as ml
from mixedlab.engine.random_families import random_family


def seeds():
    table = ml.load("seeds")
    return table.assign(O73=(table["seed"] == "O73").astype(int))


def pump():
    table = ml.load("pump")
    return table.assign(log_time=np.log(table["time"]))


SEMI = "y ~ x1 + x3 + x5 + x6 + (1 | Device)"
SEEDS = "cbind(r, n - r) ~ extract * O73 + (1 | plate)"
BY_H = {
    "semiconductor-gamma-normal": (
        SEMI, lambda: ml.load("semiconductor"),
        {"family": "gamma", "random_family": "gaussian", "dispersion": "~ x2 + x3"},
    ),
    "semiconductor-gamma-normal-constant-dispersion": (
        SEMI, lambda: ml.load("semiconductor"), {"family": "gamma", "random_family": "gaussian"},
    ),
    "seeds-binomial-normal": (SEEDS, seeds, {"family": "binomial", "random_family": "gaussian"}),
    "seeds-binomial-beta": (SEEDS, seeds, {"family": "binomial", "random_family": "beta"}),
    "pump-poisson-gamma": (
        "failures ~ C(group) + offset(log_time) + (1 | pump)", pump,
        {"family": "poisson", "random_family": "gamma"},
    ),
    "epil-poisson-gamma": (
        "y ~ lbase * C(trt, contr.treatment('placebo')) + lage + V4 + (1 | subject)",
        lambda: ml.load("epil"), {"family": "poisson", "random_family": "gamma"},
    ),
    "sleepstudy-normal-normal": (
        "Reaction ~ Days + (1 | Subject)", lambda: ml.load("sleepstudy"), {},
    ),
}  # fmt: skip


def simulated(kind, effects, lam, *, J=400, n=5, seed=3):
    """Data from the model itself: slope 0.5, intercept 0.3."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    x = rng.normal(size=J * n)
    v = random_family(effects).quantile(rng.uniform(1e-9, 1, J), lam)
    eta = 0.3 + 0.5 * x + v[g]
    y = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "gamma": lambda: rng.gamma(5.0, np.exp(eta) / 5.0),
        "binomial": lambda: rng.binomial(6, 1 / (1 + np.exp(-eta))),
        "gaussian": lambda: rng.normal(eta, np.sqrt(0.2)),
    }[kind]()
    return pd.DataFrame({"y": y, "n": 6 - y if kind == "binomial" else 0, "x": x, "g": g})


def hard_case(name):
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(30), 6)
    u = rng.gamma(4, 0.25, 30)[g]
    table = pd.DataFrame({"g": g, "x": rng.normal(size=180), "off": rng.uniform(-7, 7, 180)})
    counts = {"family": "poisson", "random_family": "gamma"}
    binary = {"family": "binomial", "random_family": "beta"}
    y, formula, options = {
        "groups of zeros": (rng.poisson(np.where(g < 10, 0, 3.0)), "", counts),
        "counts of a million": (rng.poisson(1e6 * u), "", counts),
        "offsets over six decades": (
            rng.poisson(np.exp(table["off"]) * u), " + offset(off)", counts),
        "groups all 0 or all 1": (
            np.where(g < 10, 0, np.where(g > 20, 1, rng.binomial(1, 0.5, 180))), "", binary),
        "rare events": (rng.binomial(1, 0.01, 180), "", {"family": "binomial"}),
        "tiny responses": (
            1e-12 * u * rng.gamma(4, 0.25, 180), "",
            {"family": "gamma", "random_family": "inverse_gamma"}),
        "inverse link": (
            u * rng.gamma(4, 0.25, 180), "", {"family": "gamma", "link": "inverse"}),
        "normal with a log link": (np.exp(rng.normal(u, 0.3)), "", {"link": "log"}),
        "probit": (rng.binomial(1, 0.4, 180), "", {"family": "binomial", "link": "probit"}),
    }[name]  # fmt: skip
    return table.assign(y=y), f"y ~ x{formula} + (1 | g)", options
