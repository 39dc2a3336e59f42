"""Profile intervals and parametric bootstrap against lme4, in one run; false alarms counted.

python benchmarks/inference.py            # all; writes results/inference.md
"""

import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import RSession, alternate, machine, table

import mixedlab as ml
from mixedlab.inference.intervals import bootstrap
from mixedlab.inference.replication import replicate

HERE = Path(__file__).parent
FORMULA = "Reaction ~ Days + (Days | Subject)"
R_SETUP = """
library(lme4);
d <- read.csv('{path}'); d$Subject <- factor(d$Subject);
m <- lmer(Reaction ~ Days + (Days | Subject), d, REML = FALSE);
statistic <- function(f) c(fixef(f), getME(f, 'theta'), sigma(f))
"""


def speed() -> list[list[object]]:
    """Rows of the table of times: sleepstudy, the contestants of each job taking turns."""
    data = ml.load("sleepstudy")
    fit = ml.lmm(FORMULA, data, reml=False)
    path = HERE / "results" / "_sleepstudy.csv"
    data.to_csv(path, index=False)

    def refits(executor=None) -> None:
        bootstrap(fit, 1000, seed=1, executor=executor, progress=False)

    def refits_here() -> None:
        with ThreadPoolExecutor(1) as one:
            refits(one)

    def profiles() -> None:
        fit.confint(method="profile")

    try:
        with RSession() as r:
            r.run(R_SETUP.format(path=path))
            profile = alternate(
                {"ours": profiles, "lme4": r.contestant("invisible(confint(m, quiet = TRUE))")},
                repeats=7,
            )
            boot = alternate(
                {
                    "ours": refits,
                    "one": refits_here,
                    "lme4": r.contestant("invisible(bootMer(m, statistic, nsim = 1000, seed = 1))"),
                },
                repeats=3,
                warm_up=1,
            )
    finally:
        path.unlink()
    jobs = [
        ("profile intervals of all 6 parameters", profile["ours"], profile["lme4"]),
        ("parametric bootstrap of 1000 refits", boot["ours"], boot["lme4"]),
        ("the same in one process", boot["one"], boot["lme4"]),
    ]
    return [[name, ours, theirs, f"{theirs / ours:.1f}"] for name, ours, theirs in jobs]


def alarms_of(formula: str, data: pd.DataFrame, **kw) -> dict[str, bool]:
    """Fit and diagnose; what warned, what was found."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = ml.lmm(formula, data, **kw)
        found = {f.kind for f in ml.diagnose(fit)}
    return {
        "warned": bool(caught),
        "not converged": not fit.converged,
        "singular": fit.singular,
        "singular told": "singular" in found,
        "other finding": bool(found - {"singular"}),
    }


SHAPES = {
    "20 groups x 5 rows, intercept": ("y ~ x + (1 | g)", 20, 5),
    "30 groups x 8 rows, intercept and slope": ("y ~ x + (x | g)", 30, 8),
    "30 groups, 1 to 12 rows, intercept and slope": ("y ~ x + (x | g)", 30, None),
    "8 x 6 crossed, 3 rows a cell": ("y ~ x + (1 | g) + (1 | h)", 8, 18),
    "12 sites x 4 groups nested x 4 rows": ("y ~ x + (1 | h/g)", 48, 4),
}


def ordinary(shape: str, rng: np.random.Generator) -> dict[str, bool]:
    """Alarms of one simulated data set; the sds are 1, 0.7 and 0.5 of the residual's."""
    formula, J, n = SHAPES[shape]
    sizes = np.full(J, n) if n else rng.integers(1, 13, J)
    g = np.repeat(np.arange(J), sizes)
    h = np.arange(g.size) % 6 if "crossed" in shape else g // 4
    x = rng.normal(size=g.size)
    b = rng.normal(size=(J, 2)) * [1.0, 0.5]
    y = 1 + x + b[g, 0] + rng.normal(size=g.size)
    if "(x | g)" in formula:
        y += b[g, 1] * x
    if "h" in formula:
        y += 0.7 * rng.normal(size=h.max() + 1)[h]
    return alarms_of(formula, pd.DataFrame({"y": y, "x": x, "g": g, "h": h}))


def no_false_alarm() -> tuple[list[list[object]], list[str]]:
    """Alarms over the reference cases and 500 simulated data sets of ordinary shape."""
    columns = ["warned", "not converged", "other finding", "singular", "singular told"]
    cases = json.loads((HERE.parent / "tests" / "reference" / "lmm.json").read_text())
    found = [
        alarms_of(c["formula"], ml.load(c["data"]), reml=c["reml"], weights=c["weights"])
        for c in cases
    ]
    rows = [
        [f"{len(cases)} reference cases", len(cases), *(sum(f[c] for f in found) for c in columns)]
    ]
    expected = sum(bool(c["singular"]) for c in cases)
    for shape in SHAPES:
        made = replicate(partial(ordinary, shape), 100, seed=2026, progress=False).table
        rows.append([shape, len(made), *(int(made[c].sum()) for c in columns)])
    notes = [
        f"{expected} of the reference cases are singular in the reference, too. A singular fit is "
        "an estimate at the boundary: it is told by `ml.diagnose`, raises no warning and is no "
        "false alarm. 'Other finding' is anything else that `ml.diagnose` says.",
    ]
    return rows, notes


def main() -> None:
    have_r = RSession.available("lme4")
    lines = ["# After the fit: speed against lme4, and false alarms", "", f"Machine: {machine()}."]
    if have_r:
        lines += ["", "## sleepstudy, intercept and slope by subject, maximum likelihood", ""]
        lines += table(["job", "mixedlab (s)", "lme4 (s)", "times faster"], speed())
        lines += [
            "",
            "All took turns in one run; medians. `ml.replicate` uses a pool of processes by "
            "default, lme4's `bootMer` one process.",
        ]
    else:
        lines += ["", "No `Rscript` with lme4 here: the comparison was left out."]
    rows, notes = no_false_alarm()
    lines += ["", "## False alarms", ""]
    header = ["data sets", "fits", "warned", "not converged", "other finding", "singular", "told"]
    lines += table(header, rows)
    for note in notes:
        lines += ["", note]
    (HERE / "results" / "inference.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
