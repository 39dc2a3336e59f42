"""Counts, proportions, sizes and scores: their families, and what a model says of their spread.

What the overdispersion lab simulates and fits, as data. A model's marginal mean, variance and
distribution are sums over nodes of its effects' distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import family
from mixedlab.engine.quadrature import gauss_hermite
from mixedlab.engine.random_families import RandomFamily
from mixedlab.labs.kit.scene import Axis
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

NO_SPREAD = 1e-7  # of lambda: below it the effects are all alike


@dataclass(frozen=True)
class Kind:
    """One kind of response: its family, its group effects' own family, and its words.

    Attributes
    ----------
    beta : ndarray, shape (3,)
        Intercept, covariate (a unit is its standard deviation), treatment; on the link scale.
    phi : float
        Dispersion of a response given its effect; 1 where the family has none.
    trials : int
        Seeds a plate; 1 for the other kinds.
    edges : ndarray
        Inner edges of the bins; the first and the last bin take all that is beyond.
    places : ndarray
        Where the bins are drawn: the edges, with two more for the outer bins.
    """

    title: str
    family: str
    link: str
    conjugate: str
    names: tuple[str, str]  # the plain model, and the one with conjugate effects
    group: str
    row: str
    treatment: str
    beta: Array
    phi: float
    trials: int
    response: str
    edges: Array
    places: Array
    bin_axis: Axis
    mean_axis: Axis
    variance_axis: Axis
    logarithmic: bool

    @property
    def has_dispersion(self) -> bool:
        """Whether the family has a dispersion of its own."""
        return self.family in ("gamma", "gaussian")

    def name_of(self, model: str) -> str:
        """What a model is called for this kind of response."""
        plain, conjugate = self.names
        return {
            "plain": plain,
            "observation": f"{plain}, {self.row} effects",
            "normal": f"{plain}, {self.group} effects",
            "conjugate": conjugate,
        }[model]

    def short_name_of(self, model: str) -> str:
        """What a model's row is called."""
        names = {"observation": f"{self.row} effects", "normal": f"{self.group} effects"}
        return names.get(model) or self.name_of(model)

    def draw(self, draws: Draws, mu: Array, *place: NDArray) -> Array:
        """Draw a response for each mean."""
        if self.family == "poisson":
            return draws.poisson("count", mu, *place).astype(float)
        if self.family == "binomial":
            return draws.binomial("successes", self.trials, mu, *place) / self.trials
        if self.family == "gamma":
            return self.phi * mu * draws.gamma("size", 1 / self.phi, *place)
        return mu + np.sqrt(self.phi) * draws.normal("score", *place)

    def cdf(self, x: Array, mu: Array, phi: float) -> Array:
        """Share of responses (successes, for proportions) of at most x."""
        from scipy.special import bdtr, gammainc, ndtr, pdtr

        if self.family == "poisson":
            return pdtr(x, mu)
        if self.family == "binomial":
            return bdtr(x, self.trials, mu)
        return (
            gammainc(1 / phi, x / (phi * mu))
            if self.family == "gamma"
            else ndtr((x - mu) / np.sqrt(phi))
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """One data set: y (n,), X (n, 3) and the group of each row; and how it was made."""

    kind: Kind
    y: Array
    X: Array
    group: NDArray[np.int_]
    spread: float
    level: str

    @cached_property
    def cells(self) -> tuple[Array, NDArray[np.int_]]:
        """The distinct rows of X, and which of them each row is."""
        rows, index = np.unique(self.X, axis=0, return_inverse=True)
        return rows, index.reshape(-1)

    @property
    def counted(self) -> Array:
        """Responses as the bins take them: successes for proportions."""
        return np.round(self.y * self.kind.trials) if self.kind.trials > 1 else self.y


@dataclass(frozen=True)
class Fitted:
    """One model's estimates; ``effects`` is None where it has no random effects."""

    key: str
    name: str
    beta: Array
    se: Array
    phi: float = 1.0
    effects: RandomFamily | None = None
    lam: float = 0.0
    pearson: float = np.nan

    @property
    def sd(self) -> float:
        """Standard deviation of the effects on the link scale."""
        if self.effects is None or self.lam < NO_SPREAD:
            return 0.0
        return float(np.sqrt(self.effects.variance_of_v(self.lam)))

    @property
    def variance_of_factor(self) -> float | None:
        """Var u of gamma and inverse-gamma effects, for which E u = 1; None for the others.

        ``u ~ IG(a + 1, a)`` with a = 1 / lambda has the variance 1 / (a - 1), if a > 1.
        """
        if self.sd == 0 or self.effects.name not in ("gamma", "inverse_gamma"):
            return None
        if self.effects.name == "gamma":
            return self.lam
        return self.lam / (1 - self.lam) if self.lam < 1 else np.inf

    @cached_property
    def nodes(self) -> tuple[Array, Array]:
        """Effects on the link scale, (K,), and their weights, which sum to 1."""
        if self.sd == 0:
            return np.zeros(1), np.ones(1)
        if self.effects.name == "gaussian":
            z, weights = gauss_hermite(25)
            return self.sd * z, weights
        z, weights = _uniform_rule()
        return self.effects.quantile(z, self.lam), weights


@dataclass(frozen=True)
class Fits:
    """The models by key, in the order in which they are shown."""

    models: dict[str, Fitted]

    def shown(self, model: str) -> Fitted:
        """The model asked for, or the one that stands for it where there is no such model.

        A family with a dispersion of its own needs no effect for each row: the plain model
        has it. The conjugate of a normal response is the normal.
        """
        if model in self.models:
            return self.models[model]
        return self.models["plain" if model == "observation" else "normal"]


def moments(kind: Kind, model: Fitted, eta: Array) -> tuple[Array, Array]:
    """Marginal mean and variance of a response at fixed parts ``eta``, effects averaged over.

    Var y = E Var(y | v) + Var E(y | v).
    """
    made = family(kind.family, kind.link)
    if (var_u := model.variance_of_factor) is not None:
        # Exact, since no rule of few nodes sees an inverse gamma's tail.
        mean = made.link.mu(eta)
        within = mean if kind.family == "poisson" else model.phi * mean**2 * (1 + var_u)
        return mean, within + var_u * mean**2
    v, weights = model.nodes
    mu = made.link.mu(eta[:, None] + v)
    mean = mu @ weights
    within = made.variance(mu, kind.trials) * model.phi @ weights
    return mean, within + (mu - mean[:, None]) ** 2 @ weights


def expected(kind: Kind, model: Fitted, eta: Array, rows: Array) -> Array:
    """Expected number of responses in each bin; ``rows`` says how many have each ``eta``."""
    made = family(kind.family, kind.link)
    v, weights = model.nodes
    mu = made.link.mu(eta[:, None] + v)
    below = kind.cdf(kind.edges[:, None, None], mu, model.phi) @ weights @ rows
    return np.diff(below, prepend=0.0, append=rows.sum())


def observed(sample: Sample) -> Array:
    """Number of responses in each bin: at most the first edge, ..., above the last."""
    bins = np.searchsorted(sample.kind.edges, sample.counted, side="left")
    return np.bincount(bins, minlength=sample.kind.edges.size + 1).astype(float)


@cache
def _uniform_rule() -> tuple[Array, Array]:
    z, weights = np.polynomial.legendre.leggauss(40)
    return (z + 1) / 2, weights / 2


def _log_axis(label: str, low: float, high: float, ticks: tuple[float, ...]) -> Axis:
    return Axis(
        label,
        float(np.log10(low)),
        float(np.log10(high)),
        [(float(np.log10(t)), f"{t:g}") for t in ticks],
    )


def _kinds() -> dict[str, Kind]:
    counts = np.arange(0, 21.0)
    sizes = 10 ** np.linspace(0.2, 1.7, 16)
    scores = np.linspace(0.5, 5.5, 17)
    step = np.diff(np.log10(sizes))[0]
    return {
        "counts": Kind(
            "ticks (counts)", "poisson", "log", "gamma", ("Poisson", "Poisson-gamma"),
            "brood", "chick", "dose", np.array([1.6, -0.4, -0.4]), 1.0, 1, "ticks",
            counts, np.arange(-0.5, 22),
            Axis("ticks on a chick", -0.5, 21.5,
                 [*((float(k), str(k)) for k in (0, 5, 10, 15)), (21.0, "21+")]),
            _log_axis("mean (ticks)", 0.2, 100, (0.3, 1, 3, 10, 30)),
            _log_axis("variance (ticks squared)", 0.1, 5000, (0.1, 1, 10, 100, 1000)),
            True,
        ),
        "proportions": Kind(
            "seeds (shares)", "binomial", "logit", "beta",
            ("binomial", "binomial-beta"), "tray", "plate", "root extract",
            np.array([-0.2, 0.3, 0.5]), 1.0, 10, "share germinated",
            np.arange(0, 10.0), np.arange(-0.5, 11),
            Axis("seeds of 10 that germinate", -0.5, 10.5, [(0.0, "0"), (5.0, "5"), (10.0, "10")]),
            Axis("mean (share germinated)", 0, 1), Axis("variance (of the share)", 0, 0.2), False,
        ),
        "sizes": Kind(
            "camber (sizes)", "gamma", "log", "inverse_gamma",
            ("gamma", "gamma-inverse gamma"), "device", "reading", "firing",
            np.array([2.2, 0.3, 0.3]), 0.09, 1, "camber",
            sizes, np.concatenate([[0.2 - step], np.log10(sizes), [1.7 + step]]),
            Axis("camber (0.001 in/in)", 0.2 - step, 1.7 + step,
                 [(float(np.log10(t)), str(t)) for t in (2, 5, 10, 20, 50)]),
            _log_axis("mean (0.001 in/in)", 1, 100, (1, 3, 10, 30)),
            _log_axis("variance (its square)", 0.05, 5000, (0.1, 1, 10, 100, 1000)),
            True,
        ),
        "scores": Kind(
            "times (scores)", "gaussian", "identity", "gaussian",
            ("normal", "normal-normal"), "driver", "night", "short nights",
            np.array([3.0, 0.2, 0.4]), 0.25, 1, "reaction time",
            scores, np.concatenate([[0.5 - 0.3125], scores, [5.5 + 0.3125]]),
            Axis("reaction time (0.1 s)", 0.5 - 0.3125, 5.5 + 0.3125),
            Axis("mean (0.1 s)", 0, 6), Axis("variance (0.01 s squared)", 0, 3), False,
        ),
    }  # fmt: skip


KINDS = _kinds()
