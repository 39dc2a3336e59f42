"""GEE with an exchangeable working correlation, 100 000 rows, against statsmodels and geepack.

Run: ``OMP_NUM_THREADS=1 python benchmarks/gee.py``
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import RSession, alternate, peak_memory, write_table

import mixedlab as ml

FORMULA = "y ~ x1 + x2 + time"


def clusters(n_clusters: int, seed: int = 1) -> pd.DataFrame:
    """Binary outcomes in clusters of 2 to 8 rows, correlated by a shared normal effect."""
    rng = np.random.default_rng(seed)
    size = rng.integers(2, 9, n_clusters)
    g = np.repeat(np.arange(n_clusters), size)
    time = np.concatenate([np.arange(k) for k in size]).astype(float)
    x1, x2 = rng.normal(size=g.size), rng.integers(0, 2, n_clusters)[g].astype(float)
    eta = -0.5 + 0.4 * x1 + 0.6 * x2 - 0.1 * time + rng.normal(size=n_clusters)[g]
    y = (rng.random(g.size) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "time": time, "g": g})


def main() -> None:
    import statsmodels.api as sm

    data = clusters(20_000)
    fits = {}

    def ours() -> None:
        fits["mixedlab"] = ml.gee(FORMULA, data, "g", "binomial")
        fits["mixedlab"].summary()  # robust errors are computed when they are asked for

    def theirs() -> None:
        model = sm.GEE.from_formula(
            FORMULA,
            "g",
            data,
            family=sm.families.Binomial(),
            cov_struct=sm.cov_struct.Exchangeable(),
        )
        fits["statsmodels"] = model.fit()

    contestants = {"mixedlab": ours, "statsmodels": theirs}
    with tempfile.TemporaryDirectory() as folder:
        session = RSession() if RSession.available("geepack") else None
        if session is not None:
            path = Path(folder) / "clusters.csv"
            data.to_csv(path, index=False)
            session.__enter__()
            session.run(f"library(geepack); d <- read.csv('{path}')")
            contestants["geepack"] = session.contestant(
                f"f <- geeglm({FORMULA}, id = g, data = d, family = binomial, "
                "corstr = 'exchangeable')"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds = alternate(contestants, repeats=3)
        if session is not None:
            session.__exit__()
    # The programs estimate alpha by slightly different moments; the coefficients barely feel it.
    apart = np.abs(fits["mixedlab"].coef.to_numpy() - fits["statsmodels"].params.to_numpy())
    apart = float(np.max(apart / fits["mixedlab"].se.to_numpy()))
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); from gee import *\n"
        "data = clusters(20_000); ml.gee(FORMULA, data, 'g', 'binomial')"
    )
    memory = peak_memory(code)
    rows = [
        [name, f"{taken:.3f}", f"{taken / seconds['mixedlab']:.1f}"]
        for name, taken in seconds.items()
    ]
    write_table(
        "gee",
        "Generalised estimating equations",
        ["program", "seconds", "times mixedlab's"],
        rows,
        notes=[
            f"{FORMULA}, binomial, exchangeable: {len(data)} rows in 20 000 clusters of 2 to 8 "
            "rows; robust standard errors included; median of 3 rounds.",
            f"Largest difference from statsmodels: {apart:.1e} standard errors.",
            f"Peak memory of a fresh process with mixedlab, data included: {memory:.0f} MB.",
        ],
    )


if __name__ == "__main__":
    main()
