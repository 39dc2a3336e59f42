"""Do ordinary data ever raise a warning? ``python benchmarks/generalized_alarms.py``."""

import warnings

import numpy as np
from side_by_side import write_table

from mixedlab.engine.terms import RandomTerm
from mixedlab.models.generalized import fit_generalized


def ordinary(kind: str, seed: int) -> tuple:
    """15 to 80 groups of 5 to 25 rows, sd between 0.2 and 1.2."""
    rng = np.random.default_rng(seed)
    J, m = rng.integers(15, 81), rng.integers(5, 26)
    g, x = np.repeat(np.arange(J), m), rng.normal(size=J * m)
    b = rng.uniform(0.2, 1.2) * rng.normal(size=J)
    eta = rng.uniform(-1, 1) + 0.4 * x + b[g]
    if kind == "binomial":
        y = (rng.random(J * m) < 1 / (1 + np.exp(-eta))).astype(float)
    else:
        y = rng.poisson(np.exp(eta)).astype(float)
    return y, np.column_stack([np.ones(J * m), x]), [RandomTerm.from_arrays(g)]


def main(n: int = 250) -> None:
    rows = []
    for kind in ("binomial", "poisson"):
        warned = stopped = failed = singular = 0
        for seed in range(n):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    fit = fit_generalized(*ordinary(kind, seed), family=kind)
                except ValueError:
                    failed += 1
                    continue
            warned += bool(caught)
            stopped += not fit.converged
            singular += fit.singular
        rows.append([kind, n, warned, stopped, failed, singular])
    header = ["family", "data sets", "warned", "not converged", "no fit", "variance 0"]
    notes = ["15 to 80 groups of 5 to 25 rows, sd of the groups between 0.2 and 1.2; Laplace."]
    write_table("generalized_alarms", "False alarms of generalised models", header, rows, notes)


if __name__ == "__main__":
    main()
