"""mixedlab beside other programs for mixed models, from formula and table to fit, one thread each.

    python benchmarks/peers.py                   # writes results/peers.md
    python benchmarks/peers.py crossed           # only works with this word, printed

Each program has a process of its own for each work, and they take turns. What is not installed is
left out (``pip install mixedlab[bench]`` has the Python packages; lme4 needs R). Times are
processor time, which other work on the machine disturbs least. Log-likelihoods stand beside the
times: a fast fit that is another fit is seen.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from generalized import binary_table
from linear import slopes
from side_by_side import RSession, Server, serve, write_table

import mixedlab as ml

Fit = Callable[[], float]
"""One fit (or 1 000 refits); returns its log-likelihood, nan where it is on another scale."""

LIMIT = 60.0  # seconds of a first fit, after which a program is left out of a work
MEMORY = 12  # gigabytes a process may have
SHORT = 0.05  # seconds; shorter work is repeated within a round


@dataclass(frozen=True)
class Case:
    """A table and a model. ``terms`` are the random ones as lme4 writes them, a group each."""

    table: Callable[[], pd.DataFrame]
    fixed: str
    terms: tuple[str, ...]
    nagq: int = 0  # nodes of a Bernoulli model; 0: a linear one, by REML
    boot: int = 0  # refits to simulated responses, in place of the fit

    @property
    def formula(self) -> str:
        return " + ".join([self.fixed, *(f"({term})" for term in self.terms)])

    @property
    def groups(self) -> list[str]:
        return [term.split("|")[1].strip() for term in self.terms]

    @property
    def slope(self) -> str | None:
        """The covariate whose effect varies, where there is one."""
        inside = self.terms[0].split("|")[0].strip()
        return None if inside == "1" else inside

    def data(self) -> pd.DataFrame:
        df = self.table()
        response, *used = self.fixed.replace("~", " ").replace("+", " ").split()
        return df[[response, *used, *(g for g in self.groups if g not in used)]]


def crossed(levels: int, rows: int, seed: int = 1) -> pd.DataFrame:
    """Two factors whose levels meet at random."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(levels, size=(2, rows))
    x = rng.normal(size=rows)
    y = 1 + 2 * x + rng.normal(size=levels)[a] + 0.7 * rng.normal(size=levels)[b]
    return pd.DataFrame({"y": y + rng.normal(size=rows), "x": x, "a": a, "b": b})


PROFILES = (
    "What dominates InstEval (processor time of a profile; shares of the whole): the "
    "criterion is evaluated 4 times, 70 %. Most of that is the square that is left of the "
    "crossed factors when students are eliminated: the inverse at the entries that the "
    "gradient asks for (33 %, of which the dense square's 22 %), the products and the "
    "Cholesky factors (28 %, of which the dense square's 10 %). Numbers and pattern of the "
    "elimination, made once, are 23 %, formula and table 6 %.",
    "What dominates the Bernoulli Laplace fit of 100 000 x 5 000: 17 evaluations of the "
    "likelihood, 54 %, of which Newton's steps to the modes of the 5 000 groups 24 % and the "
    "gradient 9 %; 8 of the 17 are the differences that prove the maximum and give standard "
    "errors (18 %). The check of Laplace against 7 nodes, which warns in this case, is one "
    "evaluation and 17 %; the logistic regression that it starts from 15 %, formula and table "
    "8 %.",
)
SLEEP = (lambda: ml.load("sleepstudy"), "Reaction ~ Days", ("Days | Subject",))
BINARY = ("y ~ x1 + x2", ("1 | g",))
TWO = ("y ~ x", ("1 | a", "1 | b"))
CASES = {
    "sleepstudy, slopes": Case(*SLEEP),
    "100 000 x 5 000, slopes": Case(lambda: slopes(100_000, 5_000), "y ~ x", ("x | g",)),
    "Bernoulli Laplace 100 000 x 5 000": Case(
        lambda: binary_table(100_000, 5_000, False), *BINARY, nagq=1
    ),
    "Bernoulli 9 nodes 20 000 x 2 000": Case(
        lambda: binary_table(20_000, 2_000, False), *BINARY, nagq=9
    ),
    "InstEval": Case(lambda: ml.load("insteval"), "y ~ service", ("1 | s", "1 | d", "1 | dept")),
    "crossed 5 000 x 5 000, 12 000 rows": Case(lambda: crossed(5_000, 12_000), *TWO),
    "crossed 8 000 x 8 000, 19 200 rows": Case(lambda: crossed(8_000, 19_200), *TWO),
    "sleepstudy, slopes, 1 000 refits": Case(*SLEEP, boot=1000),
    "10 000 x 200, intercepts, 1 000 refits": Case(
        lambda: slopes(10_000, 200), "y ~ x", ("1 | g",), boot=1000
    ),
}

# --- programs: each prepares its table, outside the time, and returns the fit, or None where it
# does not do the work.


def with_mixedlab(case: Case) -> Fit | None:
    df = case.data()
    if case.boot:
        fit = ml.lmm(case.formula, df)

        def refits() -> float:
            fit.refit_many(fit.simulate(case.boot, seed=1).T)
            return np.nan

        return refits
    if case.nagq:
        return lambda: ml.glmm(case.formula, df, nagq=case.nagq).loglik
    return lambda: ml.lmm(case.formula, df).loglik


def with_lme_python(case: Case) -> Fit | None:
    import lme_python
    import polars

    df = polars.from_pandas(case.data())
    if case.boot:
        fit = lme_python.lmer(case.formula, df)

        def refits() -> float:
            lme_python.boot_lmer(case.formula, df, fit, nsim=case.boot, seed=1, n_jobs=1)
            return np.nan

        return refits
    if case.nagq:
        return lambda: lme_python.glmer(case.formula, df, "binomial", case.nagq).log_likelihood
    return lambda: lme_python.lmer(case.formula, df).log_likelihood


def with_mixedlm(case: Case) -> Fit | None:
    import mixedlm

    df = case.data()
    if case.boot:
        return None
    if case.nagq:
        kind = mixedlm.families.Binomial()
        return lambda: float(
            mixedlm.glmer(case.formula, df, family=kind, nAGQ=case.nagq).logLik().value
        )
    return lambda: -mixedlm.lmer(case.formula, df).deviance / 2


def with_glmm(case: Case) -> Fit | None:
    import glmm

    df = case.data()
    if case.boot:
        return None
    if case.nagq:
        return lambda: glmm.fit(df, case.formula, "binomial", nagq=case.nagq).loglik
    return lambda: glmm.fit(df, case.formula).loglik


def with_mixedlm_rs(case: Case) -> Fit | None:
    import mixedlm_rs

    df = case.data()
    if case.boot or case.nagq or len(case.terms) > 1:
        return None
    slope = f"~{case.slope or 1}"
    return lambda: (
        mixedlm_rs.mixedlm(case.fixed, df, groups=case.groups[0], re_formula=slope).fit().llf
    )


def with_interlace(case: Case) -> Fit | None:
    import interlace

    df = case.data()
    if case.boot:
        return None
    random = [f"({t})" if t.startswith("1 |") else f"(1 + {t})" for t in case.terms]
    if case.nagq:
        return lambda: (
            interlace.glmer(case.fixed, df, "binomial", random=random, nAGQ=case.nagq).llf
        )
    return lambda: interlace.fit(case.fixed, data=df, random=random).llf


def with_gpboost(case: Case) -> Fit | None:
    import gpboost

    df = case.data()
    if case.boot or case.nagq > 1:
        return None
    response, *columns = case.fixed.replace("~", " ").replace("+", " ").split()
    groups = df[case.groups].astype(str).to_numpy(dtype=object)
    y = df[response].to_numpy(float)
    X = np.column_stack([np.ones(len(df)), *(df[c].to_numpy(float) for c in columns)])
    slopes = {}
    if case.slope:
        slopes = {"group_rand_coef_data": X[:, 1:], "ind_effect_group_rand_coef": [1]}

    def fit() -> float:
        model = gpboost.GPModel(
            group_data=groups,
            likelihood="bernoulli_logit" if case.nagq else "gaussian",
            num_parallel_threads=1,
            **slopes,
        )
        model.fit(y=y, X=X)
        return -model.get_current_neg_log_likelihood() if case.nagq else np.nan

    return fit


def with_statsmodels(case: Case) -> Fit | None:
    import statsmodels.formula.api as smf

    df = case.data()
    if case.boot or case.nagq or len(case.terms) > 1:
        return None
    slope = f"~{case.slope or 1}"
    group = case.groups[0]
    return lambda: smf.mixedlm(case.fixed, df, groups=df[group], re_formula=slope).fit().llf


PROGRAMS = {
    "mixedlab": with_mixedlab,
    "lme-python": with_lme_python,
    "mixedlm": with_mixedlm,
    "glmm": with_glmm,
    "mixedlm-rs": with_mixedlm_rs,
    "interlace-lme": with_interlace,
    "gpboost": with_gpboost,
    "statsmodels": with_statsmodels,
}
MODULES = {"lme-python": "lme_python", "mixedlm-rs": "mixedlm_rs", "interlace-lme": "interlace"}


class InR:
    """lme4 in its own process, with the face of a `Server`."""

    def __init__(self, case: Case) -> None:
        self.case, self.session, self.folder = case, RSession("cpu"), tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "d.csv"
        case.data().to_csv(path, index=False)
        run = self.session.__enter__().run
        run(f"library(lme4); d <- read.csv('{path}')")
        for name in {*case.groups} | ({"service"} & {*case.data().columns}):
            run(f"d${name} <- factor(d${name})")
        self.fit = f"m <- lmer({case.formula}, d)"
        if case.nagq:
            self.fit = f"m <- glmer({case.formula}, d, binomial, nAGQ = {case.nagq})"
        if case.boot:
            run(self.fit)
            self.fit = f"b <- bootMer(m, fixef, nsim = {case.boot})"

    def seconds(self, times: int) -> float:
        return self.session.contestant(self.fit, times)()

    def result(self) -> float:
        self.session.run("cat(format(as.numeric(logLik(m)), digits = 15), '\\n')")
        return np.nan if self.case.boot else float(self.session.printed[-1])

    @property
    def megabytes(self) -> float:
        return self.session.megabytes

    def close(self) -> None:
        self.session.__exit__()
        self.folder.cleanup()


@dataclass
class Found:
    """What came of one program at one work: seconds, or a word why there are none."""

    seconds: float = np.nan
    loglik: float = np.nan
    megabytes: float = np.nan
    word: str = ""


def start(program: str, name: str) -> Server | InR | None:
    """A process that is ready for the work, or None where the program does not do it."""
    if program == "lme4":
        return InR(CASES[name])
    one = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
    server = Server([__file__, "--serve", program, name], dict.fromkeys(one, "1"), limit=LIMIT)
    return server if server.ready else None


def run(name: str, programs: list[str]) -> dict[str, Found]:
    """All programs at one work, in turns."""
    found, alive, rough, taken = {}, {}, {}, {}
    for program in programs:
        found[program] = Found()
        try:
            server = start(program, name)
            if server is None:
                found[program].word = "does not do it"
                continue
            first = server.seconds(1)
            found[program].megabytes = server.megabytes
        except (RuntimeError, TimeoutError) as error:
            found[program].word = str(error)
            continue
        # What takes long is run once: its first fit, of which imports are a small part.
        taken[program] = [first]
        if first > 10:
            found[program].loglik = server.result()
            server.close()
        else:
            alive[program], rough[program] = server, server.seconds(1)
            taken[program] = [rough[program]]
    for turn in range(9):
        for program, server in alive.items():
            if turn < 3 or rough[program] < 0.7:
                taken[program].append(server.seconds(max(1, round(SHORT / rough[program]))))
    for program, server in alive.items():
        found[program].loglik = server.result()
        server.close()
    for program, times in taken.items():
        found[program].seconds = statistics.median(times)
    return found


def told(found: Found, ours: Found) -> str:
    """Seconds, how many times ours, and what is wrong with the fit."""
    if found.word:
        return found.word
    text = f"{found.seconds:.3g}"
    if found is ours:
        return f"{text} ({found.megabytes:.0f} MB)"
    ratio = float(f"{found.seconds / ours.seconds:.2g}")
    text += f", **{ratio:g}** ({found.megabytes:.0f} MB)"
    off = found.loglik - ours.loglik
    if np.isfinite(off) and abs(off) > 0.01:
        text += f"; log-likelihood {off:+.3g}"
    return text


def installed() -> dict[str, str]:
    """Programs that are there, with their versions."""
    there = {"mixedlab": "this checkout"}
    for name in list(PROGRAMS)[1:]:
        try:
            importlib.import_module(MODULES.get(name, name))
            there[name] = version(name)
        except (ImportError, PackageNotFoundError):
            print(f"{name} is not installed and left out", file=sys.stderr)
    if RSession.available("lme4"):
        with RSession() as r:
            r.run("cat(format(packageVersion('lme4')), '\\n')")
            there["lme4"] = r.printed[-1].strip()
    else:
        print("R with lme4 is not installed and left out", file=sys.stderr)
    return there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("works", nargs="*", help="only works with one of these words")
    words = parser.parse_args().works
    programs = installed()
    rows = []
    for name in CASES:
        if words and not any(word in name for word in words):
            continue
        found = run(name, list(programs))
        ours = found["mixedlab"]
        rows.append([name, *(told(found[p], ours) for p in programs)])
        print(*rows[-1], sep=" | ", flush=True)
    if words:
        return
    header = ["work", *(f"{name} {number}" for name, number in programs.items())]
    left = [name for name in [*PROGRAMS, "lme4"] if name not in programs]
    notes = [
        "Seconds of processor time from formula and table to fit; **bold**: how many times "
        "mixedlab's; in parentheses the peak memory of the process, table and libraries included. "
        "Medians of fits in which the programs take turns; what takes more than 10 s is run once. "
        "One thread each, processes of their own, tables in memory before the clock starts. "
        "Compare within a row: rows are run one after the other on a machine with other work.",
        "A log-likelihood is given where it is not mixedlab's to 0.01: above 0 a better fit was "
        "found, or another scale is used; below 0 a worse one. gpboost starts from arrays and "
        "fits linear models by maximum likelihood, slopes independent of intercepts: another "
        "model, whose log-likelihood is not compared. glmm's time includes Satterthwaite "
        "degrees of freedom, statsmodels' standard errors.",
        "Refits: responses simulated by the fit, the model fitted to each, estimates kept; lme4's "
        "is `bootMer` of the coefficients, lme-python's `boot_lmer`.",
    ]
    notes += PROFILES
    if left:
        notes.append("Not installed here and left out: " + ", ".join(left) + ".")
    write_table("peers", "mixedlab beside other programs", header, rows, notes)


def serve_one(program: str, name: str) -> None:
    """In a program's own process: prepare the work and time it as asked."""
    warnings.simplefilter("ignore")
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY << 30, MEMORY << 30))
    serve(lambda: PROGRAMS[program](CASES[name]))


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve_one(*sys.argv[2:])
    else:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        main()
