r"""Three tests of a treatment in J donors with n cells each, in closed form and numpy alone.

With equal numbers everywhere the REML fit of ``y ~ treated + (1 | donor)`` needs sums of squares
only, so thousands of studies are tested at once, and a page need not load scipy. Let the treated
half of the cells differ from the other half by ``d``. Each test takes some variance ``v`` of one
cell and refers

.. math:: t = d \Big/ \sqrt{4 v / (J n)}

to Student's t. What differs is where ``v`` comes from, and its degrees of freedom.

Treatment *between* donors (half of the donors are treated): with ``B`` the sum of squares of the
donor means about their arm's mean, times n, and ``W`` that of the cells about their donor's mean,

========  ==========================  ================
naive     (B + W) / (J n - 2)         J n - 2
averaged  B / (J - 2)                 J - 2
mixed     the same while              J - 2
          B / (J - 2) > W / (J n - J)
========  ==========================  ================

Treatment *within* donors (half of each donor's cells are): ``B`` is about the mean of all donors,
and ``I`` is the sum of squares of the donors' own differences about ``d``, times n / 4,

========  =============================  ================
naive     (B + I + W) / (J n - 2)        J n - 2
averaged  I / (J - 1)                    J - 1
mixed     (I + W) / (J n - J - 1)        J n - J - 1
          while it is below B / (J - 1)
========  =============================  ================

Where the condition fails, REML's variance between donors is 0 and the mixed model is the naive
one. The degrees of freedom are Satterthwaite's, which balance makes exact. "Averaged" is a t test
of the donor means, or of the donors' differences. The mixed model has a random intercept. Within
donors a random slope besides gives the test of the averages, wherever REML finds that the effect
varies.

References
----------
Searle, Casella and McCulloch (1992), Variance Components, chapter 4 (REML of balanced data).
Abramowitz and Stegun (1964), 26.7.3 and 26.7.4 (Student's t, whole degrees of freedom).
Hill (1970), "Algorithm 395: Student's t-distribution", Communications of the ACM 13.
Marsaglia and Tsang (2000), "A simple method for generating gamma variables", ACM TOMS 26.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]
Design = Literal["between", "within"]
TESTS = ("naive", "averaged", "mixed")
_SERIES_UP_TO = 200  # degrees of freedom; beyond, Hill's expansion is good to 1e-9


@dataclass(frozen=True, eq=False)
class Studies:
    """What the tests need of some studies; arrays of shape (studies,).

    ``own_differences`` (I above) is 0 where the treatment is between donors.
    """

    design: Design
    donors: int
    cells: int
    difference: Array
    between: Array
    own_differences: Array
    within: Array


def summarise(expression: Array, design: Design) -> Studies:
    """Reduce cells (studies, J, n) to sums of squares; odd donors or odd cells are treated."""
    n = expression.shape[2]
    means = expression.mean(axis=2)
    if design == "between":
        within = ((expression - means[..., None]) ** 2).sum(axis=(1, 2))
        return from_donors(design, n, means, np.zeros_like(means), within)
    halves = np.stack([expression[..., 0::2], expression[..., 1::2]])
    of_halves = halves.mean(axis=3)
    within = ((halves - of_halves[..., None]) ** 2).sum(axis=(0, 2, 3))
    return from_donors(design, n, means, of_halves[1] - of_halves[0], within)


def draw_studies(
    count: int,
    design: Design,
    donors: int,
    cells: int,
    icc: float,
    draws: Draws,
    sd_effect: float = 0.0,
) -> Studies:
    """Draw studies without effect on average, of total variance 1, by their sums of squares.

    A mean of n cells is normal, and what the cells spread about their means is chi-squared: all
    is drawn from the distribution that it has with every cell drawn. Within donors the effect may
    vary by donor, with mean 0 and ``sd_effect``.
    """
    study, donor = np.arange(count)[:, None], np.arange(donors)
    sd_donor, sd_cell = np.sqrt(icc), np.sqrt(1 - icc)
    sd_mean = sd_cell / np.sqrt(cells)
    means = sd_donor * draws.normal("study donor", study, donor)
    means += sd_mean * draws.normal("study mean", study, donor)
    differences = 2 * sd_mean * draws.normal("study difference", study, donor)
    differences += sd_effect * draws.normal("study effect", study, donor)
    free = donors * (cells - (1 if design == "between" else 2))
    within = sd_cell**2 * chi_squared(draws, free, study[:, 0])
    return from_donors(design, cells, means, differences, within)


def chi_squared(draws: Draws, df: int, index: NDArray[np.int_]) -> Array:
    """Draw chi-squared numbers, one for each index, with numpy alone.

    Marsaglia and Tsang's method: each number takes the first of eight candidates that is
    accepted. Nineteen in twenty are, so none is left over. The candidates stay when the degrees
    of freedom (at least 2) move.
    """
    d = df / 2 - 1 / 3
    tries = np.arange(8)[:, None]
    x = draws.normal("chi-squared", tries, index)
    u = draws.uniform("chi-squared accept", tries, index)
    v = (1 + x / np.sqrt(9 * d)) ** 3
    with np.errstate(invalid="ignore", divide="ignore"):
        accepted = (v > 0) & (np.log(u) < x**2 / 2 + d * (1 - v + np.log(v)))
    first = accepted.argmax(axis=0)
    return 2 * d * np.abs(v[first, np.arange(index.size)])


def from_donors(
    design: Design, cells: int, means: Array, differences: Array, within: Array
) -> Studies:
    """Summarise studies from donor means and donors' own differences (studies, J)."""
    J = means.shape[1]
    if design == "between":
        arms = means[:, 0::2], means[:, 1::2]
        between = sum(_about_mean(arm) for arm in arms)
        difference = arms[1].mean(axis=1) - arms[0].mean(axis=1)
        own = np.zeros_like(within)
    else:
        between = _about_mean(means)
        difference = differences.mean(axis=1)
        own = cells / 4 * _about_mean(differences)
    return Studies(design, J, cells, difference, cells * between, own, within)


def _about_mean(values: Array) -> Array:
    return ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)


def variances(studies: Studies) -> dict[str, tuple[Array, Array]]:
    """Return each test's variance of one cell and its degrees of freedom (module docstring)."""
    J, N = studies.donors, studies.donors * studies.cells
    B, own, W = studies.between, studies.own_differences, studies.within
    naive = (B + own + W) / (N - 2), np.full(B.shape, N - 2)
    if studies.design == "between":
        averaged = B / (J - 2), np.full(B.shape, J - 2)
        inside = averaged[0] > W / (N - J)
        mixed = averaged
    else:
        averaged = own / (J - 1), np.full(B.shape, J - 1)
        mixed = (own + W) / (N - J - 1), np.full(B.shape, N - J - 1)
        inside = mixed[0] < B / (J - 1)
    mixed = tuple(np.where(inside, m, n) for m, n in zip(mixed, naive, strict=True))
    return {"naive": naive, "averaged": averaged, "mixed": mixed}


def standard_errors(studies: Studies) -> dict[str, Array]:
    """Return the standard error of the difference that each test claims."""
    N = studies.donors * studies.cells
    return {name: np.sqrt(4 * v / N) for name, (v, _) in variances(studies).items()}


@lru_cache(maxsize=8)  # studies that a control leaves alone are not tested again
def p_values(studies: Studies) -> dict[str, Array]:
    """Return each test's two-sided p value of "no difference"."""
    se = standard_errors(studies)
    return {
        name: two_sided_p(studies.difference / se[name], df)
        for name, (_, df) in variances(studies).items()
    }


def two_sided_p(t: Array, df: NDArray[np.int_]) -> Array:
    """Return P(|T| > |t|) for Student's t with whole degrees of freedom, one for each t."""
    t, df = np.broadcast_arrays(np.abs(np.asarray(t, dtype=float)), df)
    p = np.empty(t.shape)
    for nu in np.unique(df):
        tail = _by_series if nu <= _SERIES_UP_TO else _by_hill
        p[df == nu] = tail(t[df == nu], int(nu))
    return p


def _by_series(t: Array, nu: int) -> Array:
    angle = np.arctan(t / math.sqrt(nu))
    cos2 = np.cos(angle) ** 2
    term = np.sin(angle) * (np.cos(angle) if nu % 2 else 1.0)
    inside = np.zeros_like(t)
    for k in range(nu % 2, nu - 1, 2):
        inside += term
        term = term * cos2 * (k + 1) / (k + 2)
    if nu % 2:
        inside = 2 / math.pi * (angle + inside)
    return np.clip(1 - inside, 0, 1)


def _by_hill(t: Array, nu: int) -> Array:
    a = nu - 0.5
    b = 48 * a * a
    y = a * np.log1p(t * t / nu)
    z = ((((-0.4 * y - 3.3) * y - 24) * y - 85.5) / (0.8 * y * y + 100 + b) + y + 3) / b + 1
    return np.array([math.erfc(v / math.sqrt(2)) for v in z * np.sqrt(y)])
