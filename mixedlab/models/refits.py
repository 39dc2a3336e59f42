"""One model fitted to many responses.

`Refitting` is what every mixed fit has of it: ``fit.refit_many(Y)``. A fit that knows how to fit
many responses at once says so by ``at_once``; the others are refitted one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    named: dict[str, Array]
    failures: dict[int, str]

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
        out, left = self._unfitted(Y), np.arange(Y.shape[1])
        if self.at_once and left.size:
            found, sigma, criterion, known = self._together(Y)
            converged, singular = found.converged & known, found.singular & known
            named = _named_of(found, self, sigma)
            out = replace(out, fixef=found.beta, theta=found.theta, sigma=sigma,
                          criterion=criterion, converged=converged, singular=singular,
                          named=named)  # fmt: skip
            left = np.flatnonzero(~known)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each response would be many
            for number in left:
                self._fill(out, int(number))
        return out

    def _unfitted(self, Y: Array) -> Refits:
        m, no = Y.shape[1], np.zeros(Y.shape[1], dtype=bool)
        nothing = [np.full((m, k.size), np.nan) for k in (self.beta, self.theta)]
        nothing += [np.full(m, np.nan), np.full(m, np.nan)]
        named = {p.name: np.full(m, np.nan) for p in self.named_parameters}
        return Refits(self, Y, *nothing, no, no.copy(), named, {})

    def _fill(self, out: Refits, number: int) -> None:
        """Fit to one response, and put its numbers in their places."""
        try:
            found = self.refit(out.Y[:, number])
        except MixedlabError as error:
            out.failures[number] = f"{type(error).__name__}: {error}"
            for values in (out.fixef, out.theta, out.sigma, out.criterion):
                values[number] = np.nan
            return
        out.fixef[number], out.theta[number] = found.beta, found.theta
        out.sigma[number] = np.nan if found.sigma is None else found.sigma
        out.criterion[number] = found.criterion
        out.converged[number], out.singular[number] = found.converged, found.singular
        for p in found.named_parameters:
            out.named[p.name][number] = p.estimate


def _named_of(found: Together, fit: Any, sigma: Array) -> dict[str, Array]:
    """Standard deviations, correlations, sigma and coefficients of m fits by name, (m,) each."""
    scale = np.where(np.isnan(sigma), 1.0, sigma)[:, None, None]
    # Lambda of each term is linear in theta.
    factors = [fit.layout.unpack(row) for row in np.eye(found.theta.shape[1])]
    covariances = []
    for by_theta in zip(*factors, strict=True):
        L = np.einsum("mk,kab->mab", found.theta, np.array(by_theta)) * scale
        covariances.append(L @ L.transpose(0, 2, 1))
    return {
        p.name: found.beta[:, p.first].copy() if p.kind == "beta"
        else sigma.copy() if p.kind == "sigma"
        else _entry(covariances[p.term], p)
        for p in fit.named_parameters
    }  # fmt: skip


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
