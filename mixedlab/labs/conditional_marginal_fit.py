"""What is measured under each link, how it is drawn, and both models of it.

Conditional: a mixed model by quadrature. Marginal: GEE.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.many_generalized import many_generalized
from mixedlab.engine.many_linear import many_linear
from mixedlab.engine.many_marginal import many_marginal
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataWarning, MixedlabError
from mixedlab.inference.population_averaged import marginal_mean
from mixedlab.models.gee.model import fit_marginal
from mixedlab.models.generalized import fit_generalized
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

VISITS = np.linspace(0, 1, 7)  # in years
X = np.column_stack([np.ones(VISITS.size), VISITS])  # of one patient
NODES = 9
SD_ERROR = 1.0  # of a score, under the identity
SLOPES = (-6.5, 2.0)


@dataclass(frozen=True)
class Kind:
    """What is measured under a link, its range in the hero, and the ranges on the link's scale."""

    family: str
    mean: str
    on_link: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1)
    etas: tuple[float, float] = (-8, 8)
    intercepts: tuple[float, float] = (-2.5, 4.5)

    def height(self, mean: Array) -> Array:
        """Place means in the hero, whose height is 1 under each link: so bets fit them all."""
        return np.clip((mean - self.low) / (self.high - self.low), -0.5, 1.5)


KINDS = {
    "logit": Kind("binomial", "share infected", "log odds"),
    "probit": Kind("binomial", "share infected", "probit"),
    "log": Kind("poisson", "attacks a month", "log of the mean", 0, 20, (0, 5, 10, 15, 20),
                (-6, 6), (-2.5, 8)),
    "identity": Kind("gaussian", "score", "score", -10, 10, (-10, -5, 0, 5, 10), (-10, 10)),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Clinic:
    """Seven visits of each patient.

    Attributes
    ----------
    family : Family
    b : ndarray (J,)
        What each patient's intercept adds.
    y : ndarray (J, 7)
    """

    family: Family
    b: Array
    y: Array


@dataclass(frozen=True)
class Line:
    """An intercept and a slope on the link's scale: beta, shape (2,)."""

    beta: Array

    @property
    def slope(self) -> float:
        """Slope a year."""
        return float(self.beta[1])


@dataclass(frozen=True)
class Fits:
    """Both models of the same visits.

    Attributes
    ----------
    glmm, gee : Line or None
        Conditional and marginal line; None where the model cannot be fitted.
    sd : float
        The mixed model's spread of patients.
    averaged : ndarray (2,) or None
        The marginal line that follows from the mixed model.
    trouble : str
        Why a model is missing, in words.
    """

    glmm: Line | None
    gee: Line | None
    sd: float = math.nan
    averaged: Array | None = None
    trouble: str = ""

    @property
    def ratio(self) -> float:
        """Slope of the average, by GEE, as a share of one patient's; nan where one is missing."""
        if self.glmm is None or self.gee is None:
            return math.nan
        return self.gee.slope / self.glmm.slope

    @property
    def as_steep(self) -> bool:
        """Whether both slopes are one."""
        return abs(self.ratio - 1) < 0.03

    @property
    def shift(self) -> float:
        """How much higher the average's intercept is than one patient's."""
        if self.glmm is None or self.gee is None:
            return math.nan
        return float(self.gee.beta[0] - self.glmm.beta[0])


def visits(
    family: Family, line: Array, sd: float, patients: int, draws: Draws
) -> tuple[Array, Array]:
    """Draw the patients' intercepts, shape (..., J), and their visits, (..., J, 7)."""
    patient = np.arange(patients)
    b = sd * draws.normal("patient", patient)
    eta = X @ line + b[..., None]
    place = (patient[:, None], np.arange(VISITS.size))
    if family.name == "binomial":
        y = draws.bernoulli("visit", family.link.mu(eta), *place)
    elif family.name == "poisson":
        y = draws.poisson("visit", family.link.mu(eta), *place)
    else:
        y = eta + SD_ERROR * draws.normal("visit", *place)
    return b, y.astype(float)


def marginal_line(family: Family, beta: Array, sd: float) -> Array:
    """Return the straight line nearest to the mean over patients, on the link's scale."""
    mean = marginal_mean(family.link, X @ beta, np.full(VISITS.size, sd**2))
    return np.linalg.lstsq(X, family.link.eta(mean), rcond=None)[0]


@lru_cache(maxsize=64)  # sweeping the cursor fits nothing anew, nor does a slider that goes back
def fit(clinic: Clinic) -> Fits:
    """Fit the mixed model by quadrature, and GEE with exchangeable correlation."""
    J = clinic.b.size
    patient = np.repeat(np.arange(J), VISITS.size)
    rows, y = np.tile(X, (J, 1)), clinic.y.ravel()
    term = RandomTerm.from_arrays(patient, group="patient")
    # Under the identity Laplace is exact, and one node enough.
    nodes = 1 if clinic.family.name == "gaussian" else NODES
    models = {
        "mixed model": partial(fit_generalized, y, rows, [term], nagq=nodes, standard_errors=False),
        "GEE": partial(fit_marginal, y, rows, patient),
    }
    mixed, gee = (
        _fitted(name, partial(model, family=clinic.family, names=("intercept", "time")))
        for name, model in models.items()
    )
    trouble = " ".join(part for part in (mixed[1], gee[1]) if part)
    if mixed[0] is None:
        return Fits(None, _line(gee[0]), trouble=trouble)
    glmm = mixed[0]
    sd = float(abs(glmm.theta[0])) * (glmm.sigma or 1.0)
    averaged = marginal_line(clinic.family, glmm.beta, sd)
    return Fits(_line(glmm), _line(gee[0]), sd, averaged, trouble)


def slopes_of_many(
    family: Family, y: Array, line: Array, sd: float
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Fit many clinics, y of shape (m, J, 7), all together.

    ``line`` and ``sd`` are where the mixed model's search begins. Returns each model's slopes,
    shape (m,), and which clinics surely have them.
    """
    m, J = y.shape[:2]
    Y, patient, rows = y.reshape(m, -1).T, np.repeat(np.arange(J), VISITS.size), np.tile(X, (J, 1))
    terms = [RandomTerm.from_arrays(patient, group="patient")]
    gee = many_marginal(Y, rows, patient, family=family)
    if family.name == "gaussian":
        glmm = many_linear(Y, rows, terms, reml=False)
        sds, known = glmm.theta[:, 0] * glmm.sigma, glmm.converged
    else:
        start = ([max(sd, 0.3)], line)
        glmm = many_generalized(Y, rows, terms, family=family, nagq=NODES, start=start)
        sds, known = glmm.theta[:, 0], glmm.converged & ~glmm.suspect
    variances = sds[:, None] ** 2 + np.zeros((m, VISITS.size))
    mean = marginal_mean(family.link, glmm.beta @ X.T, variances)
    averaged = np.linalg.lstsq(X, family.link.eta(mean).T, rcond=None)[0][1]
    slopes = {"glmm": glmm.beta[:, 1], "gee": gee.beta[:, 1], "averaged": averaged}
    return slopes, known & gee.converged


def _fitted(name: str, model: Callable) -> tuple[object | None, str]:
    """Return the fit, or None and why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            found = model()
    except MixedlabError as error:
        return None, f"The {name} has no estimate here. {error}"
    if not (found.converged and np.isfinite(found.beta).all()):
        return None, f"The {name} found no estimate in this sample."
    return found, ""


def _line(found) -> Line | None:
    return None if found is None else Line(found.beta)
