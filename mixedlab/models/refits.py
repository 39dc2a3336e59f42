"""One model fitted to many responses.

`Refitting` is what every mixed fit has of it: ``fit.refit_many(Y)``. A fit that knows how to fit
many responses at once says so by ``at_once``; the others are refitted one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference.values import Parameter

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Refits:
    """A model's fits to m responses.

    Attributes
    ----------
    fit : MixedFit
        The fit whose model it is.
    Y : ndarray (n, m)
        The responses, one a column.
    fixef : ndarray (m, p)
    theta : ndarray (m, k)
        Relative covariance factors.
    sigma, criterion : ndarray (m,)
        ``sigma`` is nan where the family has none.
    converged, singular : ndarray of bool (m,)
    named : dict of str to ndarray (m,)
        Standard deviations, correlations and all other parameters by name.
    failures : dict of int to str
        Why a response could not be fitted, by its number; its numbers are nan.
    """

    fit: Any
    Y: Array
    fixef: Array
    theta: Array
    sigma: Array
    criterion: Array
    converged: NDArray[np.bool_]
    singular: NDArray[np.bool_]
    named: Mapping[str, Array]
    failures: Mapping[int, str]

    def __len__(self) -> int:
        return self.Y.shape[1]

    def __getitem__(self, number: int) -> Any:
        """The fit to response ``number``, with everything that a fit answers."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"There are {len(self)} refits, and no number {number}.")
        return self.fit.refit(self.Y[:, number])

    def __repr__(self) -> str:
        told = f"{int(self.converged.sum())} converged, {int(self.singular.sum())} singular"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<{len(self)} refits: {told}{failed}>"


class Together(Protocol):
    """What an engine finds for m responses at once."""

    beta: Array
    theta: Array
    converged: NDArray[np.bool_]
    singular: NDArray[np.bool_]


class Refitting:
    """A mixed fit's refits to other responses."""

    @property
    def at_once(self) -> bool:
        """Whether many responses are fitted together, at a fraction of the time."""
        return False

    def _together(self, Y: Array) -> tuple[Together, Array, Array, NDArray[np.bool_]]:
        """What the engine finds, sigma, the criterion, and which are to be trusted."""
        raise NotImplementedError

    def draw_many(self, generators: Sequence[np.random.Generator]) -> Array:
        """Responses (n, m) of the rows fitted: column k is ``draw(generators[k])``."""
        return np.column_stack([self.draw(rng) for rng in generators])

    def refit_many(self, Y: ArrayLike) -> Refits:
        """Fit the same model to the m columns of Y (n, m), in the order of the rows fitted.

        With one grouping factor, linear models and generalised ones whose family has no
        dispersion are fitted all at once; others one by one.

        Parameters
        ----------
        Y : array, shape (n, m)
            One response a column, in the order of the rows fitted.

        Returns
        -------
        Refits
            Arrays ``fixef`` (m, p), ``theta``, ``sigma``, ``criterion``, ``converged`` and
            ``singular``; ``[k]`` is the k-th as a fit.

        Raises
        ------
        DataError
            Where Y has not a row for each row fitted, or a value is not finite.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
        >>> refits = fit.refit_many(fit.simulate(100, seed=1).T)
        >>> refits.fixef.shape
        (100, 2)
        """
        Y = np.asarray(Y, dtype=float)
        if Y.ndim != 2 or Y.shape[0] != self.n_obs:
            raise DataError(
                f"Y has shape {Y.shape}; give one column for each response, with {self.n_obs} rows."
            )
        if not np.isfinite(Y).all():
            column = int(np.flatnonzero(~np.isfinite(Y).all(axis=0))[0])
            raise DataError(f"Column {column} of Y has values that are missing or infinite.")
        return _Collected(self, Y).refits()


class _Collected:
    """The arrays of `Refits`, filled all at once where that can be, and one by one."""

    def __init__(self, fit: Any, Y: Array) -> None:
        self.fit, self.Y, m = fit, Y, Y.shape[1]
        self.fixef = np.full((m, fit.beta.size), np.nan)
        self.theta = np.full((m, fit.theta.size), np.nan)
        self.sigma, self.criterion = np.full(m, np.nan), np.full(m, np.nan)
        self.converged, self.singular = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
        self.parameters: tuple[Parameter, ...] = fit.named_parameters
        self.named = {p.name: np.full(m, np.nan) for p in self.parameters}
        self.failures: dict[int, str] = {}

    def refits(self) -> Refits:
        left = np.arange(self.Y.shape[1])
        if self.fit.at_once and left.size:
            left = self._all()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each response would be many
            for number in left:
                self._one(int(number))
        return Refits(
            self.fit, self.Y, self.fixef, self.theta, self.sigma, self.criterion,
            self.converged, self.singular, self.named, self.failures,
        )  # fmt: skip

    def _all(self) -> NDArray[np.intp]:
        """Fit all together; returns those which are to be looked at alone."""
        found, self.sigma, self.criterion, known = self.fit._together(self.Y)
        self.fixef, self.theta = found.beta, found.theta
        self.converged, self.singular = found.converged & known, found.singular & known
        scale = np.where(np.isnan(self.sigma), 1.0, self.sigma)
        # Lambda of each term is linear in theta.
        factors = [self.fit.layout.unpack(row) for row in np.eye(self.theta.shape[1])]
        covariances = []
        for by_theta in zip(*factors, strict=True):
            L = np.einsum("mk,kab->mab", self.theta, np.array(by_theta)) * scale[:, None, None]
            covariances.append(L @ L.transpose(0, 2, 1))
        for p in self.parameters:
            if p.kind == "beta":
                self.named[p.name] = self.fixef[:, p.first].copy()
            elif p.kind == "sigma":
                self.named[p.name] = self.sigma.copy()
            else:
                self.named[p.name] = _entry(covariances[p.term], p)
        return np.flatnonzero(~known)

    def _one(self, number: int) -> None:
        try:
            found = self.fit.refit(self.Y[:, number])
        except MixedlabError as error:
            self.failures[number] = f"{type(error).__name__}: {error}"
            for values in (self.fixef, self.theta, self.sigma, self.criterion):
                values[number] = np.nan
            return
        self.fixef[number], self.theta[number] = found.beta, found.theta
        self.sigma[number] = np.nan if found.sigma is None else found.sigma
        self.criterion[number] = found.criterion
        self.converged[number], self.singular[number] = found.converged, found.singular
        for p in found.named_parameters:
            self.named[p.name][number] = p.estimate


def _entry(covariance: Array, p: Parameter) -> Array:
    """Standard deviation of a coefficient, or correlation of two; nan where a variance is zero."""
    first, second = np.sqrt(covariance[:, p.first, p.first]), covariance[:, p.second, p.second]
    if p.kind == "sd":
        return first
    scale = first * np.sqrt(second)
    cor = np.full(len(scale), np.nan)
    np.divide(covariance[:, p.first, p.second], scale, out=cor, where=scale > 0)
    return np.clip(cor, -1, 1)


def one_factor(terms: Sequence[RandomTerm]) -> bool:
    """Whether all terms share one grouping factor, every level of which has a row."""
    if not terms:
        return False
    first = terms[0]
    same = all(
        t.group == first.group and np.array_equal(t.index, first.index) for t in terms[1:]
    )  # fmt: skip
    return same and bool(np.bincount(first.index, minlength=first.n_levels).all())
