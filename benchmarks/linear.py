"""Linear mixed models: time and memory, side by side with lme4 and statsmodels.

    python benchmarks/linear.py            # writes benchmarks/results/linear.md

lme4 is timed where ``Rscript`` and the package are there, inside one R session that takes turns
with Python. Every contestant fits the same data; the criteria are compared too.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import RSession, alternate, looped, peak_memory, write_table

import mixedlab as ml
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.linear import fit_linear

ROWS: list[list[object]] = []
HEADER = [
    "data and model",
    "contestant",
    "seconds",
    "times mixedlab from formula",
    "times mixedlab from arrays",
    "criterion",
]
TIMERS = {"wall": time.perf_counter, "cpu": time.process_time}
OF = {"wall": "wall clock", "cpu": "processor time"}


def slopes(n: int, groups: int, seed: int = 1) -> pd.DataFrame:
    """Rows in groups of one size with an intercept and a slope that vary."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), n // groups)
    x = rng.normal(size=n)
    b = rng.normal(size=(2, groups)) * [[1.0], [0.5]]
    return pd.DataFrame(
        {"y": 1 + 2 * x + b[0, g] + b[1, g] * x + rng.normal(size=n), "x": x, "g": g}
    )


def nested(n: int, schools: int, classes: int, seed: int = 2) -> pd.DataFrame:
    """Pupils in classes in schools."""
    rng = np.random.default_rng(seed)
    c = np.repeat(np.arange(classes), n // classes)
    s = c // (classes // schools)
    x = rng.normal(size=n)
    y = 1 + 2 * x + rng.normal(size=schools)[s] + 0.7 * rng.normal(size=classes)[c]
    return pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "school": s, "class_": c})


def arrays(frame: pd.DataFrame, y: str, x: str, g: str) -> tuple:
    """What `fit_linear` takes."""
    X = np.column_stack([np.ones(len(frame)), frame[x].to_numpy(float)])
    return frame[y].to_numpy(float), X, [RandomTerm.from_arrays(frame[g].astype(str), X, group=g)]


def statsmodels(formula: str, frame: pd.DataFrame, group: str, re_formula: str):
    import statsmodels.formula.api as smf

    def fit() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return smf.mixedlm(formula, frame, groups=frame[group], re_formula=re_formula).fit()

    return fit


@contextlib.contextmanager
def r_session(
    frame: pd.DataFrame, factors: list[str], clock: str = "wall"
) -> Iterator[RSession | None]:
    """R with lme4 and the data as ``d``, or None."""
    if not RSession.available("lme4"):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, RSession(clock) as r:
        path = Path(folder) / "d.csv"
        frame.to_csv(path, index=False)
        r.run("library(lme4)")
        r.run(f"d <- read.csv('{path}')")
        for name in factors:
            r.run(f"d${name} <- factor(d${name})")
        yield r


def report(name: str, seconds: dict[str, float], criteria: dict[str, float]) -> None:
    for who, taken in seconds.items():
        times = [
            f"{taken / seconds[own]:.1f}" if own in seconds and who != own else ""
            for own in ("mixedlab, from formula", "mixedlab, from arrays")
        ]
        criterion = f"{criteria[who]:.6f}" if who in criteria else ""
        ROWS.append([name, who, f"{taken:.4f}", *times, criterion])
        print(*ROWS[-1], sep=" | ", flush=True)


def criterion_of(r: RSession, model: str) -> float:
    r.run(f"cat(format(REMLcrit({model}), digits = 15), '\\n')")
    return float(r.printed[-1])


def sleepstudy(clock: str) -> None:
    data = ml.load("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    y, X, terms = arrays(data, "Reaction", "Days", "Subject")
    timer = TIMERS[clock]
    contestants = {
        "mixedlab, from formula": looped(lambda: ml.lmm(formula, data), 20, timer),
        "mixedlab, from arrays": looped(lambda: fit_linear(y, X, terms), 50, timer),
        "statsmodels": statsmodels("Reaction ~ Days", data, "Subject", "~ Days"),
    }
    criteria = {"mixedlab, from formula": ml.lmm(formula, data).criterion}
    with r_session(data, ["Subject"], clock) as r:
        if r is not None:
            r.run(f"f <- {formula}; parts <- lFormula(f, d)")
            contestants["lme4, lmer"] = r.contestant("m <- lmer(f, d)", 10)
            contestants["lme4, from its parsed parts"] = r.contestant(
                "{dev <- do.call(mkLmerDevfun, parts); optimizeLmer(dev)}", 10
            )
        seconds = alternate(contestants, repeats=9, clock=timer)
        if r is not None:
            criteria["lme4, lmer"] = criterion_of(r, "m")
    report(f"sleepstudy, 180 rows, 18 groups, slopes ({OF[clock]})", seconds, criteria)


def one_factor_with_slopes(n: int, groups: int, *, others: bool, repeats: int = 5) -> None:
    data = slopes(n, groups)
    formula = "y ~ x + (x | g)"
    y, X, terms = arrays(data, "y", "x", "g")
    contestants = {
        "mixedlab, from formula": lambda: ml.lmm(formula, data),
        "mixedlab, from arrays": lambda: fit_linear(y, X, terms),
    }
    criteria = {"mixedlab, from formula": ml.lmm(formula, data).criterion}
    with r_session(data, ["g"]) if others else contextlib.nullcontext() as r:
        if r is not None:
            contestants["lme4, lmer"] = r.contestant("m <- lmer(y ~ x + (x | g), d)")
        seconds = alternate(contestants, repeats=repeats)
        if r is not None:
            criteria["lme4, lmer"] = criterion_of(r, "m")
    if others:
        slow = statsmodels("y ~ x", data, "g", "~ x")
        seconds |= alternate({"statsmodels (one run)": slow}, repeats=1, warm_up=0)
    report(f"slopes, {n:,} rows, {groups:,} groups", seconds, criteria)


def insteval(clock: str) -> None:
    data = ml.load("insteval")
    formula = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
    contestants = {"mixedlab, from formula": lambda: ml.lmm(formula, data)}
    criteria = {"mixedlab, from formula": ml.lmm(formula, data).criterion}
    columns = ["service", "s", "d", "dept"]
    with r_session(data[["y", *columns]], columns, clock) as r:
        if r is not None:
            contestants["lme4, lmer"] = r.contestant(f"m <- lmer({formula}, d)")
        seconds = alternate(contestants, repeats=5, clock=TIMERS[clock])
        if r is not None:
            criteria["lme4, lmer"] = criterion_of(r, "m")
    report(f"InstEval, 73,421 rows, three crossed factors ({OF[clock]})", seconds, criteria)


def three_levels() -> None:
    data = nested(100_000, 200, 5_000)
    formula = "y ~ x + (1 | school / class_)"
    contestants = {"mixedlab, from formula": lambda: ml.lmm(formula, data)}
    criteria = {"mixedlab, from formula": ml.lmm(formula, data).criterion}
    with r_session(data, ["school", "class_"]) as r:
        if r is not None:
            contestants["lme4, lmer"] = r.contestant(f"m <- lmer({formula}, d)")
        seconds = alternate(contestants, repeats=5)
        if r is not None:
            criteria["lme4, lmer"] = criterion_of(r, "m")
    report("nested, 100,000 rows in 5,000 classes in 200 schools", seconds, criteria)


def memory() -> list[str]:
    """Peak memory: of the whole process, and above what was there before the fit."""
    here = Path(__file__).parent
    lines = []
    instevals = peak_memory(
        "import mixedlab as ml\n"
        "ml.lmm('y ~ service + (1 | s) + (1 | d) + (1 | dept)', ml.load('insteval'))"
    )
    lines.append(f"Peak memory of a process that fits InstEval: {instevals:.0f} MB.")
    for n, groups in ((100_000, 5_000), (1_000_000, 50_000)):
        setup = (
            f"import sys; sys.path.insert(0, {str(here)!r})\n"
            "from linear import arrays, fit_linear, slopes\n"
            "fit_linear(*arrays(slopes(100, 10), 'y', 'x', 'g'))\n"
            "import numpy as np\n"
            f"n, J = {n}, {groups}\n"
            "from mixedlab.engine.terms import RandomTerm\n"
            "rng = np.random.default_rng(1); g = np.repeat(np.arange(J), n // J)\n"
            "X = np.ones((n, 2)); X[:, 1] = rng.normal(size=n); y = rng.normal(size=n)\n"
            "y += rng.normal(size=J)[g]\n"
            "term = RandomTerm('g', g, tuple(range(J)), X, ('(Intercept)', 'x'))\n"
        )
        before = peak_memory(setup)
        during = peak_memory(setup + "fit_linear(y, X, [term])")
        data = n * 8 * (1 + 2 + 2 + 1) / 2**20  # y, X, Z, index
        lines.append(
            f"Slopes, {n:,} rows from arrays: the fit adds {during - before:.1f} MB to its "
            f"{data:.1f} MB of data (y, X, Z, index): {(during - before) / data:.1f} times; with "
            f"the data {(during - before) / data + 1:.1f} times."
        )
    return lines


def growth() -> list[str]:
    """Time against rows and against groups, to see that it grows no faster than they do."""
    lines = ["| rows | groups | seconds from formula | evaluations |", "|---|---|---|---|"]
    sizes = [(10_000, 500), (30_000, 1_500), (100_000, 5_000), (300_000, 15_000)]
    sizes += [(1_000_000, 50_000), (1_000_000, 1_000), (1_000_000, 200_000)]
    for n, groups in sizes:
        data = slopes(n, groups)
        seconds = alternate({"": lambda d=data: ml.lmm("y ~ x + (x | g)", d)}, repeats=3)[""]
        y, X, terms = arrays(data, "y", "x", "g")
        found = fit_linear(y, X, terms).problem.minimise()
        lines.append(f"| {n:,} | {groups:,} | {seconds:.3f} | {found.n_evaluations} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    sleepstudy("wall")
    sleepstudy("cpu")
    one_factor_with_slopes(100_000, 5_000, others=True)
    insteval("wall")
    insteval("cpu")
    three_levels()
    one_factor_with_slopes(1_000_000, 50_000, others=False, repeats=3)
    curve = growth()
    notes = [
        "Medians of runs in which the contestants take turns. All fit by REML. The last column "
        "is the REML criterion: lower is better, equal means the same optimum.",
        "The machine did other work at the same time, which stretches wall-clock times: compare "
        "within a row's neighbours only. Processor time is given where the margin is narrow.",
        "## Growth\n\nIntercept and slope varying over one factor.\n\n" + "\n".join(curve),
        "## Memory\n\n" + "\n\n".join(memory()),
    ]
    write_table("linear", "Linear mixed models", HEADER, ROWS, notes)


if __name__ == "__main__":
    main()
