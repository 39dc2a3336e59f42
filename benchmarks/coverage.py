"""Do the intervals and tests keep their word? Coverage and size by simulation.

    python benchmarks/coverage.py [replicates]      # writes results/coverage.md

The model is ``y = 1 + treated + 0.5 x + b_g + e`` with J groups of n rows, half of the groups
treated, x varying within groups, residual sd 1 and the between-group sd set by the ICC. A profile
interval holds the truth if, and only if, the deviance with the parameter held at the truth is at
most the squared quantile above its minimum: so one point of the profile decides.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy import optimize, stats
from side_by_side import machine, table

from mixedlab.comparison import compare
from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.denominators import Satterthwaite
from mixedlab.inference.intervals import confint
from mixedlab.inference.replication import replicate
from mixedlab.models.linear import LinearFit, fit_linear

NAMES = ("(Intercept)", "treated", "x")
BETA = np.array([1.0, 1.0, 0.5])
Z = stats.norm.ppf(0.975)
LIMIT = stats.chi2.isf(0.1, 1)  # where half of chi-squared with 1 degree of freedom leaves 5 %


def simulate(
    rng: np.random.Generator, J: int, n: int, sd: float, slope_sd: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Response, fixed-effects columns and group of each row."""
    g = np.repeat(np.arange(J), n)
    x = rng.normal(size=J * n)
    X = np.column_stack([np.ones(J * n), g % 2, x])
    y = X @ BETA + sd * rng.normal(size=J)[g] + slope_sd * rng.normal(size=J)[g] * x
    return y + rng.normal(size=J * n), X, g


def covered(J: int, n: int, icc: float, rng: np.random.Generator) -> dict[str, float]:
    """Which 95 % intervals of one data set hold the truth."""
    sd = np.sqrt(icc / (1.0 - icc))
    y, X, g = simulate(rng, J, n, sd)
    fit = fit_linear(y, X, [RandomTerm.from_arrays(g)], names=NAMES)
    off = np.abs(fit.beta - BETA)
    se = np.sqrt(np.diag(fit.vcov_beta))
    t = stats.t.ppf(0.975, Satterthwaite.of(fit).df)
    wald = confint(fit).iloc[:2].to_numpy()
    out = {"zero": float(fit.singular)}
    for k, name in ((1, "between"), (2, "within")):
        out[f"{name} wald"] = off[k] < Z * se[k]
        out[f"{name} satterthwaite"] = off[k] < t[k] * se[k]
    for k, (name, truth) in enumerate((("sd", sd), ("sigma", 1.0))):
        out[f"{name} wald"] = wald[k, 0] < truth < wald[k, 1]
    ml = fit.by_maximum_likelihood()
    truths = {"sd (Intercept) | group": ("sd", sd), "sigma": ("sigma", 1.0)}
    truths |= {"treated": ("between", 1.0), "x": ("within", 0.5)}
    for parameter in ml.named_parameters:
        if parameter.name in truths:
            name, truth = truths[parameter.name]
            out[f"{name} profile"] = rise(ml, parameter, truth) < Z**2
    return {name: float(value) for name, value in out.items()}


def rise(fit: LinearFit, parameter, truth: float) -> float:
    """Rise of the deviance with a parameter held at the truth."""
    deviance = fit.hold(parameter)
    return deviance.minimum(truth, deviance.start())[0] - fit.criterion


def boundary(
    J: int, n: int, slopes: bool, reml: bool, rng: np.random.Generator
) -> dict[str, float]:
    """p-values of the test of a random coefficient that is not there."""
    sd = 0.0 if not slopes else 1.0
    y, X, g = simulate(rng, J, n, sd)
    intercept = RandomTerm.from_arrays(g)
    both = RandomTerm.from_arrays(g, X[:, [0, 2]], names=("(Intercept)", "x"))
    if slopes:
        small, large = (fit_linear(y, X, [t], reml=reml) for t in (intercept, both))
        found = compare(small, large)
        return {"mixture": found.p, "naive": found.p_naive}
    # Against a model without random effects: least squares, by its own criterion.
    fit = fit_linear(y, X, [intercept], reml=reml)
    ratio = max(fit.deviance(np.zeros(1)) - fit.criterion, 0.0)
    ratio = ratio if ratio > 1e-7 else 0.0
    naive = float(stats.chi2.sf(ratio, 1))
    return {"mixture": 1.0 if ratio == 0 else naive / 2, "naive": naive}


def exact_size(J: int, n: int, reml: bool, limit: float) -> float:
    """Chance that the ratio for a random intercept exceeds ``limit`` in a balanced layout.

    With sums of squares A between and W within groups, on J - 2 and J n - J - 1 degrees of
    freedom, the ratio is a rising function of A / W: so its tail is one of the F distribution.
    """
    a, w = J - 2, J * n - J - 1
    m, k = (a, w) if reml else (J, J * n - J)

    def ratio(r: float) -> float:
        theta = max(1.0, r * k / m)
        return (m + k) * np.log((r + 1.0) / (r / theta + 1.0)) - m * np.log(theta)

    edge = optimize.brentq(lambda r: ratio(r) - limit, m / k, 1e3)
    return float(stats.f.sf(edge * w / a, a, w))


def profile_of_groups(J: int) -> float:
    """Coverage of the profile interval of a between-group sd when n is large.

    The J group means then have a sum of squares on J - 2 degrees of freedom about their two
    means, while maximum likelihood divides by J.
    """

    def rise(u: float) -> float:
        return J * (u - 1.0 - np.log(u)) - Z**2

    low, high = optimize.brentq(rise, 1e-9, 1.0), optimize.brentq(rise, 1.0, 100.0)
    return float(np.diff(stats.chi2.cdf(J * np.array([low, high]), J - 2))[0])


def percent(values: np.ndarray) -> str:
    """A percentage with its Monte Carlo error."""
    share = float(np.mean(values))
    error = np.sqrt(max(share * (1.0 - share), 0.25 / len(values)) / len(values))
    return f"{100 * share:.1f} ({100 * error:.1f})"


def within_by_wald(J: int, n: int, icc: float, rng: np.random.Generator) -> float:
    """Whether the Wald interval of the within-group slope holds the truth."""
    y, X, g = simulate(rng, J, n, np.sqrt(icc / (1.0 - icc)))
    fit = fit_linear(y, X, [RandomTerm.from_arrays(g)], names=NAMES)
    return float(abs(fit.beta[2] - BETA[2]) < Z * np.sqrt(fit.vcov_beta[2, 2]))


def second_look() -> list[str]:
    """Coverage of the within-group slope again, in the cells where it came out low."""
    again = []
    for J in (12, 40):
        study = partial(within_by_wald, J, 20, 0.05)
        made = replicate(study, 4000, seed=900, progress=False).table["value"]
        again.append(f"{percent(made.to_numpy())} for J = {J}")
    return again


def notes(again: list[str]) -> str:
    """Why some figures are not 95 or 5."""
    known = ", ".join(f"{100 * profile_of_groups(J):.1f} (J = {J})" for J in (6, 12, 40))
    of_t = [100 * (1 - 2 * stats.t.sf(Z, J - 2)) for J in (6, 12)]
    return f"""## What lies outside Monte Carlo error, and why

* **between, Wald**: a t statistic with about J - 2 degrees of freedom is read off the normal, which
  covers {of_t[0]:.1f} % of a t with 4 (J = 6) and {of_t[1]:.1f} % of one with 10 (J = 12).
  Satterthwaite mends it. With a small ICC the groups matter less, and Wald comes nearer to 95 %.
* **between, profile**: maximum likelihood divides by the number of groups, not by what the fixed
  effects leave of it, so the profile is as narrow as Wald for few groups.
* **within and sigma, J = 6, n = 4**: there are 24 rows; Wald and profile do not allow for so few.
* **within, n = 20, ICC 0.05**: two cells lie 2 to 3 errors below 95 % by all three methods. That
  is chance: 4000 new data sets give {", ".join(again)}.
* **sd, Wald**: data sets with an estimate of zero have no interval; they are the misses. Where few
  are zero, the intervals of small estimates are wide on the log scale, and cover too much.
* **sd, profile**: maximum likelihood takes the sd too small for few groups. When n is large the
  coverage is known: {known}. Where the
  ICC is small the interval often starts at zero, and then covers more.
* **Test of a variance**: the mixture is exact for many independent groups. For a balanced layout
  with fixed effects the chance is one of the F distribution (columns *exact*); with so few groups
  it is below 5 %, and lower by ML than by REML, since more than half of the estimates are zero
  (Crainiceanu & Ruppert, 2004, J. R. Stat. Soc. B 66, 165-185). The covariate here is nearly
  balanced between groups, so the exact figure holds up to Monte Carlo error. Plain chi-squared
  rejects half as often as it should, or less. For slopes the same holds in kind: the smaller the
  number of groups, the more often the estimate is at the boundary, and the more cautious both."""


def main() -> None:
    n_replicates = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    start = time.process_time()
    columns = [
        f"{name} {method}"
        for name in ("between", "within", "sd", "sigma")
        for method in ("wald", "satterthwaite", "profile")
        if not (name in ("sd", "sigma") and method == "satterthwaite")
    ]
    rows = []
    for J in (6, 12, 40):
        for n in (4, 20):
            for icc in (0.05, 0.3):
                study = partial(covered, J, n, icc)
                made = replicate(study, n_replicates, seed=100 + len(rows), progress=False)
                found = made.table
                cell = [percent(found[c].to_numpy()) for c in columns]
                rows.append([J, n, icc, *cell, f"{100 * found['zero'].mean():.0f} %"])
                print(rows[-1], made.n_failed, flush=True)
    sizes = []
    for what, slopes in (("intercept", False), ("slope and its covariance", True)):
        for J, n in ((6, 10), (20, 5), (50, 10)):
            for reml in (True, False):
                study = partial(boundary, J, n, slopes, reml)
                seed = 200 + len(sizes)
                made = replicate(study, 2 * n_replicates, seed=seed, progress=False).table
                rejected = [percent(made[c].to_numpy() < 0.05) for c in ("mixture", "naive")]
                for k, limit in enumerate((LIMIT, Z**2)):
                    exact = "" if slopes else f"{100 * exact_size(J, n, reml, limit):.1f}"
                    rejected.insert(2 * k + 1, exact)
                sizes.append([what, J, n, "REML" if reml else "ML", *rejected])
                print(sizes[-1], flush=True)
    lines = ["# Coverage of 95 % intervals and size of the boundary test", ""]
    lines += [f"Machine: {machine()}.", ""]
    lines += [
        f"{n_replicates} data sets a cell; percent covered, Monte Carlo error in parentheses. "
        "*between*: effect of a treatment given to whole groups. *within*: slope of a covariate "
        "that varies inside groups. *sd*: between groups. *zero*: data sets whose estimated sd is "
        "zero; they have no Wald interval of the sd, which is counted as a miss. Wald and "
        "Satterthwaite are from REML fits, profiles by maximum likelihood.",
        "",
    ]
    lines += table(["J", "n", "ICC", *columns, "zero"], rows)
    lines += ["", "## Size of the likelihood-ratio test of a variance at 5 %", ""]
    lines += [
        f"{2 * n_replicates} data sets a cell, in which the tested random coefficient is not there."
    ]
    header = ["tested", "J", "n", "fit", "mixture", "exact", "plain chi-squared", "exact"]
    lines += ["", *table(header, sizes), "", notes(second_look())]
    path = Path(__file__).parent / "results" / "coverage.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"{(time.process_time() - start):.0f} s of this process")


if __name__ == "__main__":
    main()
