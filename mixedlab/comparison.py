"""Compare nested mixed models by likelihood ratio, with the boundary taken seriously.

A variance cannot be negative. Where the smaller model sets one to zero, the ratio is half the
time smaller than chi-squared says: with one new random coefficient that brings k covariances
the reference is an equal mixture of chi-squared with k and k + 1 degrees of freedom.

References
----------
Self & Liang (1987), J. Am. Stat. Assoc. 82, 605-610; Stram & Lee (1994), Biometrics 50,
1171-1177.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError, listed
from mixedlab.inference.contract import MixedModel, refuse
from mixedlab.inference.replication import most_at_once, only_own_warnings, replicate
from mixedlab.inference.reporting import Report, Summary

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Comparison(Report):
    """A likelihood-ratio test of two nested fits.

    Attributes
    ----------
    chisq : float
        Deviance of the smaller model less that of the larger.
    df : int
        Number of parameters between them.
    p : float
        By the reference that is right: chi-squared, or the mixture at the boundary.
    p_naive : float
        By plain chi-squared with ``df`` degrees of freedom, whatever the boundary.
    mixture : tuple of (float, int)
        Weights and degrees of freedom of the reference; one pair for plain chi-squared.
    note : str
        What the reference is and why, in words.
    table : DataFrame
        Both models: formula, n_params, loglik, aic, bic.
    """

    chisq: float
    df: int
    p: float
    p_naive: float
    mixture: tuple[tuple[float, int], ...]
    note: str
    table: pd.DataFrame

    def summary(self) -> Summary:
        """The test and both models."""
        lines = [
            f"Likelihood ratio {self.chisq:.4f}, {self.df} parameters between, p = {self.p:.4g}",
            self.note,
        ]
        return Summary("Comparison of nested models", lines, {"Models": self.table})


@dataclass(frozen=True, repr=False)
class Comparisons(Report):
    """Likelihood-ratio tests of a chain of nested fits, each against the next smaller one.

    Attributes
    ----------
    steps : tuple of Comparison
        From the smallest pair to the largest.
    table : DataFrame
        One row a model: formula, n_params, loglik, aic, bic; chisq, df, p of the step to it.
    """

    steps: tuple[Comparison, ...]
    table: pd.DataFrame

    def summary(self) -> Summary:
        """All models, and what each step is referred to."""
        notes = [f"Step to model {k}: {step.note}" for k, step in enumerate(self.steps, 2)]
        return Summary("Comparison of nested models", notes, {"Models": self.table})


def compare(
    *fits: MixedModel, bootstrap: int = 0, seed: int = 1, executor: Executor | None = None
) -> Comparison | Comparisons:
    """Likelihood-ratio tests of nested fits to the same data, in any order.

    Parameters
    ----------
    *fits : MixedModel
        Two; or more, each then tested against the next smaller one.
    bootstrap : int
        With a number, ``p`` is the share of so many ratios, simulated from the smaller model,
        that are as large (add one to both counts): exact up to simulation, needed where several
        variances are zero at once.
    seed, executor
        Of the simulation, as in ``ml.replicate``.

    Returns
    -------
    Comparison
        Of two fits; of more `Comparisons`, whose ``table`` has a row a model.

    Raises
    ------
    MixedlabError
        Fits to different rows or responses or of different families; REML fits with different
        fixed effects, or REML against ML; models that are not nested.

    Examples
    --------
    >>> import mixedlab as ml
    >>> df = ml.load("sleepstudy")
    >>> small = ml.lmm("Reaction ~ Days + (1 | Subject)", df)
    >>> large = ml.lmm("Reaction ~ Days + (Days | Subject)", df)
    >>> test = ml.compare(small, large)
    >>> f"chisq {test.chisq:.2f}, df {test.df}, p {test.p:.1e}"
    'chisq 42.84, df 2, p 2.8e-10'
    """
    import pandas as pd

    if len(fits) < 2:
        raise MixedlabError("Give at least two fits to compare.")
    for fit in fits:
        refuse(fit, "comparison")
    chain = sorted(fits, key=lambda fit: fit.n_params)
    steps = tuple(_two(small, large, bootstrap, seed, executor) for small, large in pairwise(chain))
    if len(steps) == 1:
        return steps[0]
    table = _models(chain, range(1, len(chain) + 1)).rename_axis("model")
    for name in ("chisq", "df", "p"):
        table[name] = pd.Series([getattr(step, name) for step in steps], index=table.index[1:])
    return Comparisons(steps, table)


def _two(
    small: MixedModel, large: MixedModel, bootstrap: int, seed: int, executor: Executor | None
) -> Comparison:
    from scipy import stats

    _refuse_incomparable(small, large)
    df = large.n_params - small.n_params
    n_new = _new_coefficients(small, large)
    chisq = _ratio(small, large)
    mixture, note = _reference(df, n_new)
    p = sum(w * float(stats.chi2.sf(chisq, k)) if k else w * (chisq <= 0) for w, k in mixture)
    if bootstrap:
        alone = small.without_table(), large.without_table()
        together = small.at_once and large.at_once
        study = _RatiosAtOnce(*alone) if together else partial(_ratio_once, *alone)
        with only_own_warnings():
            ratios = replicate(study, bootstrap, seed, executor, progress=False).table["value"]
        p = float((np.sum(ratios >= chisq) + 1) / (len(ratios) + 1))
        note = f"Reference: {len(ratios)} ratios simulated from the smaller model."
    table = _models((small, large), ("smaller", "larger"))
    return Comparison(chisq, df, p, float(stats.chi2.sf(chisq, df)), mixture, note, table)


def _models(fits: Sequence[MixedModel], labels: Iterable[Any]) -> pd.DataFrame:
    import pandas as pd

    columns = ["formula", "n_params", "loglik", "aic", "bic"]
    rows = [(fit.formula, fit.n_params, fit.loglik, fit.aic, fit.bic) for fit in fits]
    return pd.DataFrame(rows, columns=columns, index=list(labels))


@dataclass(frozen=True)
class _RatiosAtOnce:
    """Ratios of responses simulated from the smaller model, many fitted together."""

    small: MixedModel
    large: MixedModel

    @property
    def at_once(self) -> int:
        return most_at_once(self.small.n_obs)

    def __call__(self, rng: np.random.Generator) -> float:
        return _ratio_once(self.small, self.large, rng)

    def many(self, generators: Sequence[np.random.Generator]) -> list[float | Exception]:
        Y = self.small.draw_many(generators)
        small, large = self.small.refit_many(Y), self.large.refit_many(Y)
        reasons = small.failures | large.failures
        ratios = _fall(small.criterion, large.criterion).tolist()
        return [MixedlabError(reasons[k]) if k in reasons else r for k, r in enumerate(ratios)]


def _ratio_once(small: MixedModel, large: MixedModel, rng: np.random.Generator) -> float:
    y = small.draw(rng)
    return _ratio(small.refit(y), large.refit(y))


def _ratio(small: MixedModel, large: MixedModel) -> float:
    """Fall of the deviance; what the minimisers leave open is no fall."""
    return float(_fall(small.criterion, large.criterion))


def _fall(small: ArrayLike, large: ArrayLike) -> Array:
    ratio = np.subtract(small, large)
    left_open = 1e-7 * np.maximum(1.0, 1e-3 * np.abs(small))
    return np.where(ratio > left_open, ratio, 0.0)


def _reference(df: int, n_new: int) -> tuple[tuple[tuple[float, int], ...], str]:
    if n_new == 0:
        return ((1.0, df),), f"Reference: chi-squared with {df} degrees of freedom."
    if n_new == 1:
        return (
            ((0.5, df - 1), (0.5, df)),
            f"The smaller model sets one variance to zero, its boundary. Reference: half "
            f"chi-squared with {df - 1}, half with {df} degrees of freedom.",
        )
    return (
        ((1.0, df),),
        f"The smaller model sets {n_new} variances to zero, their boundary: chi-squared with {df} "
        "degrees of freedom gives too large a p. For an exact one use bootstrap=1000.",
    )


def _refuse_incomparable(small: MixedModel, large: MixedModel) -> None:
    if small.n_params == large.n_params:
        raise MixedlabError("Both models have the same number of parameters: none is nested.")
    one, other = small.likelihood_kind, large.likelihood_kind
    if (one.family, one.link) != (other.family, other.link):
        raise MixedlabError("The models have different families or links: they do not compare.")
    if small.terms and one.integral != other.integral:
        raise MixedlabError(
            f"The random effects were integrated out differently, {one.integral} and "
            f"{other.integral}: use the same."
        )
    if one.method != other.method:
        raise MixedlabError(
            f"One model is fitted by {one.method}, the other by {other.method}: use one method."
        )
    for group in set(one.effects) & set(other.effects):
        if one.effects[group] != other.effects[group]:
            raise MixedlabError(
                f"The effects of {group!r} are {one.effects[group]} in one model and "
                f"{other.effects[group]} in the other: neither is nested. Compare their aic."
            )
    if small.n_obs != large.n_obs or not np.array_equal(small.y, large.y):
        raise MixedlabError(
            f"The models were fitted to different rows or responses ({small.n_obs} and "
            f"{large.n_obs} rows). Leave out rows with missing values before you fit both."
        )
    known = {
        "weights": (small.weights, large.weights),
        "offset": (small.offset, large.offset),
    }
    for name, (a, b) in known.items():
        if (a is None) != (b is None) or (a is not None and not np.array_equal(a, b)):
            raise MixedlabError(f"The models have different {name}: they do not compare.")
    if small.reml != large.reml:
        raise MixedlabError("One model is fitted by REML, the other by ML: use the same.")
    if one.residual and one.residual != other.residual:
        raise MixedlabError(
            "The models are not nested: the larger one lacks the residual structure of the smaller."
        )
    if not _within(small.X, large.X):
        raise MixedlabError(
            "The models are not nested: the smaller one has fixed effects that the larger lacks. "
            "Compare their aic."
        )
    if small.reml and small.X.shape[1] != large.X.shape[1]:
        raise MixedlabError(
            "REML criteria of models with different fixed effects do not compare: fit both with "
            "reml=False."
        )


def _within(small: Array, large: Array) -> bool:
    """Whether the columns of ``small`` are combinations of those of ``large``."""
    if small.shape[1] == 0:
        return True
    scale = np.linalg.norm(large, axis=0)
    coefs = np.linalg.lstsq(large / np.where(scale > 0, scale, 1.0), small, rcond=None)[0]
    rest = small - (large / np.where(scale > 0, scale, 1.0)) @ coefs
    return bool(np.all(np.linalg.norm(rest, axis=0) <= 1e-8 * np.linalg.norm(small, axis=0)))


def _new_coefficients(small: MixedModel, large: MixedModel) -> int:
    """Number of random coefficients of the larger model that the smaller one has not.

    Raises where the smaller has one that the larger lacks.
    """
    missing = [t for t in small.terms if not any(_covers(u, t) for u in large.terms)]
    if missing:
        names = [f"({' + '.join(t.names)} | {t.group})" for t in missing]
        raise MixedlabError(
            f"The models are not nested: the larger one lacks {listed(names)}. Compare their aic."
        )
    return sum(t.n_coefs for t in large.terms) - sum(t.n_coefs for t in small.terms)


def _covers(large: RandomTerm, small: RandomTerm) -> bool:
    """Whether a term has the same groups and, as combinations, all columns of another."""
    return (
        large.n_levels == small.n_levels
        and _same_partition(large, small)
        and _within(small.Z, large.Z)
    )


def _same_partition(a: RandomTerm, b: RandomTerm) -> bool:
    pairs = a.index.astype(np.int64) * b.n_levels + b.index
    return len(np.unique(pairs)) == a.n_levels
