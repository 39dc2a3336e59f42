"""Contamination from negative controls: coverage and false positives.

``python benchmarks/contamination.py`` writes ``results/contamination.md``.
"""

import warnings
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from side_by_side import write_table

import mixedlab as ml

GRID = list(product((2, 8), (1, 4), (0.2, 2.0), (0.3, 1.0)))  # batches, controls, background, cv
DESIGN = (
    "20 taxa, 6 samples a batch of 20 thousand reads, controls of 10 thousand; contamination is "
    "gamma with coefficient of variation 1 between taxa; a taxon lives in 30 % of samples, with "
    "gamma rate of mean 1. `contamination` and `cv` are its mean rate (reads a thousand reads) and "
    "its variation between batches of a taxon. The raw method subtracts the batch's raw control "
    "rate and tests y against a Poisson of that mean. Errors are by data set, as rows of one share "
    "their controls."
)
READING = (
    "How to read it. Intervals cover 94.3 to 96.8 %, for taxa that are there and for taxa that "
    "are not, with one control a batch as with four. What is outside Monte Carlo error is what a "
    "flat prior does near 0: intervals of small rates start at 0 and cover more than 95 %, and "
    "the interval of an absent taxon starts above 0 in 4.8 % of cases in the limit of many reads "
    "and a known background, in less where reads are few, and in more (5.7 % at most) where the "
    "background rests on one control and varies much between batches, so that reads from it are "
    "skewed. The p-value, not the interval, is made for that question: it keeps its 5 % in every "
    "cell (3.4 to 4.4 %; counts are whole numbers, so it cannot use all of it). Subtracting the "
    "raw rate of the batch's controls finds 19 to 26 % of absent taxa with one control, 8 to 10 % "
    "with four: it takes a handful of control reads for the truth. Shrinking pays where batches "
    "differ little and control reads are few: the error of contamination falls to 0.57 of the raw "
    "one with eight batches, and stays the same where batches differ much or reads abound."
)


def study(
    rng: np.random.Generator, batches: int, controls: int, background: float, cv: float
) -> dict:
    """One data set: shares of intervals that cover and of taxa found that are not there."""
    warnings.simplefilter("ignore")
    from scipy.stats import poisson

    sim = ml.simulate.contamination(
        20, batches, 6, controls, background=background, cv_batches=cv,
        seed=int(rng.integers(2**31)),
    )  # fmt: skip
    fit = ml.contamination(*(sim[name] for name in ("reads", "taxon", "batch", "control", "depth")))
    rate = sim.truth["rate"][fit.rows]
    covers, absent = (fit.low <= rate) & (rate <= fit.high), rate == 0
    raw = fit.control_reads / fit.control_depth
    expected = raw[fit.taxon, fit.batch] * fit.depth
    naive_p = poisson(expected).sf(fit.counts - 1)
    c = sim.truth["contamination"]
    learned = fit.rate_shape / fit.rate_rate
    return {
        "present": covers[~absent].mean(),
        "absent": covers[absent].mean(),
        "false interval": (fit.low[absent] > 0).mean(),
        "false p": (fit.p_value[absent] < 0.05).mean(),
        "false raw": (naive_p[absent] < 0.05).mean(),
        "found": (fit.low[~absent] > 0).mean(),
        "error": np.sqrt(np.mean((learned - c) ** 2) / np.mean((raw - c) ** 2)),
    }


def main(n: int = 60) -> None:
    rows = []
    for cell in GRID:
        names = ("batches", "controls", "background", "cv")
        done = ml.replicate(partial(study, **dict(zip(names, cell, strict=True))), n, seed=7)
        table = pd.DataFrame(done.values.values())
        mean, error = table.mean(), table.std() / np.sqrt(len(table))

        def share(name: str, mean: pd.Series = mean, error: pd.Series = error) -> str:
            return f"{100 * mean[name]:.1f} ({100 * error[name]:.1f})"

        rows.append([
            *cell, share("present"), share("absent"), share("false interval"), share("false p"),
            share("false raw"), share("found"), f"{mean['error']:.2f}", len(done.failures),
        ])  # fmt: skip
        print(rows[-1], flush=True)
    header = ["batches", "controls a batch", "contamination", "cv",
              "coverage %, taxon present", "coverage %, absent", "interval above 0, absent %",
              "p < 0.05, absent %", "raw p < 0.05, absent %", "interval above 0, present %",
              "rms error of contamination, shrunken / raw", "failed"]  # fmt: skip
    write_table(
        "contamination", "Contamination from negative controls", header, rows,
        [f"{n} data sets a cell; Monte Carlo errors in brackets. {DESIGN}", READING],
    )  # fmt: skip


if __name__ == "__main__":
    main()
