"""Generalised mixed models against lme4, in one run: ``python benchmarks/generalized.py``.

Each contestant starts from its own table and formula. lme4 runs with its defaults; its R process
stays up between fits, so that neither side pays for starting.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import RSession, alternate, write_table

import mixedlab as ml

SLOPES_ELSEWHERE = 19.0  # seconds that GLMMadaptive 0.9-1 is said to take for such a fit


def binary_table(rows: int, groups: int, slopes: bool, seed: int = 1) -> pd.DataFrame:
    """0/1 responses of groups with normal intercepts (sd 1) and, if asked, slopes (sd 0.5)."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, groups, rows)
    x1, x2 = rng.normal(size=(2, rows))
    eta = -0.5 + 0.5 * x1 - 0.3 * x2 + rng.normal(size=groups)[g]
    if slopes:
        eta += 0.5 * rng.normal(size=groups)[g] * x1
    y = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "g": g})


def main() -> None:
    warnings.simplefilter("ignore")
    big, middle = binary_table(100_000, 5_000, False), binary_table(20_000, 2_000, False)
    slopes = binary_table(20_000, 2_000, True)
    verbagg = ml.load("verbagg")
    formula = "y ~ x1 + x2 + (1 | g)"
    crossed = "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)"
    cases = [
        ("Bernoulli, 100 000 rows x 5 000 groups, Laplace", big, formula, 1, 3),
        ("Bernoulli, 20 000 rows x 2 000 groups, 9 nodes", middle, formula, 9, 3),
        ("VerbAgg, 7 584 rows, 316 persons x 24 items crossed, Laplace", verbagg, crossed, 1, 3),
        ("Bernoulli, 20 000 rows x 2 000 groups, random slopes, 7 x 7 nodes", slopes,
         "y ~ x1 + x2 + (x1 | g)", 7, 3),
    ]  # fmt: skip
    with_r = RSession.available("lme4")
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, df, text, nagq, repeats in cases:
            contestants = {"mixedlab": lambda df=df, t=text, k=nagq: ml.glmm(t, df, nagq=k)}
            peer = with_r and "slopes" not in name
            if peer:
                path = Path(folder) / "data.csv"
                df.to_csv(path, index=False)
                session = RSession().__enter__()
                session.run(f"library(lme4); d <- read.csv('{path}', stringsAsFactors = TRUE)")
                contestants["lme4"] = session.contestant(
                    f"m <- glmer({text}, d, binomial, nAGQ = {nagq})"
                )
            seconds = alternate(contestants, repeats=repeats, warm_up=1)
            if peer:
                session.__exit__()
            ours = ml.glmm(text, df, nagq=nagq)
            lme4 = seconds.get("lme4")
            ratio = "-" if lme4 is None else lme4 / seconds["mixedlab"]
            rows.append([name, seconds["mixedlab"], lme4 or "-", ratio, f"{ours.loglik:.3f}"])
            if not peer and "slopes" in name:
                notes.append(
                    "lme4 has no quadrature for vector random effects. GLMMadaptive, which has, "
                    "could not be installed here; the figure known for it is of the order of "
                    f"{SLOPES_ELSEWHERE:.0f} s on another machine, "
                    f"{SLOPES_ELSEWHERE / seconds['mixedlab']:.0f} times ours. This is no ratio "
                    "of one run."
                )
    header = ["model", "mixedlab, s", "lme4, s", "times faster", "log-likelihood"]
    write_table("generalized", "Generalised mixed models", header, rows, notes)


if __name__ == "__main__":
    main()
