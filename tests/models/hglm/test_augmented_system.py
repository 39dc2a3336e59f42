"""The augmented regression against the dense one."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.models.hglm.augmented_system import AugmentedSystem
from mixedlab.models.hglm.data import predictor
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood


def test_eliminating_a_factor_changes_nothing():
    """The dense augmented regression, written out, gives the same step and hat values."""

    fit = ml.hglm(
        "Mate ~ TypeF * TypeM + (1 | Female) + (1 | Male)", ml.load("salamander_mating"),
        family="binomial", random_family=["gaussian", "beta"], method="h-likelihood",
    )  # fmt: skip
    data, by_h = fit.data, fit_h_likelihood(fit.data)
    Z = [t.index[:, None] == np.arange(t.n_levels) for t in data.terms]
    K = sum(z.shape[1] for z in Z)
    p = data.X.shape[1]
    T = np.block([[data.X, *Z], [np.zeros((K, p)), np.eye(K)]])
    w2 = [k.augmented_curvature(v) / k.scale(l)
          for k, v, l in zip(data.random, by_h.b, by_h.lam, strict=True)]  # fmt: skip
    eta = predictor(data, by_h.beta, by_h.b)
    w = np.concatenate([data.family.fisher_weights(eta, data.weights), *w2])
    inverse = np.linalg.inv(T.T @ (T * w[:, None]))
    hat = w * np.einsum("ij,jk,ik->i", T, inverse, T)
    rows, effects, vcov, sd = AugmentedSystem(data).leverage(eta, by_h.b, by_h.phi, by_h.lam)
    assert rows == pytest.approx(hat[: rows.size])
    assert np.concatenate(effects) == pytest.approx(hat[rows.size :])
    assert vcov == pytest.approx(inverse[:p, :p])
    assert np.concatenate(sd) == pytest.approx(np.sqrt(np.diag(inverse))[p:])
