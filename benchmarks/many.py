"""Many data sets at once against one after the other, in one run: ``python benchmarks/many.py``.

Both roads start from the same simulated responses (the bootstrap from the fit) and end with the
estimates of all. One after the other is timed on fewer data sets and counted up. Processor time of
one thread, as a bootstrap runs on one core.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import Contestant, RSession, alternate, write_table

import mixedlab as ml
from mixedlab.engine.families import family
from mixedlab.engine.many_marginal import many_marginal
from mixedlab.engine.random_families import random_family
from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.intervals import _all_parameters, bootstrap
from mixedlab.models.gee.model import fit_marginal
from mixedlab.models.generalized import fit_generalized
from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood
from mixedlab.models.hglm.many import many_h_likelihood
from mixedlab.models.linear import fit_linear

SLOPES = "Reaction ~ Days + (Days | Subject)"


def counted_up(one: Callable[[int], Any], some: int, all_of_them: int) -> Contestant:
    """A contestant that does ``some`` data sets and reports the seconds for all."""

    def work() -> float:
        start = time.process_time()
        for k in range(some):
            one(k)
        return (time.process_time() - start) * all_of_them / some

    return work


def refits(fit: Any, m: int, some: int) -> dict[str, Contestant]:
    """Refits to responses that the fit simulates."""
    Y = fit.simulate(m, seed=1).T
    return {
        "at once": lambda: fit.refit_many(Y),
        "one by one": counted_up(lambda k: fit.refit(Y[:, k]), some, m),
    }


def grouped(rows: int, groups: int, slopes: bool = False) -> tuple[np.ndarray, RandomTerm]:
    """Columns of a covariate and a term of an intercept, or of both, by groups of equal size."""
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(rows), rng.normal(size=rows)])
    g = np.repeat(np.arange(groups), rows // groups)
    return X, RandomTerm.from_arrays(g, X if slopes else X[:, :1])


def linear(rows: int, groups: int) -> Any:
    """A random intercept of half the residual's standard deviation."""
    X, term = grouped(rows, groups)
    rng = np.random.default_rng(2)
    y = X @ [1.0, 2.0] + 0.5 * rng.normal(size=groups)[term.index] + rng.normal(size=rows)
    return fit_linear(y, X, [term])


def generalised(name: str, rows: int, groups: int, nagq: int, slopes: bool = False) -> Any:
    """Effects of standard deviation 1 (slopes: 0.5) on the scale of the family's own link."""
    X, term = grouped(rows, groups, slopes)
    rng, made = np.random.default_rng(3), family(name)
    b = rng.normal(size=(groups, term.n_coefs)) * [1.0, 0.5][: term.n_coefs]
    eta = X @ [-0.3, 0.5] + (term.Z * b[term.index]).sum(1)
    return fit_generalized(made.draw(rng, made.link.mu(eta)), X, [term], family=made, nagq=nagq)


def marginal(m: int, some: int) -> dict[str, Contestant]:
    """Estimating equations of 100 patients with seven planned visits, 0/1."""
    rng = np.random.default_rng(4)
    X = np.tile(np.column_stack([np.ones(7), np.linspace(0, 1, 7)]), (100, 1))
    index = np.repeat(np.arange(100), 7)
    eta = X @ [1.0, -4.0] + 2 * rng.normal(size=(m, 100))[:, index]
    Y = (rng.random((m, 700)) < 1 / (1 + np.exp(-eta))).astype(float).T
    return {
        "at once": lambda: many_marginal(Y, X, index, family="binomial"),
        "one by one": counted_up(
            lambda k: fit_marginal(Y[:, k], X, index, family="binomial"), some, m
        ),
    }


def hierarchical(m: int, some: int) -> dict[str, Contestant]:
    """Counts of 48 groups of four rows with gamma effects, by h-likelihood."""
    X, term = grouped(192, 48)
    rng, poisson, gamma = np.random.default_rng(5), family("poisson"), random_family("gamma")
    effects = rng.gamma(2.0, 0.5, size=(48, m))[term.index]
    Y = rng.poisson(np.exp(X @ [1.6, -0.4])[:, None] * effects).astype(float)

    def one(k: int) -> Any:
        return fit_h_likelihood(
            HierarchicalData(
                y=Y[:, k], X=X, terms=[term], family=poisson, random=[gamma],
                weights=np.ones(192), offset=np.zeros(192), dispersion_X=np.ones((192, 1)),
                random_dispersion_X=[np.ones((48, 1))], phi_known=True,
            )
        )  # fmt: skip

    return {
        "at once": lambda: many_h_likelihood(Y, X, term.index, poisson, gamma),
        "one by one": counted_up(one, some, m),
    }


def intervals(fit: Any, m: int, some: int) -> dict[str, Contestant]:
    """Bootstrap intervals, draws and table included."""
    alone = partial(bootstrap, fit, some, 1, _all_parameters, progress=False)

    def one_by_one() -> float:
        start = time.process_time()
        alone(executor=_Here())
        return (time.process_time() - start) * m / some

    return {
        "at once": lambda: fit.confint(method="bootstrap", n=m),
        "one by one": one_by_one,
    }


class _Here:
    """An executor that works in this process, at once."""

    def submit(self, work: Callable, *args: Any) -> Any:
        from concurrent.futures import Future

        done = Future()
        done.set_result(work(*args))
        return done


def main() -> None:
    warnings.simplefilter("ignore")
    sleep = ml.lmm(SLOPES, ml.load("sleepstudy"))
    cases = {
        "sleepstudy, slopes, 1000 refits": refits(sleep, 1000, 200),
        "sleepstudy, slopes, 1000 bootstrap replicates with intervals": intervals(sleep, 1000, 200),
        "10 000 rows x 200 groups, intercept, 1000 refits": refits(linear(10_000, 200), 1000, 100),
        "Bernoulli, 40 groups x 8 rows, Laplace, 500 refits": refits(
            generalised("binomial", 320, 40, 1), 500, 25
        ),
        "Bernoulli, 40 groups x 8 rows, 9 nodes, 500 refits": refits(
            generalised("binomial", 320, 40, 9), 500, 25
        ),
        "counts, 40 groups x 8 rows, slopes, Laplace, 500 refits": refits(
            generalised("poisson", 320, 40, 1, slopes=True), 500, 25
        ),
        "0/1, 100 patients x 7 visits, estimating equations, 500 fits": marginal(500, 50),
        "counts, 48 groups x 4 rows, gamma effects, h-likelihood, 500 fits": hierarchical(500, 25),
    }
    with_r = RSession.available("lme4")
    table, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, contestants in cases.items():
            if with_r and "bootstrap" in name:
                path = Path(folder) / "sleepstudy.csv"
                ml.load("sleepstudy").to_csv(path, index=False)
                session = RSession(clock="cpu").__enter__()
                session.run(f"library(lme4); d <- read.csv('{path}'); m <- lmer({SLOPES}, d)")
                contestants["lme4"] = session.contestant("b <- bootMer(m, fixef, nsim = 1000)")
            seconds = alternate(contestants, repeats=3, clock=time.process_time)
            ratio = seconds["one by one"] / seconds["at once"]
            table.append((name, seconds["at once"], seconds["one by one"], ratio))
            if "lme4" in seconds:
                notes.append(
                    f"lme4's bootMer takes {seconds['lme4']:.3g} s for the bootstrap: "
                    f"{seconds['lme4'] / seconds['at once']:.0f} times as long."
                )
            print(*table[-1], flush=True)
    notes.append(
        "Refits at once give estimates only; the k-th is there as a fit when it is asked for. One "
        "by one, generalised fits include their standard errors."
    )
    header = ("work", "at once, s", "one by one, s", "times as fast")
    write_table("many", "Many data sets of one design", header, table, notes)


if __name__ == "__main__":
    main()
