"""Groups of one size as rows, and the correlation of pairs."""

import numpy as np


def by_group(sim, column, size):
    return sim[column].reshape(-1, size)


def pair_correlation(a, b, mean=0.0):
    """Correlation of pairs about a known mean."""
    a, b = a - mean, b - mean
    return np.mean(a * b) / np.mean((a**2 + b**2) / 2)
