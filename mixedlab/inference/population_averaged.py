r"""The two meanings of an effect in a generalised mixed model: conditional and marginal.

*Conditional*: what a coefficient does within one group, random effects held. *Marginal*: what it
does to the mean over all groups,

    mu_M(x, z) = E_b g^-1(x'beta + z'b) = E g^-1(eta + s Z),   Z ~ N(0, 1),   s^2 = z' Sigma z,

one integral in one dimension however many random coefficients there are, because z'b is normal.
Closed forms: identity ``eta``; log ``exp(eta + s^2/2)``; probit ``Phi(eta / sqrt(1 + s^2))``. The
other links take the trapezoidal rule. Derivatives for standard errors:

    d mu_M / d eta = E g^-1'(eta + s Z),     d mu_M / d s^2 = E g^-1''(eta + s Z) / 2.

*Population* predictions set b = 0: the curve of the average group, which is neither.

Sources: Zeger, Liang and Albert (1988), *Biometrics* 44, 1049-1060; Hedeker, du Toit, Demirtas and
Gibbons (2018), *Biometrics* 74, 354-361 (marginal coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.links import Link
from mixedlab.engine.quadrature import mean_over_normal
from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import MixedModel, refuse
from mixedlab.inference.questions import Coefficients
from mixedlab.inference.reporting import Summary
from mixedlab.inference.tables import by_name

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


# --- the mean over groups


def marginal_mean(link: Link, eta: Array, variance: Array) -> Array:
    """Mean of the response over ``N(eta, variance)``, elementwise."""
    if link.name == "identity":
        return np.broadcast_arrays(eta, variance)[0] * 1.0
    if link.name == "log":
        return np.exp(eta + variance / 2)
    if link.name == "probit":
        return link.mu(eta / np.sqrt(1 + variance))
    _refuse_inverse(link, variance)
    return mean_over_normal(link.mu, eta, np.sqrt(variance))


def marginal_derivatives(link: Link, eta: Array, variance: Array) -> tuple[Array, Array]:
    """Derivatives of `marginal_mean` in eta and in the variance."""
    if link.name == "identity":
        return np.ones_like(eta), np.zeros_like(eta)
    if link.name == "log":
        mean = marginal_mean(link, eta, variance)
        return mean, mean / 2
    if link.name == "probit":
        spread = np.sqrt(1 + variance)
        density = link.dmu(eta / spread)
        return density / spread, -0.5 * density * eta / spread**3
    sd = np.sqrt(variance)
    first = mean_over_normal(lambda e: link.mu_derivatives(e)[0], eta, sd)
    second = mean_over_normal(lambda e: link.mu_derivatives(e)[1], eta, sd)
    return first, second / 2


def _refuse_inverse(link: Link, variance: Array) -> None:
    if link.name == "inverse" and np.any(variance > 0):
        raise MixedlabError(
            "Under the inverse link the mean over normal random effects does not exist: 1/eta has "
            "no mean when eta may be near 0. Use kind='population', or fit with link='log'."
        )


# --- population-averaged coefficients


@dataclass(frozen=True, eq=False, repr=False)
class MarginalCoefs(Coefficients):
    """Population-averaged coefficients of a generalised mixed model.

    Attributes
    ----------
    names : tuple of str
    beta : ndarray (p,)
        Marginal coefficients, on the link's scale.
    vcov_beta : ndarray (p, p)
        Their covariance by the delta method, variances of random effects included.
    conditional : ndarray (p,)
        The coefficients of the fit.
    """

    names: tuple[str, ...]
    beta: Array
    vcov_beta: Array
    conditional: Array

    @cached_property
    def coef(self) -> pd.Series:
        """Marginal coefficients by name."""
        return by_name(self.names, self.beta, "marginal")

    @cached_property
    def table(self) -> pd.DataFrame:
        """Marginal and conditional coefficients side by side."""
        import pandas as pd

        table = pd.DataFrame({"marginal": self.coef, "se": self.se})
        table["z"] = table["marginal"] / table["se"]
        table["conditional"] = self.conditional
        table["ratio"] = table["marginal"] / table["conditional"]
        return table

    def __getitem__(self, name: str) -> float:
        return self.coef[name]

    def summary(self) -> Summary:
        """Marginal and conditional coefficients side by side."""
        lines = [
            "Marginal: the effect on the mean over groups. Conditional: within one group.",
        ]
        return Summary("Population-averaged coefficients", lines, {"Coefficients": self.table})


def marginal_coefs(fit: MixedModel) -> MarginalCoefs:
    """Population-averaged coefficients of a generalised mixed model.

    The marginal means of the rows fitted, brought to the link's scale, are regressed on X without
    weights. Where the marginal model has the same form (identity, log, probit with a random
    intercept) this is exact; under a logit it is the nearest linear predictor.

    Raises
    ------
    MixedlabError
        For a fit that is not generalised, and for the inverse link, whose marginal mean does not
        exist.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    >>> ml.marginal_coefs(fit).table.round(3)
                 marginal     se      z  conditional  ratio
    (Intercept)    -1.289  0.215 -5.992       -1.399  0.921
    period[T.2]    -0.942  0.297 -3.171       -0.992  0.949
    period[T.3]    -1.073  0.317 -3.382       -1.129  0.951
    period[T.4]    -1.512  0.420 -3.603       -1.580  0.957
    """
    refuse(fit, "marginal coefficients")
    rows = fit.rows()
    mean = fit.marginal_predictor(rows)
    scale = np.sqrt(np.mean(rows.X**2, axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    projection = np.linalg.pinv(rows.X / scale) / scale[:, None]
    jacobian = projection @ mean.jacobian
    return MarginalCoefs(
        names=fit.names,
        beta=projection @ (mean.value - rows.offset),
        vcov_beta=jacobian @ mean.covariance @ jacobian.T,
        conditional=fit.beta,
    )
