"""Bias, standard errors and coverage of GEE with few and many clusters, by simulation.

A cluster-randomised trial with a binary outcome: half of the clusters are treated, each cluster
has a normal effect on the logit. With treatment alone in the model the marginal log odds ratio
is exact, a difference of two integrals over the normal, so bias and coverage have a truth. All
responses to one draw of cluster sizes are fitted together; the first of them is fitted alone too,
and the study stops where the two differ.

Run: ``OMP_NUM_THREADS=1 python benchmarks/gee_coverage.py [replicates]``
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
from many_errors import robust_errors
from side_by_side import write_table

from mixedlab.engine.many_marginal import ManyMarginal, many_marginal
from mixedlab.models.gee.model import fit_marginal

EFFECT = 0.8  # conditional log odds ratio
A_DESIGN = 100  # responses to each draw of cluster sizes
KINDS = ("naive", "robust", "kauermann-carroll", "mancl-derouen")


@dataclass(frozen=True)
class Trial:
    """One cell of the grid; unequal clusters hold from half to one and a half of ``size``."""

    clusters: int
    size: int
    sd: float
    intercept: float

    def marginal_logits(self) -> np.ndarray:
        """Log odds of the outcome averaged over clusters, for control and treatment."""
        node, weight = np.polynomial.hermite_e.hermegauss(80)
        eta = self.intercept + EFFECT * np.array([[0.0], [1.0]]) + self.sd * node
        p = (1 / (1 + np.exp(-eta))) @ weight / weight.sum()
        return np.log(p / (1 - p))

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """Estimates and standard errors of each kind, a row a response that has them."""
        size = rng.integers(self.size // 2, self.size + self.size // 2 + 1, self.clusters)
        g = np.repeat(np.arange(self.clusters), size)
        x = (g % 2).astype(float)
        effects = self.sd * rng.normal(size=(self.clusters, A_DESIGN))
        eta = (self.intercept + EFFECT * x)[:, None] + effects[g]
        Y = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
        X = np.column_stack([np.ones(g.size), x])
        found = many_marginal(Y, X, g, family="binomial")
        good = found.converged  # an arm without events has no finite log odds
        found = ManyMarginal(*(part[good] for part in vars(found).values()))
        successes = np.add.reduceat(Y[:, good], np.cumsum(size) - size)
        arms = np.column_stack([np.ones(self.clusters), np.arange(self.clusters) % 2])
        errors = robust_errors(found, successes, size, arms, np.arange(self.clusters))
        out = np.column_stack([found.beta[:, 1], *(errors[kind][:, 1] for kind in KINDS)])
        check_one(Y[:, np.flatnonzero(good)[0]], X, g, out[0])
        return out


def check_one(y: np.ndarray, X: np.ndarray, g: np.ndarray, said: np.ndarray) -> None:
    """The same of one response, fitted alone."""
    fit = fit_marginal(y, X, g, family="binomial", correlation="exchangeable")
    own = [fit.beta[1], *fit.standard_errors.loc["x2", list(KINDS)]]
    np.testing.assert_allclose(said, own, rtol=1e-5, atol=1e-6)


def percent(covered: np.ndarray) -> str:
    """A share in percent and its Monte Carlo error."""
    share = covered.mean()
    return f"{100 * share:.1f} ({100 * np.sqrt(share * (1 - share) / covered.size):.1f})"


def main(n: int = 5000) -> None:
    warnings.simplefilter("ignore")
    rows, failed, start = [], 0, time.process_time()
    grid = product((10, 20, 50, 200), (6, 30), (0.5, 1.5), (0.0, -2.5))
    for clusters, size, sd, intercept in grid:
        trial = Trial(clusters, size, sd, intercept)
        rng, wanted = np.random.default_rng(7), n if clusters < 200 else n // 2
        parts = [trial(rng) for _ in range(-(-wanted // A_DESIGN))]
        outcomes, made = np.concatenate(parts), A_DESIGN * len(parts)
        failed += made - len(outcomes)
        control, treated = trial.marginal_logits()
        error = outcomes[:, 0] - (treated - control)
        covered = np.abs(error[:, None]) < 1.959963984540054 * outcomes[:, 1:]
        prevalence = 1 / (1 + np.exp(-control))
        rows.append(
            [
                clusters,
                size,
                sd,
                f"{prevalence:.2f}",
                f"{error.mean():+.4f} ({error.std() / np.sqrt(len(error)):.4f})",
                f"{error.std():.3f}",
                *(f"{outcomes[:, 1 + k].mean():.3f}" for k in (1, 3)),
                *(percent(covered[:, k]) for k in range(4)),
                made - len(outcomes),
            ]
        )
        print(*rows[-1], flush=True)
    header = ["clusters", "mean size", "sd", "prevalence", "bias (MC error)", "sd of estimates"]
    header += ["mean robust se", "mean Mancl-DeRouen se"]
    header += [f"coverage, {kind}" for kind in KINDS] + ["failed"]
    notes = [
        f"Cluster-randomised trial, binary outcome, conditional log odds ratio {EFFECT}; the truth "
        "is the marginal log odds ratio. Exchangeable working correlation, clusters of half to "
        f"one and a half times the mean size. {n} replicates a row ({n // 2} at 200 clusters), "
        f"{A_DESIGN} to each draw of cluster sizes; 95 % intervals with normal quantiles.",
        "In parentheses Monte Carlo errors, in percentage points for coverage. Prevalence is that "
        "of the control arm.",
        f"{failed} replicates failed: an arm without events, or none without, has no finite log "
        "odds ratio, and the fit says so. They are left out, which biases the rows where they "
        "are many.",
        "Read: with 10 clusters the robust interval covers 84 to 93 %, Mancl-DeRouen 92 to 98 %, "
        "Kauermann-Carroll between them; normal quantiles are too short for so few clusters. From "
        "50 clusters on all are within 2.4 points of 95 %. The effect is up to 0.08 too large with "
        "10 or 20 clusters (0.04 with 50): the small-sample bias of log odds; the replicates that "
        "failed hide some of it.",
    ]
    notes.append(f"{time.process_time() - start:.0f} s of processor time, one process.")
    write_table("gee_coverage", "GEE: bias and coverage", header, rows, notes)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
