"""Four models of a sample's extra variation, and the way from none of it to all of it.

All are fitted as hierarchical generalised linear models, by h-likelihood. `let_in` holds the
variance of the effects at a share of its estimate: at 0 it is the plain model, at 1 the fitted one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family, family
from mixedlab.engine.fixed_likelihood import scoring
from mixedlab.engine.many_fixed import many_fixed
from mixedlab.engine.random_families import random_family
from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.responses_of_four_kinds import Fits, Fitted, Kind, Sample
from mixedlab.models.hglm.augmented_system import AugmentedSystem
from mixedlab.models.hglm.data import HierarchicalData, predictor
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood
from mixedlab.models.hglm.many import many_h_likelihood

Array = NDArray[np.float64]


@lru_cache(maxsize=64)  # letting effects in fits nothing anew, nor does a slider that goes back
def fit(sample: Sample) -> Fits:
    """Fit the plain model, an effect for each row, and two kinds of effects for each group."""
    found = [_plain(sample)]
    for key, effects in _effects_of(sample.kind).items():
        data = _data(sample, key, effects)
        got = fit_h_likelihood(data, tolerance=1e-6)  # a picture needs no more digits
        lam = 0.0 if got.singular else float(got.lam[0][0])
        se = np.sqrt(np.diag(got.vcov_beta))
        name, phi = sample.kind.name_of(key), float(got.phi[0])
        found.append(Fitted(key, name, got.beta, se, phi, data.random[0], lam))
    return Fits({model.key: model for model in found})


def let_in(sample: Sample, fits: Fits, model: Fitted, share: float) -> Fitted:
    """Return the model with its effects' variance held at a share of the estimate.

    A dispersion of the responses' own goes from the plain model's estimate to this model's by equal
    ratios, as the share goes from 0 to 1.
    """
    plain = fits.models["plain"]
    if share == 0 or model.lam == 0:
        return replace(plain, key=model.key, name=model.name)
    if share == 1:
        return model
    data = _data(sample, model.key, model.effects.name)
    system, n = AugmentedSystem(data), sample.y.size
    phi, lam = plain.phi ** (1 - share) * model.phi**share, share * model.lam
    held = np.full(n, phi), [np.full(data.terms[0].n_levels, lam)]
    beta, v = plain.beta, [np.zeros(data.terms[0].n_levels)]
    eta = predictor(data, beta, v)
    for _ in range(100):
        beta, v = system.solve(eta, v, *held, True)
        old, eta = eta, predictor(data, beta, v)
        if np.max(np.abs(eta - old)) < 1e-8:
            break
    se = np.sqrt(np.diag(system.leverage(eta, v, *held)[2]))
    return replace(model, beta=beta, se=se, phi=phi, lam=lam)


def errors_of_many(
    kind: Kind, Y: Array, X: Array, group: NDArray[np.int_]
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Fit many samples, one a column of Y, together.

    Returns by how many of its own standard errors each model's treatment effect is off, and which
    samples all models have surely settled for.
    """
    made, m = _family(kind), Y.shape[1]
    plain = many_fixed(Y, X, made, weights=float(kind.trials))
    phi = plain.pearson / (len(Y) - X.shape[1]) if kind.has_dispersion else np.ones(m)
    off = {"plain": (plain.beta[:, 2] - kind.beta[2]) / (plain.se[:, 2] * np.sqrt(phi))}
    known = plain.converged
    for key, effects in _effects_of(kind).items():
        index = np.arange(len(Y)) if key == "observation" else group
        found = many_h_likelihood(
            Y, X, index, made, random_family(effects), weights=float(kind.trials)
        )
        off[key] = (found.beta[:, 2] - kind.beta[2]) / found.se[:, 2]
        known = known & found.converged
    return off, known


def _effects_of(kind: Kind) -> dict[str, str]:
    """Family of the effects of each hierarchical model of a kind of response."""
    models = {"observation": "gaussian", "normal": "gaussian", "conjugate": kind.conjugate}
    if kind.has_dispersion:  # an effect for each row is not told apart from it
        del models["observation"]
    if kind.conjugate == "gaussian":
        del models["conjugate"]
    return models


def _plain(sample: Sample) -> Fitted:
    """Fit the generalised linear model; its dispersion, if it has one, by Pearson's statistic."""
    kind, made, weights = sample.kind, _family(sample.kind), _weights(sample)
    beta, _ = scoring(made, sample.y, sample.X, weights, np.zeros(sample.y.size))
    eta = sample.X @ beta
    residuals = (sample.y - made.link.mu(eta)) / np.sqrt(made.variance(made.link.mu(eta), weights))
    ratio = float(residuals @ residuals) / (sample.y.size - beta.size)
    phi = ratio if kind.has_dispersion else 1.0
    information = sample.X.T @ (made.fisher_weights(eta, weights)[:, None] * sample.X) / phi
    se = np.sqrt(np.diag(np.linalg.inv(information)))
    return Fitted("plain", kind.name_of("plain"), beta, se, phi=phi, pearson=ratio)


def _data(sample: Sample, key: str, effects: str) -> HierarchicalData:
    n, kind = sample.y.size, sample.kind
    index = np.arange(n) if key == "observation" else sample.group
    term = RandomTerm("group", index, tuple(range(index.max() + 1)), np.ones((n, 1)), ("1",))
    return HierarchicalData(
        y=sample.y, X=sample.X, terms=[term], family=_family(kind),
        random=[random_family(effects)], weights=_weights(sample), offset=np.zeros(n),
        dispersion_X=np.ones((n, 1)), random_dispersion_X=[np.ones((term.n_levels, 1))],
        phi_known=not kind.has_dispersion, dispersion_names=("(Intercept)",),
        random_dispersion_names=[("(Intercept)",)],
    )  # fmt: skip


def _family(kind: Kind) -> Family:
    return family(kind.family, kind.link)


def _weights(sample: Sample) -> Array:
    return np.full(sample.y.size, float(sample.kind.trials))
