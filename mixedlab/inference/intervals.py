"""Confidence intervals by three roads: Wald, likelihood profile, parametric bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError, nearest
from mixedlab.inference.curvature import Curvature
from mixedlab.inference.prediction import draw_response
from mixedlab.inference.profiles import profile
from mixedlab.inference.replication import Replicates, only_own_warnings, replicate
from mixedlab.inference.tests_of_coefs import approximation
from mixedlab.inference.variances import Parameter, parameters_of
from mixedlab.models.fit import MixedFit
from mixedlab.models.linear import LinearFit

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def confint(
    fit: MixedFit,
    level: float = 0.95,
    method: Literal["wald", "profile", "bootstrap"] = "wald",
    *,
    parameters: Iterable[str] | None = None,
    df: Literal["wald", "satterthwaite", "kenward-roger"] = "wald",
    n: int = 1000,
    seed: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Confidence intervals of standard deviations, correlations and fixed effects.

    Parameters
    ----------
    fit : MixedFit
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

    Notes
    -----
    Wald intervals take the parameters of a residual structure as known; the bootstrap does not,
    and has them among its rows.

    Returns
    -------
    DataFrame
        ``lower, upper``; rows in the order sd and correlations, sigma, fixed effects.
    """
    import pandas as pd

    if not 0.0 < level < 1.0:
        raise MixedlabError(f"level lies between 0 and 1, for example 0.95, not {level}.")
    if method == "profile":
        return profile(fit, parameters, level).confint(level)
    if method == "wald":
        table = _wald(fit, level, df)
    elif method == "bootstrap":
        draws = bootstrap(fit, n, seed, executor=executor, progress=progress).table
        tail = 0.5 - level / 2.0
        table = pd.DataFrame({"lower": draws.quantile(tail), "upper": draws.quantile(1.0 - tail)})
    else:
        raise MixedlabError(f"method is 'wald', 'profile' or 'bootstrap', not {method!r}.")
    if parameters is None:
        return table
    wanted = list(parameters)
    for name in wanted:
        if name not in table.index:
            raise MixedlabError(f"There is no parameter {name!r}.{nearest(name, table.index)}")
    return table.loc[wanted]


def bootstrap(
    fit: MixedFit,
    n: int = 1000,
    seed: int = 1,
    statistic: Callable[[MixedFit], Any] | None = None,
    *,
    executor: Executor | None = None,
    progress: bool = True,
) -> Replicates:
    """Simulate responses from a fit and fit each again: the parametric bootstrap.

    Parameters
    ----------
    fit : MixedFit
    n, seed, executor, progress
        As in ``ml.replicate``.
    statistic : callable, optional
        What to keep of each new fit: a function of it that returns a number, dict or array. By
        default all parameters.
    """
    # The design holds the table's formula machinery, which no worker needs.
    study = partial(_refit_once, replace(fit, design=None), statistic or _all_parameters)
    with only_own_warnings():
        return replicate(study, n, seed, executor, progress=progress)


def _refit_once(
    fit: MixedFit, statistic: Callable[[MixedFit], Any], rng: np.random.Generator
) -> Any:
    return statistic(fit.refit(draw_response(fit, rng)))


def _all_parameters(fit: MixedFit) -> dict[str, float]:
    found = {p.name: p.estimate(fit) for p in parameters_of(fit)}
    if isinstance(fit, LinearFit) and fit.residual is not None:
        found |= {f"residual {name}": value for name, value in fit.residual_parameters.items()}
    return found


def _wald(fit: MixedFit, level: float, df: str) -> pd.DataFrame:
    import pandas as pd
    from scipy import stats

    found = approximation(fit, df)
    half = stats.t.ppf(0.5 + level / 2.0, found.df) * found.se
    ends = {}
    z = float(stats.norm.ppf(0.5 + level / 2.0))
    if isinstance(fit, LinearFit):
        ends |= _wald_of_variances(fit, z)
    elif hasattr(fit, "vcov_parameters"):
        from mixedlab.inference.generalized_intervals import wald_of_variances

        ends |= wald_of_variances(fit, z)
    ends |= {
        name: (beta - h, beta + h) for name, beta, h in zip(fit.names, fit.beta, half, strict=True)
    }
    return pd.DataFrame.from_dict(ends, orient="index", columns=["lower", "upper"])


def _wald_of_variances(fit: LinearFit, z: float) -> dict[str, tuple[float, float]]:
    """Intervals on the log or Fisher's z scale, by the delta method from the curvature."""
    parameters = [p for p in parameters_of(fit) if p.kind != "beta"]
    covariance = Curvature.of(fit).covariance
    at = np.append(fit.optimum, 2.0 * np.log(fit.sigma))
    step = 1e-5
    ahead, behind = (
        np.array([_on_free_scale(fit, parameters, at + sign * step * e) for e in np.eye(at.size)])
        for sign in (1, -1)
    )
    with np.errstate(invalid="ignore"):  # a correlation without its variances
        slopes = (ahead - behind) / (2 * step)
    centre = _on_free_scale(fit, parameters, at)
    ends = {}
    for k, p in enumerate(parameters):
        variance = float(slopes[:, k] @ covariance @ slopes[:, k])
        with np.errstate(invalid="ignore"):
            half = z * np.sqrt(variance)
        back = np.tanh if p.kind == "cor" else np.exp
        known = np.isfinite(centre[k]) and np.isfinite(half) and half > 0
        if _at_boundary(fit, p) or not known:
            ends[p.name] = (np.nan, np.nan)
        else:
            with np.errstate(over="ignore"):  # an sd near zero may be anything
                ends[p.name] = (float(back(centre[k] - half)), float(back(centre[k] + half)))
    return ends


def _on_free_scale(fit: LinearFit, parameters: list[Parameter], at: Array) -> Array:
    """Log sd, Fisher's z of correlations, log sigma at the engine's theta and log sigma^2."""
    sigma = np.exp(at[-1] / 2.0)
    blocks = fit.layout.unpack(fit.problem.to_user(at[:-1]))
    out = np.empty(len(parameters))
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, p in enumerate(parameters):
            if p.kind == "sigma":
                out[k] = np.log(sigma)
                continue
            value = p.of_covariance(sigma**2 * blocks[p.term] @ blocks[p.term].T)
            out[k] = np.arctanh(value) if p.kind == "cor" else np.log(value)
    return out


def _at_boundary(fit: LinearFit, p: Parameter) -> bool:
    """Whether the estimate is a zero variance or a correlation of one."""
    value = p.estimate(fit)
    if p.kind == "cor":
        return not abs(value) < 1.0 - 1e-6
    if p.kind == "sd":
        size = np.sqrt(np.mean(fit.terms[p.term].Z[:, p.first] ** 2))
        return value * size < 1e-4 * fit.sigma
    return False
