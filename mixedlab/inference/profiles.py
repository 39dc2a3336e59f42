"""Likelihood profiles: how the deviance rises as one parameter is held off its estimate.

The signed root of that rise, ``zeta``, is a straight line in a parameter whose estimate is
normal. Its bend is what a Wald interval misses.

References
----------
Bates, Maechler, Bolker & Walker (2015), J. Stat. Softw. 67(1), section 5.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError, nearest
from mixedlab.inference.contract import Held, MixedModel, Parameter, refuse
from mixedlab.inference.tables import ends_by_name, normal_quantile

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_STEP = 0.6  # in zeta, between points of a profile
_MOST_POINTS = 40


@dataclass(frozen=True)
class Curve:
    """The profile of one parameter.

    Attributes
    ----------
    parameter : Parameter
    estimate : float
    value, zeta : ndarray, shape (m,)
        Rising values and the signed root of the deviance's rise; 0 at the estimate.
    """

    parameter: Parameter
    estimate: float
    value: Array
    zeta: Array

    def at(self, zeta: float) -> float:
        """Value with this zeta; the bound, or NaN, where the profile does not reach it."""
        if self.value.size < 2:
            return np.nan
        low, high = self.parameter.bounds
        if zeta < self.zeta[0]:
            return low if np.isfinite(low) else np.nan
        if zeta > self.zeta[-1]:
            return high if np.isfinite(high) else np.nan
        from scipy.interpolate import PchipInterpolator

        zetas, first = np.unique(self.zeta, return_index=True)
        return float(PchipInterpolator(zetas, self.value[first])(zeta))


@dataclass(frozen=True)
class Profile:
    """Profiles of a mixed model's parameters, by maximum likelihood.

    Attributes
    ----------
    curves : dict of str to Curve
        By name of the parameter.
    """

    curves: dict[str, Curve]

    @property
    def table(self) -> pd.DataFrame:
        """All points: ``parameter, value, zeta``."""
        import pandas as pd

        return pd.concat(
            [
                pd.DataFrame({"parameter": name, "value": c.value, "zeta": c.zeta})
                for name, c in self.curves.items()
            ],
            ignore_index=True,
        )

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Values where the profile reaches the normal quantile: ``lower, upper``."""
        z = normal_quantile(level)
        return ends_by_name({name: (c.at(-z), c.at(z)) for name, c in self.curves.items()})


def profile(
    fit: MixedModel, parameters: Iterable[str] | None = None, level: float = 0.95
) -> Profile:
    """Profile the deviance of a mixed model.

    A fit by REML is fitted by maximum likelihood first: the restricted likelihoods of models
    with a coefficient held do not compare. A dispersion at its limit has no profile.

    Parameters
    ----------
    fit : MixedModel
    parameters : iterable of str, optional
        Names as in `confint`'s rows; by default all.
    level : float
        The points at this level's ends are computed exactly; the profiles go a step beyond.
    """
    refuse(fit, "profile interval")
    fit = fit.by_maximum_likelihood()
    known = {p.name: p for p in fit.named_parameters}
    can_be_held = [name for name, p in known.items() if p.can_be_held]
    wanted = can_be_held if parameters is None else list(parameters)
    for name in wanted:
        if name not in known:
            raise MixedlabError(f"There is no parameter {name!r}.{nearest(name, known)}")
        if name not in can_be_held:
            raise MixedlabError(f"{name!r} has no profile here: use method='bootstrap'.")
    z = normal_quantile(level)
    return Profile({name: _curve(fit, known[name], z) for name in wanted})


def _curve(fit: MixedModel, parameter: Parameter, z: float) -> Curve:
    estimate = parameter.estimate
    if not np.isfinite(estimate):  # the correlation of a random effect that does not vary
        return Curve(parameter, estimate, np.empty(0), np.empty(0))
    held = fit.hold(parameter)
    walk = _Walk(held, parameter, z)
    below, above = (walk.side(sign, held.first_step) for sign in (-1, 1))
    values, zetas = np.array([*reversed(below), (estimate, 0.0), *above]).T
    return Curve(parameter, estimate, values, zetas)


class _Walk:
    """Walks away from the estimate in even steps of zeta, each time starting at the last."""

    def __init__(self, held: Held, parameter: Parameter, z: float) -> None:
        self.held, self.bounds, self.z = held, parameter.bounds, z
        self.estimate = parameter.estimate

    def side(self, sign: int, step: float) -> list[tuple[float, float]]:
        """Points (value, zeta) from the estimate outwards, one of them at zeta = +-z."""
        bound = self.bounds[(sign + 1) // 2]
        here, free = (self.estimate, 0.0), self.held.start()
        last_value, last_free = self.estimate, free
        points: list[tuple[float, float]] = []
        while abs(here[1]) < self.z + 0.3 and here[0] != bound and len(points) < _MOST_POINTS:
            value = here[0] + sign * step
            if sign * (value - bound) > 0:
                value = bound
            guess = self._guess(value, here[0], free, last_value, last_free)
            last_value, last_free = here[0], free
            zeta, free = self._zeta(value, guess, sign)
            while not np.isfinite(zeta) and abs(value - here[0]) > 1e-9 * (1 + abs(here[0])):
                value = 0.5 * (value + here[0])  # no likelihood there, as of a dispersion of 0
                zeta, free = self._zeta(value, last_free, sign)
            if not np.isfinite(zeta):
                break
            if abs(here[1]) < self.z < abs(zeta):
                points.append(self._end(here, (value, zeta), free, sign))
            gained = abs(zeta) - abs(here[1])
            # Secant slope of zeta, never more than doubling the step nor cutting it in ten.
            step = abs(value - here[0]) * float(np.clip(_STEP / max(gained, 1e-12), 0.1, 2.0))
            here = (value, zeta)
            points.append(here)
        return points

    @staticmethod
    def _guess(value: float, here: float, free: Array, before: float, free_before: Array) -> Array:
        """Free entries carried on in a straight line."""
        if here == before or free.shape != free_before.shape:
            return free
        return free + (free - free_before) * np.clip((value - here) / (here - before), -2, 2)

    def _zeta(self, value: float, start: Array, sign: int) -> tuple[float, Array]:
        deviance, free = self.held.minimum(value, start)
        return sign * np.sqrt(max(deviance - self.held.lowest, 0.0)), free

    def _end(
        self, inner: tuple[float, float], outer: tuple[float, float], free: Array, sign: int
    ) -> tuple[float, float]:
        """The point between two where ``|zeta| = z``, by false position (Illinois)."""
        (a, fa), (b, fb) = ((v, abs(zeta) - self.z) for v, zeta in (inner, outer))
        value, zeta, side = b, outer[1], 0
        for _ in range(30):
            value = b - fb * (b - a) / (fb - fa)
            zeta, free = self._zeta(value, free, sign)
            f = abs(zeta) - self.z
            if abs(f) < 1e-7:
                break
            if f * fb > 0:
                b, fb = value, f
                fa = fa / 2 if side == 1 else fa
                side = 1
            else:
                a, fa = value, f
                fb = fb / 2 if side == -1 else fb
                side = -1
        return value, zeta
