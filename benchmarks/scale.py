"""Time and memory as tables grow: ``python benchmarks/scale.py`` writes results/scale.md and .svg.

Each point is a process of its own. Time is processor time of the fit, from formula and table;
memory is what the fit adds to the process at its peak, the table being there. A curve's slope is
that of its right end on log scales: 1 is proportional.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from generalized import binary_table
from linear import slopes
from side_by_side import RESULTS, write_table

import mixedlab as ml

ENOUGH = 2.0  # seconds of repeats, after which no other is made
SLOPES = "y ~ x + (x | g)"


def many_columns(p: int) -> tuple[str, pd.DataFrame]:
    """100 000 rows in 5 000 groups with p covariates and an intercept that varies."""
    df = slopes(100_000, 5_000)
    rng = np.random.default_rng(3)
    extra = {f"x{k}": rng.normal(size=len(df)) for k in range(1, p)}
    names = " + ".join(["x", *extra])
    return f"y ~ {names} + (1 | g)", pd.concat([df, pd.DataFrame(extra)], axis=1)


def many_factors(k: int) -> tuple[str, pd.DataFrame]:
    """100 000 rows with k crossed factors of 500 levels."""
    rng = np.random.default_rng(4)
    index = rng.integers(500, size=(k, 100_000))
    x = rng.normal(size=index.shape[1])
    y = 1 + x + sum(rng.normal(size=500)[i] for i in index) + rng.normal(size=x.size)
    columns = {f"f{j}": i for j, i in enumerate(index)}
    terms = " + ".join(f"(1 | {name})" for name in columns)
    return f"y ~ x + {terms}", pd.DataFrame({"y": y, "x": x} | columns)


@dataclass(frozen=True)
class Curve:
    """What grows, at which values, and the formula and table at each."""

    axis: str
    values: tuple[int, ...]
    make: Callable[[int], tuple[str, pd.DataFrame]]
    model: str = "lmm"


CURVES = {
    "slopes by groups of 30": Curve(
        "rows", (1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000),
        lambda n: (SLOPES, slopes(n // 30 * 30, n // 30)),
    ),
    "0/1 by groups of 20, Laplace": Curve(
        "rows", (1_000, 10_000, 100_000, 300_000, 1_000_000),
        lambda n: ("y ~ x1 + x2 + (1 | g)", binary_table(n, n // 20, False)), "glmm",
    ),
    "slopes, 300 000 rows": Curve(
        "groups", (100, 1_000, 10_000, 100_000), lambda J: (SLOPES, slopes(300_000, J))
    ),
    "intercepts, 100 000 rows x 5 000": Curve("coefficients", (2, 4, 8, 16, 32, 64), many_columns),
    "100 000 rows, 500 levels each": Curve("factors", (1, 2, 3, 4), many_factors),
}  # fmt: skip


def measure(curve: Curve, value: int) -> dict[str, float]:
    """Seconds of a fit (median), and megabytes of the table and of what the fit adds."""
    warnings.simplefilter("ignore")
    fit = getattr(ml, curve.model)
    fit(*curve.make(curve.values[0]))  # what is imported and learnt once
    formula, df = curve.make(value)
    gc.collect()
    before = _start_of_peak()
    seconds = [_seconds(lambda: fit(formula, df))]
    added = _status("VmHWM") - before
    while sum(seconds) < ENOUGH and len(seconds) < 9:
        seconds.append(_seconds(lambda: fit(formula, df)))
    table = float(df.memory_usage(index=False).sum()) / 2**20
    return {"seconds": statistics.median(seconds), "table": table, "added": added}


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _start_of_peak() -> float:
    """Forget the peak so far (Linux); megabytes now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith(name)).split()[1]) / 1024


def exponent(x: list[float], y: list[float]) -> float:
    """Slope on log scales from the nearest value that is half of the last, or less."""
    last = next(k for k in range(len(x) - 2, -1, -1) if x[-1] >= 2 * x[k] or k == 0)
    return float(np.log(y[-1] / y[last]) / np.log(x[-1] / x[last]))


def picture(found: dict[str, list[dict[str, float]]]) -> None:
    """Time above, memory below; one column for each thing that grows."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "scale", "font.size": 9}
    import matplotlib.pyplot as plt

    axes_of = list(dict.fromkeys(c.axis for c in CURVES.values()))
    figure, axes = plt.subplots(
        2, len(axes_of), figsize=(10, 5.5), sharex="col", sharey="row", layout="constrained"
    )
    for name, points in found.items():
        curve = CURVES[name]
        column, x = axes[:, axes_of.index(curve.axis)], list(curve.values)
        for axis, what in zip(column, ("seconds", "added"), strict=True):
            y = [max(point[what], 0.3 if what == "added" else 0.0) for point in points]
            slope = f"slope {exponent(x, y):.1f}"
            label = f"{name}:\n{slope}" if what == "seconds" else slope
            axis.loglog(x, y, marker="o", markersize=3, label=label)
            axis.legend(frameon=False, fontsize=7, loc="upper left").set_in_layout(False)
        column[1].set_xlabel(curve.axis)
        if x[-1] < 100:
            column[1].set_xticks(x, map(str, x))
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.minorticks_off()  # half of the file, and no help
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("megabytes added")
    axes[0, 0].set_ylim(top=60)
    axes[1, 0].set_ylim(top=3000)
    figure.savefig(RESULTS / "scale.svg", metadata={"Date": None})


def main() -> None:
    found, rows = {}, []
    for name, curve in CURVES.items():
        found[name] = []
        for value in curve.values:
            command = [sys.executable, __file__, "--one", name, str(value)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            point = json.loads(done.stdout)
            found[name].append(point)
            with_table = (point["added"] + point["table"]) / point["table"]
            rows.append([
                name, curve.axis, f"{value:,}", point["seconds"],
                f"{point['table']:.1f}", f"{point['added']:.1f}", f"{with_table:.1f}",
            ])  # fmt: skip
            print(*rows[-1], sep=" | ", flush=True)
    picture(found)
    big = found["slopes by groups of 30"][-1]
    arrays = 2 * big["table"]  # y, X and Z of two columns each, index: six numbers a row, not three
    told = [
        f"{name}: time {exponent(list(c.values), [p['seconds'] for p in found[name]]):.2f}, "
        f"memory {exponent(list(c.values), [max(p['added'], 0.1) for p in found[name]]):.2f}"
        for name, c in CURVES.items()
    ]
    notes = [
        "![Eight panels on log scales. Above seconds, below megabytes that the fit adds, against "
        "rows, groups, coefficients and factors; each curve rises as its slope in the list below "
        "says.](scale.svg)",
        "Slopes on log scales at the right end of each curve (1: proportional). "
        + "; ".join(told)
        + ".",
        f"3 000 000 rows in 100 000 groups with slopes: the fit adds {big['added']:.0f} MB to a "
        f"table of {big['table']:.0f} MB. Of y, X, Z and index ({arrays:.0f} MB), what is there at "
        f"the peak is {(big['added'] + big['table']) / arrays:.1f} times, of the table alone "
        f"{(big['added'] + big['table']) / big['table']:.1f} times.",
        "Processor time of one thread, median; each point a process of its own. *Added*: peak of "
        "resident memory above what was there with the table made; what a process has free from "
        "making the table is used again, so small figures are rough.",
    ]
    header = ["curve", "grows", "value", "seconds", "table, MB", "added, MB", "all / table"]
    write_table("scale", "Time and memory as tables grow", header, rows, notes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(CURVES[sys.argv[2]], int(sys.argv[3]))))
    else:
        main()
