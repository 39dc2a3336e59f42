"""Data sets for the likelihoods with random effects, and their gradients by differences."""

import numpy as np

from mixedlab.engine.families import family

FAMILIES = [
    ("binomial", "logit"), ("binomial", "probit"), ("binomial", "cloglog"), ("poisson", "log"),
    ("gamma", "log"), ("gamma", "inverse"), ("negative_binomial", "log"),
    ("beta_binomial", "logit"), ("gaussian", "log"),
]  # fmt: skip
N = 96


def sample(name, link, seed=1):
    """A family, responses, X, weights and a group label of each row."""
    rng = np.random.default_rng(seed)
    fam = family(name, link)
    g, x = rng.permutation(np.repeat(np.arange(12), 8)), rng.normal(size=N)
    shrink = 0.05 if link == "inverse" else 1.0
    X = np.column_stack([np.ones(N), shrink * x])
    eta = 0.3 + 0.4 * x + 0.5 * rng.normal(size=12)[g]
    if link == "inverse":
        eta = np.abs(eta) + 1.5
    w = rng.integers(1, 9, N).astype(float) if fam.counts_trials else rng.uniform(0.5, 2, N)
    y = fam.draw(rng, fam.link.mu(eta), w, 1.7 if fam.has_dispersion else 1.0)
    return fam, np.maximum(y, 0.05) if name == "gamma" else y, X, w, g, rng


def gradient_error(likelihood, theta, beta, log_dispersion=0.3, h=2e-5):
    """Largest difference between the gradient and central differences, relative to its size."""
    m, p = theta.size, beta.size
    at = np.concatenate([theta, beta, [log_dispersion]])

    def evaluate(point, gradient):
        phi = np.exp(point[-1]) if likelihood.family.has_dispersion else 1.0
        return likelihood(point[:m], point[m : m + p], phi, gradient)

    exact = evaluate(at, True)
    exact = np.concatenate([exact.d_theta, exact.d_beta, [exact.d_log_dispersion]])
    numeric = np.array([
        (evaluate(at + h * e, False).loglik - evaluate(at - h * e, False).loglik) / (2 * h)
        for e in np.eye(at.size)
    ])  # fmt: skip
    return np.abs(exact - numeric).max() / (1 + np.abs(exact).max())
