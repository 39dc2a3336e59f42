"""A hierarchical generalised linear model before its fit and after: data and estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as lookup_family
from mixedlab.engine.random_families import RECIPROCAL, RandomFamily, random_family
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError, listed

if TYPE_CHECKING:
    from mixedlab.data.design import Design

Array = NDArray[np.float64]

RESPONSES = {"gaussian": "numeric", "gamma": "numeric", "poisson": "count", "binomial": "binomial"}


@dataclass
class HierarchicalData:
    """Arrays of a hierarchical model, and the model's families.

    ``dispersion_X`` (n, d) and ``random_dispersion_X`` (one (J, d) for each term) are the columns
    of the log-linear models of phi and lambda. ``phi_known`` says that phi is 1, as it is for the
    binomial and the Poisson family.
    """

    y: Array
    X: Array
    terms: Sequence[RandomTerm]
    family: Family
    random: Sequence[RandomFamily]
    weights: Array
    offset: Array
    dispersion_X: Array
    random_dispersion_X: Sequence[Array]
    phi_known: bool
    dispersion_names: Sequence[str] = ("(Intercept)",)
    random_dispersion_names: Sequence[Sequence[str]] = (("(Intercept)",),)

    @cached_property
    def lambda_unit(self) -> float:
        """What a variance of effects is measured in: 1, or with a unit the predictor's variance."""
        if self.family.link.name not in ("identity", "inverse"):
            return 1.0
        eta = self.family.link.eta(self.family.start_mu(self.y, self.weights))
        return float(np.var(eta)) or 1.0


@dataclass(frozen=True, eq=False)
class Estimates:
    """Coefficients, dispersions, effects, and how they were found.

    Attributes
    ----------
    beta : ndarray, shape (p,)
    gamma : ndarray, shape (d,)
        Coefficients of log phi; empty where phi is known.
    log_lambda : sequence of ndarray
        Coefficients of each term's log lambda.
    vcov : ndarray, shape (k, k)
        Covariance of beta, gamma and all ``log_lambda``, in that order; NaN where not known.
    phi : ndarray, shape (n,)
        Dispersion of each row.
    lam : sequence of ndarray, shape (J,)
        Lambda of each level.
    b, b_sd : sequence of ndarray, shape (J,)
        What the effects add to the linear predictor, and its conditional sd.
    u, u_sd : sequence of ndarray, shape (J,)
        Effects on their own scale.
    loglik : float
    converged, singular : bool
        Singular: some term has no variance.
    how : str
        How the likelihood was computed.
    loglik_without : float
        Highest log-likelihood without random effects; NaN where not computed.
    is_beta_binomial : bool
        The closed beta-binomial form, in which u is the group's own probability.
    n_steps : int
        Steps or evaluations.
    trouble : str
        What went wrong, in words, where it has not converged.
    """

    beta: Array
    gamma: Array
    log_lambda: Sequence[Array]
    vcov: Array
    phi: Array
    lam: Sequence[Array]
    b: Sequence[Array]
    b_sd: Sequence[Array]
    u: Sequence[Array]
    u_sd: Sequence[Array]
    loglik: float
    converged: bool
    singular: bool
    how: str
    loglik_without: float = np.nan
    is_beta_binomial: bool = False
    n_steps: int = 0
    trouble: str = ""

    @property
    def vcov_beta(self) -> Array:
        """Covariance (p, p) of the fixed effects."""
        p = self.beta.size
        return self.vcov[:p, :p]

    @property
    def n_phi(self) -> int:
        """Number of parameters of phi."""
        return self.gamma.size

    @property
    def dispersion_se(self) -> Array:
        """Standard errors of ``gamma`` and of all ``log_lambda``."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diag(self.vcov)[self.beta.size :])


def hierarchical_data(
    formula: str,
    data: Any,
    *,
    family: str,
    random: str | Sequence[str] | Mapping[str, str],
    link: str | None,
    dispersion: str | None,
    random_dispersion: str | None,
    weights: ArrayLike | str | None,
    offset: ArrayLike | str | None,
) -> tuple[Design, HierarchicalData]:
    """Evaluate the formulas of `mixedlab.hglm` and check that the families fit together."""
    from mixedlab.data.design import build_design

    name = str(family).lower()
    if name not in RESPONSES:
        raise MixedlabError(
            f"hglm has no family {family!r}. Choose one of {listed(RESPONSES)}. (A negative "
            "binomial is family='poisson' with gamma effects; a beta-binomial is "
            "family='binomial' with beta effects.)"
        )
    kind = lookup_family(name, link or ("log" if name == "gamma" else None))
    response = RESPONSES[name]
    design = build_design(formula, data, weights=weights, offset=offset, response=response)
    terms = design.terms
    kinds = _families_of_terms(random, terms, kind)
    n = design.y.size
    trials = design.trials if design.trials is not None else design.weights
    w = np.ones(n) if trials is None else np.asarray(trials, dtype=float)
    kind.check_response(design.y, w, design.rows)
    if name == "binomial" and np.all(w == 1):
        for term in terms:
            if np.bincount(term.index).max() == 1:
                raise DataError(
                    f"Each level of {term.group!r} has one response of 0 or 1: its variance "
                    "cannot be estimated. Use groups with more rows, or give numbers of trials."
                )
    D, D_names = _dispersion_columns(dispersion, "dispersion", data, design, response)
    random_D = [np.ones((t.n_levels, 1)) for t in terms]
    random_names = [("(Intercept)",) for _ in terms]
    if random_dispersion is not None:
        if len(terms) > 1:
            raise MixedlabError("`random_dispersion` is for one random term.")
        rows, names = _dispersion_columns(
            random_dispersion, "random_dispersion", data, design, response
        )
        random_D, random_names = [_one_a_level(rows, names, terms[0])], [names]
    known = dispersion is None and not kind.has_dispersion
    prepared = HierarchicalData(
        y=design.y, X=design.X, terms=terms, family=kind, random=kinds, weights=w,
        offset=np.zeros(n) if design.offset is None else design.offset, dispersion_X=D,
        random_dispersion_X=random_D, phi_known=known, dispersion_names=D_names,
        random_dispersion_names=random_names,
    )  # fmt: skip
    return design, prepared


def _families_of_terms(
    random: str | Sequence[str] | Mapping[str, str], terms: Sequence[RandomTerm], kind: Family
) -> list[RandomFamily]:
    """One family for each term, checked against the response's family and link."""
    if isinstance(random, Mapping):
        groups = {t.group for t in terms}
        if set(random) != groups:
            raise MixedlabError(
                f"random_family names {listed(random)}, but the formula's grouping factors are "
                f"{listed(sorted(groups))}: give one family for each."
            )
        chosen = [random[t.group] for t in terms]
    elif isinstance(random, (list, tuple)):
        if len(random) != len(terms):
            raise MixedlabError(
                f"random_family lists {len(random)} families for {len(terms)} random terms."
            )
        chosen = list(random)
    else:
        chosen = [random] * len(terms)
    kinds = [random_family(c, kind.link.name) for c in chosen]
    for term, u in zip(terms, kinds, strict=True):
        if term.n_coefs > 1:
            raise MixedlabError(
                f"({' + '.join(term.names)} | {term.group}) has correlated coefficients: write "
                f"'||' for uncorrelated ones, or use ml.glmm."
            )
        if u.name != "gaussian" and not np.all(term.Z == 1):
            raise MixedlabError(
                f"Effects of the {u.name} family shift a group's level, so they need (1 | "
                f"{term.group}); slopes can be gaussian."
            )
        if u is RECIPROCAL and kind.name != "gamma":
            raise MixedlabError(
                "On the inverse link, effects of the inverse_gamma family go with family='gamma', "
                f"not {kind.name!r}."
            )
        if u.name in ("gamma", "inverse_gamma") and kind.link.name != "log" and u is not RECIPROCAL:
            raise MixedlabError(
                f"Effects of the {u.name} family multiply the mean, which needs link='log', not "
                f"{kind.link.name!r}. (Of gamma responses, link='inverse' takes inverse_gamma "
                "effects too.)"
            )
        if u.name == "beta" and kind.name != "binomial":
            raise MixedlabError(
                f"Effects of the beta family go with family='binomial', not {kind.name!r}."
            )
    return kinds


def _dispersion_columns(
    formula: str | None, what: str, data: Any, design: Design, response: str
) -> tuple[Array, tuple[str, ...]]:
    """Columns of a dispersion model for the rows fitted."""
    from mixedlab.data.columns import as_frame
    from mixedlab.data.design import build_design

    if formula is None:
        return np.ones((design.y.size, 1)), ("(Intercept)",)
    text = str(formula).strip()
    if not text.startswith("~") or "|" in text:
        raise MixedlabError(f"`{what}` is {formula!r}; write it as '~ x', without random terms.")
    table = as_frame(data).iloc[design.rows]
    left = design.formula.split("~")[0]
    weights = design.weights if "cbind" in left or design.trials is None else design.trials
    made = build_design(
        f"{left}{text}", table, weights=weights, response=response, need_groups=False
    )
    if made.n_missing:
        raise DataError(f"`{what}` uses columns with missing values in {made.n_missing} rows.")
    return made.X, made.names


def _one_a_level(rows: Array, names: Sequence[str], term: RandomTerm) -> Array:
    """Columns for each level, refusing a column that varies within one."""
    first = np.unique(term.index, return_index=True)[1]
    varies = ~np.isclose(rows, rows[first[term.index]], rtol=1e-12, atol=0).all(axis=0)
    if varies.any():
        raise DataError(
            f"`random_dispersion`: {names[int(np.argmax(varies))]!r} varies within levels of "
            f"{term.group!r}; it must be constant in each."
        )
    return rows[first]


def predictor(data: HierarchicalData, beta: Array, v: Sequence[Array]) -> Array:
    """X beta + Z v + offset."""
    eta = data.X @ beta + data.offset
    for term, b in zip(data.terms, v, strict=True):
        eta = eta + term.Z[:, 0] * b[term.index]
    return eta


def phi_of(data: HierarchicalData, gamma: Array) -> Array:
    """Dispersion (n,) of each row."""
    return np.exp(data.dispersion_X @ gamma) if gamma.size else np.ones_like(data.y)


def runs_away(term: RandomTerm) -> str:
    """What it means that a lambda of inverse-gamma effects has no finite estimate."""
    return (
        f"lambda of {term.group!r} runs to infinity: its effects vary more than inverse-gamma "
        "effects can. Use random_family='gaussian'"
    )


def block_diagonal(blocks: Sequence[Array]) -> Array:
    """The square matrix with these square blocks on its diagonal."""
    ends = np.cumsum([0, *(len(b) for b in blocks)])
    out = np.zeros((ends[-1], ends[-1]))
    for start, end, block in zip(ends[:-1], ends[1:], blocks, strict=True):
        out[start:end, start:end] = block
    return out
