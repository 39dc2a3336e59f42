"""Is this checkout slower than another one? ``python benchmarks/two_checkouts.py ../before``.

Each row of ``benchmarks/results`` that times mixedlab is one work here, by public names only. Two
processes of one thread, one a checkout, take turns at it, so that a change of the machine's pace
meets both; the medians of processor time and their ratio are printed, and written to
``results/two_checkouts.md`` with ``--write``. Name works to run only those that contain the word.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve()
ROUNDS = 7
SHORT = 0.05  # seconds; shorter work is repeated within a round
Work = Callable[[], object]


@cache
def works() -> dict[str, Callable[[], Work]]:
    """By name: what prepares the data and returns the work to be timed."""
    import numpy as np
    from gee import FORMULA, clusters
    from generalized import binary_table
    from kinship import families
    from linear import arrays, nested, slopes

    import mixedlab as ml
    from mixedlab.models.linear import fit_linear

    slope = "Reaction ~ Days + (Days | Subject)"

    def of_formula(model: str, formula: str, table, **options) -> Callable[[], Work]:
        def prepare() -> Work:
            df = table() if callable(table) else ml.load(table)
            return lambda: getattr(ml, model)(formula, df, **options)

        return prepare

    def of_arrays(make, *columns: str) -> Callable[[], Work]:
        def prepare() -> Work:
            given = arrays(make(), *columns)
            return lambda: fit_linear(*given)

        return prepare

    def of_sleepstudy(ask) -> Callable[[], Work]:
        def prepare() -> Work:
            fit = ml.lmm(slope, ml.load("sleepstudy"))
            return lambda: ask(fit)

        return prepare

    def grouped(kind: str, size: int, groups: int, seed: int = 1):
        import pandas as pd

        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(groups), size)
        x = rng.standard_normal(g.size)
        mean = np.exp(0.3 + 0.5 * x)
        if kind == "gamma":
            mean = mean / rng.gamma(3.0, 1 / 2.0, groups)[g]
            y = rng.gamma(5.0, mean / 5.0)
        else:
            y = rng.poisson(mean * rng.gamma(2.0, 0.5, groups)[g])
        return pd.DataFrame({"y": y, "x": x, "g": g})

    def hierarchical(kind: str, effects: str, size: int, groups: int, **options):
        return of_formula(
            "hglm",
            "y ~ x + (1 | g)",
            lambda: grouped(kind, size, groups),
            family=kind,
            random_family=effects,
            **options,
        )

    def contaminated() -> Work:
        sim = ml.simulate.contamination(40, 8, 6, 2, seed=1)
        columns = [sim[name] for name in ("reads", "taxon", "batch", "control", "depth")]
        return lambda: ml.contamination(*columns)

    def genome() -> Work:
        genotype, y = families()
        K = ml.kinship(genotype)
        return lambda: ml.gwas(y, genotype, K)

    one, two = "y ~ x1 + x2 + (1 | g)", "y ~ x1 + x2 + (x1 | g)"
    instruction = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
    verbagg = "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)"
    return {
        "linear: sleepstudy from formula": of_formula("lmm", slope, "sleepstudy"),
        "linear: sleepstudy from arrays": of_arrays(
            lambda: ml.load("sleepstudy"), "Reaction", "Days", "Subject"
        ),
        "linear: 100 000 x 5 000, slopes": of_formula(
            "lmm", "y ~ x + (x | g)", lambda: slopes(100_000, 5_000)
        ),
        "linear: 100 000 x 5 000, from arrays": of_arrays(
            lambda: slopes(100_000, 5_000), "y", "x", "g"
        ),
        "linear: 1 000 000 x 50 000, slopes": of_formula(
            "lmm", "y ~ x + (x | g)", lambda: slopes(1_000_000, 50_000)
        ),
        "linear: InstEval": of_formula("lmm", instruction, "insteval"),
        "linear: nested 100 000": of_formula(
            "lmm", "y ~ x + (1 | school / class_)", lambda: nested(100_000, 200, 5_000)
        ),
        "inference: profile of 6 parameters": of_sleepstudy(lambda f: f.confint(method="profile")),
        "inference: 100 bootstrap refits": of_sleepstudy(
            lambda f: [f.refit(y) for y in f.simulate(100, seed=1)]
        ),
        "inference: Kenward-Roger": of_sleepstudy(lambda f: f.tests(df="kenward-roger")),
        "inference: conditional AIC": of_sleepstudy(lambda f: f.caic()),
        "generalised: 100 000 x 5 000, Laplace": of_formula(
            "glmm", one, lambda: binary_table(100_000, 5_000, False)
        ),
        "generalised: 20 000 x 2 000, 9 nodes": of_formula(
            "glmm", one, lambda: binary_table(20_000, 2_000, False), nagq=9
        ),
        "generalised: VerbAgg": of_formula("glmm", verbagg, "verbagg"),
        "generalised: slopes, 7 x 7 nodes": of_formula(
            "glmm", two, lambda: binary_table(20_000, 2_000, True), nagq=7
        ),
        "gee: 20 000 clusters": of_formula(
            "gee", FORMULA, lambda: clusters(20_000), groups="g", family="binomial"
        ),
        "hierarchical: poisson-gamma": hierarchical("poisson", "gamma", 20, 5_000),
        "hierarchical: gamma-inverse gamma": hierarchical("gamma", "inverse_gamma", 20, 5_000),
        "hierarchical: poisson-normal": hierarchical("poisson", "gaussian", 10, 2_000),
        "hierarchical: poisson-gamma, h-likelihood": hierarchical(
            "poisson", "gamma", 20, 5_000, method="h-likelihood"
        ),
        "hierarchical: gamma-inverse gamma, h-likelihood": hierarchical(
            "gamma", "inverse_gamma", 20, 5_000, method="h-likelihood"
        ),
        "hierarchical: poisson-normal, h-likelihood": hierarchical(
            "poisson", "gaussian", 10, 2_000, method="h-likelihood"
        ),
        "contamination: 40 taxa, 8 batches": contaminated,
        "kinship: scan of 10 000 SNPs": genome,
    }


def serve() -> None:
    """Time works as they are named on standard input; one line of seconds each."""
    warnings.simplefilter("ignore")
    ready: dict[str, Work] = {}
    for line in sys.stdin:
        name, times = line.rstrip("\n").split("\t")
        if name not in ready:
            ready.clear()
            ready[name] = works()[name]()
            ready[name]()
        start = time.process_time()
        for _ in range(int(times)):
            ready[name]()
        print(f"SECONDS {(time.process_time() - start) / int(times)}", flush=True)


class Checkout:
    """A process that runs the works with the package of one checkout."""

    def __init__(self, folder: Path) -> None:
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(HERE), "--serve"],
            env=os.environ | one_thread | {"PYTHONPATH": f"{folder}:{folder / 'benchmarks'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, work: str, times: int) -> float:
        self.process.stdin.write(f"{work}\t{times}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("SECONDS "):
                return float(line.split()[1])
        raise RuntimeError(f"{work} failed")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(other: Path, words: list[str]) -> list[list[object]]:
    """A row a work: seconds there, seconds here, and how many times faster it is here."""
    rows = []
    for name in [w for w in works() if not words or any(word in w for word in words)]:
        there, here = Checkout(other), Checkout(HERE.parents[1])
        rough = here.seconds(name, 1)
        there.seconds(name, 1)
        times = max(1, round(SHORT / rough))
        taken = [(there.seconds(name, times), here.seconds(name, times)) for _ in range(ROUNDS)]
        there.close()
        here.close()
        before, after = (statistics.median(side) for side in zip(*taken, strict=True))
        ratio = statistics.median(b / a for b, a in taken)
        rows.append([name, f"{before:.4f}", f"{after:.4f}", f"{ratio:.2f}"])
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("works", nargs="*", help="only works with one of these words")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rows = compare(asked.other.resolve(), asked.works)
    if asked.write:
        from side_by_side import write_table

        header = ["work", "before, s", "now, s", "times faster"]
        write_table("two_checkouts", "Two versions in one run", header, rows, [])


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
