"""The linear mixed model written out with n x n matrices: slow, and plainly right."""

import numpy as np


def indicator(term):
    """The n x (J q) matrix Z, columns level by level."""
    n, q = term.Z.shape
    out = np.zeros((n, term.n_levels * q))
    for i in range(n):
        out[i, term.index[i] * q : (term.index[i] + 1) * q] = term.Z[i]
    return out


def covariance_of_effects(terms, factors):
    """Block diagonal Lambda Lambda' over all levels of all terms."""
    size = sum(t.n_levels * t.n_coefs for t in terms)
    out, at = np.zeros((size, size)), 0
    for term, L in zip(terms, factors, strict=True):
        block = np.kron(np.eye(term.n_levels), L @ L.T)
        out[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return out


class Dense:
    """Criterion, fixed effects and predictions at given relative covariance factors."""

    def __init__(self, y, X, terms, factors, *, reml, weights=None, R=None):
        n, p = X.shape
        Z = np.hstack([indicator(t) for t in terms]) if terms else np.zeros((n, 0))
        T = covariance_of_effects(terms, factors)
        if R is None:
            R = np.eye(n) if weights is None else np.diag(1.0 / weights)
        V = R + Z @ T @ Z.T
        inverse = np.linalg.inv(V)
        S = X.T @ inverse @ X
        self.beta = np.linalg.solve(S, X.T @ inverse @ y)
        r = y - X @ self.beta
        nu = n - p if reml else n
        self.sigma2 = r @ inverse @ r / nu
        self.vcov = self.sigma2 * np.linalg.inv(S)
        logs = np.linalg.slogdet(V)[1] + (np.linalg.slogdet(S)[1] if reml else 0.0)
        self.criterion = logs + nu * (1 + np.log(2 * np.pi * self.sigma2))
        self.b = T @ Z.T @ inverse @ r
        self.b_covariance = self.sigma2 * (T - T @ Z.T @ inverse @ Z @ T)
