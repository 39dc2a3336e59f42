"""The classic fits, each made once in a run: one of every kind that a question may meet.

``fit("slopes")`` is the fit itself: shared, so only ask it. ``fresh("slopes")`` is a copy as it
was before anyone asked it anything.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd

import mixedlab as ml
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataWarning
from mixedlab.models.linear import fit_linear


@cache
def table(name: str) -> pd.DataFrame:
    """A shipped table with row labels that are not 0, 1, 2, ...; do not change it."""
    df = ml.load(name)
    return df.set_index(pd.Index([f"row {k}" for k in range(7, 7 + len(df))]))


@cache
def with_gaps() -> pd.DataFrame:
    """Sleepstudy without four of its values."""
    df = table("sleepstudy").copy()
    df.loc[df.index[[3, 50, 51]], "Reaction"] = float("nan")
    df.loc[df.index[90], "Days"] = float("nan")
    return df


def _from_arrays() -> Any:
    df = table("sleepstudy")
    days = df["Days"].to_numpy(float)
    X = pd.DataFrame({"one": 1.0, "days": days}).to_numpy()
    return fit_linear(df["Reaction"], X, [RandomTerm.from_arrays(df["Subject"], X)])


def _quietly(model: Callable[..., Any], *args: Any) -> Any:
    """The fit without the warning that rows were left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return model(*args)


_MAKERS: dict[str, Callable[[], Any]] = {
    "intercept": lambda: ml.lmm("Yield ~ 1 + (1 | Batch)", table("dyestuff")),
    "slopes": lambda: ml.lmm("Reaction ~ Days + (Days | Subject)", table("sleepstudy")),
    "slopes ML": lambda: ml.lmm(
        "Reaction ~ Days + (Days || Subject)", table("sleepstudy"), reml=False
    ),
    "gaps": lambda: _quietly(ml.lmm, "Reaction ~ Days + (Days | Subject)", with_gaps()),
    "singular": lambda: ml.lmm("Yield ~ 1 + (1 | Batch)", table("dyestuff2")),
    "crossed": lambda: ml.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", table("penicillin")),
    "nested": lambda: ml.lmm("strength ~ 1 + (1 | batch/cask)", table("pastes")),
    "arrays": _from_arrays,
    "ar1": lambda: ml.lmm(
        "distance ~ age + (1 | Subject)", table("orthodont"), residual="ar1(age)"
    ),
    "binomial": lambda: ml.glmm(
        "incidence / size ~ period + (1 | herd)", table("cbpp"), family="binomial", weights="size"
    ),
    "quadrature": lambda: ml.glmm(
        "use ~ age + (age | district)", table("contraception"), family="binomial", nagq=3
    ),
    "poisson crossed": lambda: ml.glmm(
        "TICKS ~ YEAR + (1 | BROOD) + (1 | LOCATION)", table("grouseticks"), family="poisson"
    ),
    "negative binomial": lambda: ml.glmm(
        "y ~ trt + (1 | subject)", table("epil"), family="negative_binomial"
    ),
    "no random term": lambda: ml.glmm("y ~ trt", table("epil"), family="poisson"),
    "poisson-gamma": lambda: ml.hglm(
        "y ~ trt + (1 | subject)",
        table("epil"),
        family="poisson",
        random_family="gamma",
    ),
    "h-likelihood": lambda: ml.hglm(
        "y ~ trt + (1 | subject)",
        table("epil"),
        family="poisson",
        random_family="gaussian",
        method="h-likelihood",
    ),
    "gee": lambda: ml.gee(
        "resp ~ age * smoke",
        table("ohio"),
        groups="id",
        family="binomial",
        correlation="exchangeable",
    ),
}

NAMES = tuple(_MAKERS)
LINEAR = NAMES[:9]
GENERALISED = NAMES[9:14]
HIERARCHICAL = NAMES[14:16]
MIXED = NAMES[:16]


@cache
def fit(name: str) -> Any:
    """The fit of this name; made once."""
    return _MAKERS[name]()


@cache
def _untouched(name: str) -> bytes:
    return pickle.dumps(_MAKERS[name]())


def fresh(name: str) -> Any:
    """A copy of the fit that nobody has asked anything."""
    return pickle.loads(_untouched(name))
