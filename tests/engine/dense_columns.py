"""Columns of three factors, and their matrices written out in the order of elimination."""

import numpy as np

from mixedlab.engine.terms import Layout, RandomTerm


def columns(seed=0, n=60):
    """Three factors, one nested in another and one crossed with both, some with slopes."""
    rng = np.random.default_rng(seed)
    small, x = rng.integers(0, 12, n), rng.normal(size=n)
    X = np.column_stack([np.ones(n), x])
    terms = [
        RandomTerm.from_arrays(small, X, group="small"),
        RandomTerm.from_arrays(small // 3, group="large"),
        RandomTerm.from_arrays(rng.integers(0, 5, n), X, group="other"),
    ]
    return Layout.of(terms), terms, X, rng


def whole(plan, layout, terms, by_factor):
    """Z (n, n_columns) in the plan's order, and T."""
    Z = np.zeros((terms[0].index.size, plan.n_columns))
    T = np.zeros((plan.n_columns,) * 2)
    for f, factor in enumerate(layout.factors):
        term = terms[factor.terms[0]]
        for k in range(factor.n_coefs):
            Z[np.arange(len(Z)), plan.columns_of(f, k)[term.index]] = term.Z[:, k]
            for m in range(factor.n_coefs):
                cov = (by_factor[f] @ by_factor[f].T)[k, m]
                T[plan.columns_of(f, k), plan.columns_of(f, m)] = cov
    return Z, T
