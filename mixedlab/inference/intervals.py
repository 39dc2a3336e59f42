"""Confidence intervals by three roads: Wald, likelihood profile, parametric bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError, nearest
from mixedlab.inference.contract import Fit, MixedModel, Parameter, refuse
from mixedlab.inference.denominators import Method, reference
from mixedlab.inference.profiles import profile
from mixedlab.inference.ratios import exponentiated, ratio_name
from mixedlab.inference.replication import (
    Replicates,
    Study,
    most_at_once,
    only_own_warnings,
    replicate,
)
from mixedlab.inference.tables import ends_by_name, normal_quantile, t_quantile

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

# Half a Wald interval of a logarithm: thousands of times smaller to thousands of times larger.
_KNOWS_NOTHING = 10.0


def confint(
    fit: Fit,
    level: float = 0.95,
    method: Literal["wald", "profile", "bootstrap"] = "wald",
    *,
    parameters: Iterable[str] | None = None,
    df: Method = "wald",
    n: int = 1000,
    seed: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
    exponentiate: bool = False,
) -> pd.DataFrame:
    """Confidence intervals of standard deviations, correlations and fixed effects.

    Parameters
    ----------
    fit : Fit
    level : float
        Between 0 and 1.
    method : {"wald", "profile", "bootstrap"}
        *Wald*: estimate and standard error; standard deviations on the log scale, correlations
        on Fisher's z scale, NaN where a variance is zero. *Profile*: where the deviance has
        risen by the normal quantile squared, by maximum likelihood. *Bootstrap*: quantiles of
        the estimates from responses simulated by the fit.
    parameters : iterable of str, optional
        Rows wanted, by name; all by default.
    df : {"wald", "satterthwaite", "kenward-roger"}
        For Wald intervals of fixed effects: the reference distribution, as in ``fit.tests``.
    n, seed, executor, progress
        For the bootstrap, as in ``ml.replicate``.
    exponentiate : bool
        Coefficients as ratios: of odds, rates, hazards. Other rows stay as they are.

    Notes
    -----
    Wald intervals take the parameters of a residual structure as known; the bootstrap does not,
    and has them among its rows.

    Returns
    -------
    DataFrame
        ``lower, upper``; rows in the order sd and correlations, sigma, fixed effects.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> fit.confint(method="profile", parameters=["Days", "sigma"]).round(2)
           lower  upper
    Days    7.36  13.58
    sigma  22.90  28.86
    """
    if exponentiate:
        ratio_name(fit)
        table = confint(
            fit, level, method, parameters=parameters, df=df, n=n, seed=seed, executor=executor,
            progress=progress,
        )  # fmt: skip
        return exponentiated(table, table.index.isin(fit.names), ["lower", "upper"])
    z = normal_quantile(level)
    if method == "profile":
        return profile(fit, parameters, level).confint(level)
    if method == "wald":
        table = ends_by_name(_wald(fit, level, z, df))
    elif method == "bootstrap":
        draws = bootstrap(fit, n, seed, executor=executor, progress=progress).table
        tail = 0.5 - level / 2.0
        ends = (draws.quantile(tail), draws.quantile(1.0 - tail))
        table = ends_by_name(dict(zip(draws.columns, zip(*ends, strict=True), strict=True)))
    else:
        raise MixedlabError(f"method is 'wald', 'profile' or 'bootstrap', not {method!r}.")
    if parameters is None:
        return table
    wanted = list(parameters)
    for name in wanted:
        if name not in table.index:
            raise MixedlabError(f"There is no parameter {name!r}.{nearest(name, table.index)}")
    return table.loc[wanted]


def _wald(fit: Fit, level: float, z: float, df: Method) -> dict[str, tuple[float, float]]:
    """Estimate and standard error on each parameter's free scale; t quantiles of coefficients."""
    found = reference(fit, df)
    half = t_quantile(level, found.df) * found.se
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diag(fit.parameter_covariance()))
    ends = {}
    for parameter, se in zip(fit.named_parameters, errors, strict=True):
        if parameter.kind == "beta":
            beta, h = parameter.estimate, half[parameter.first]
            ends[parameter.name] = (float(beta - h), float(beta + h))
        elif not parameter.taken_as_known:
            ends[parameter.name] = _wald_ends(parameter, z * se)
    return ends


def _wald_ends(parameter: Parameter, half: float) -> tuple[float, float]:
    centre = parameter.free
    if parameter.at_boundary or not (np.isfinite(centre) and np.isfinite(half) and half > 0):
        return np.nan, np.nan
    if parameter.kind != "cor" and half > _KNOWS_NOTHING:
        return np.nan, np.nan
    return parameter.back(centre - half), parameter.back(centre + half)


def bootstrap(
    fit: MixedModel,
    n: int = 1000,
    seed: int = 1,
    statistic: Callable[[MixedModel], Any] | None = None,
    *,
    executor: Executor | None = None,
    progress: bool = True,
) -> Replicates:
    """Simulate responses from a fit and fit each again: the parametric bootstrap.

    Parameters
    ----------
    fit : MixedModel
    n, seed, executor, progress
        As in ``ml.replicate``.
    statistic : callable, optional
        What to keep of each new fit: a function of it that returns a number, dict or array. By
        default all parameters.
    """
    refuse(fit, "bootstrap interval")
    alone = fit.without_table()
    if statistic is None and fit.at_once:
        study: Study = _RefitAll(alone)
    else:
        study = partial(_refit_once, alone, statistic or _all_parameters)
    with only_own_warnings():
        return replicate(study, n, seed, executor, progress=progress)


def _refit_once(
    fit: MixedModel, statistic: Callable[[MixedModel], Any], rng: np.random.Generator
) -> Any:
    return statistic(fit.refit(fit.draw(rng)))


def _all_parameters(fit: MixedModel) -> dict[str, float]:
    return {p.name: p.estimate for p in fit.named_parameters}


@dataclass(frozen=True)
class _RefitAll:
    """All parameters of a fit's refits; many responses are fitted together."""

    fit: MixedModel

    @property
    def at_once(self) -> int:
        return most_at_once(self.fit.n_obs)

    def __call__(self, rng: np.random.Generator) -> dict[str, float]:
        return _refit_once(self.fit, _all_parameters, rng)

    def many(self, generators: Sequence[np.random.Generator]) -> list[dict[str, float] | Exception]:
        refits = self.fit.refit_many(self.fit.draw_many(generators))
        values = zip(*(v.tolist() for v in refits.named.values()), strict=True)
        found = [dict(zip(refits.named, row, strict=True)) for row in values]
        for number, reason in refits.failures.items():
            found[number] = MixedlabError(reason)
        return found
