"""What a test of a term says is zero: hypotheses of types I, II and III, as contrasts.

Split the columns of a model into those of the terms that come *before* (B), of the term itself (T)
and of the terms *after* (A). In a metric M, the part of T that B does not explain is

    L = M[T, :] - M[T, B] M[B, B]^-1 M[B, :],                                          (1)

zero over B, and ``L beta = 0`` is the term's hypothesis. The three types are three choices.

=====  ===============================  ================================================
type   before                           metric
=====  ===============================  ================================================
I      the terms written earlier        that of the data
II     all terms that do not contain    that of the data
       this one
III    all terms that do not contain    that of a balanced table, where every combination
       this one                         of the factors' levels is equally frequent
=====  ===============================  ================================================

Type III is so free of the coding of factors: it averages equally over the levels of what a factor
interacts with. A covariate is at 0 where another term is tested that interacts with it.

The data's metric of a linear model is ``X'X``, and a term contains another with the same covariates
and fewer factors, as in SAS and lmerTest. Of other models it is the information
``vcov(beta)^-1``, and a term contains all that it is marginal to, as in car: then (1) gives the
score of T at the best B with A at zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.fixed_terms import FixedTerm, crossed_rows, fixed_terms
from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit

Array = NDArray[np.float64]


def hypotheses(fit: Fit, kind: int, *, by_information: bool) -> dict[str, Array]:
    """Contrasts (k, p) of each term of a fit, by the term's name.

    Parameters
    ----------
    fit : Fit
    kind : {1, 2, 3}
    by_information : bool
        Take the information as the data's metric, and marginality for containing.

    Raises
    ------
    MixedlabError
        For another type; for type III where a combination of levels is empty.
    """
    if kind not in (1, 2, 3):
        raise MixedlabError(f"type is 1, 2 or 3, not {kind!r}.")
    terms = _terms_of(fit)
    data = np.linalg.inv(np.linalg.cholesky(fit.vcov_beta)) if by_information else fit.X
    inside = FixedTerm.is_marginal_to if by_information and kind == 2 else FixedTerm.is_in
    out = {}
    for place, term in enumerate(terms):
        if not term.columns:
            continue
        after = terms[place + 1 :] if kind == 1 else [t for t in terms if inside(term, t)]
        if kind == 3:
            out[term.name] = _averaged(fit, term, after, terms)
        else:
            out[term.name] = _beyond(data, term, after, range(fit.beta.size))
    return out


def _terms_of(fit: Fit) -> list[FixedTerm]:
    if fit.design is None:  # made from arrays: every column speaks for itself
        return [FixedTerm(name, (k,)) for k, name in enumerate(fit.names)]
    return fixed_terms(fit.design)


def _beyond(rows: Array, term: FixedTerm, after: list[FixedTerm], among: Iterable[int]) -> Array:
    """Equation (1) in the metric ``rows' rows``, up to a basis: rows of the triangle of a QR."""
    last = [*term.columns, *(c for other in after for c in other.columns)]
    order = [*(c for c in among if c not in last), *last]
    first = len(order) - len(last)
    triangle = np.linalg.qr(rows[:, order], mode="r")
    out = np.zeros((len(term.columns), rows.shape[1]))
    out[:, order] = triangle[first : first + len(out)]
    return out


def _averaged(fit: Fit, term: FixedTerm, after: list[FixedTerm], terms: list[FixedTerm]) -> Array:
    """Type III: equation (1) in a balanced table of the factors that the term interacts with."""
    p = fit.beta.size
    if not after:
        return np.eye(p)[list(term.columns)]
    if any(t.n_aliased for t in (term, *after)):
        raise MixedlabError(
            f"Some combinations of levels in {after[-1].name} have no row, so that there is no "
            f"equal average over them, and no test of type III of {term.name}: use type=2."
        )
    crossed = frozenset().union(*(t.factor_columns for t in after))
    outside = {c for t in terms if not t.factor_columns <= crossed for c in t.columns}
    among = [c for c in range(p) if c not in outside]
    return _beyond(crossed_rows(fit.design, crossed), term, after, among)
