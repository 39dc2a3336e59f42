"""Hierarchical generalised linear models: y given u, and u, each from a family of its own.

    g(E(y | u)) = X beta + sum_t Z_t v_t,    v_t = v(u_t),    u_t from its family, with dispersion
    lambda_t; the responses from theirs, with dispersion phi.

Both are fitted: by h-likelihood (``h_likelihood``: the effects estimated beside the coefficients)
and by the marginal likelihood (``marginal_likelihoods``: the effects integrated out). The fit
carries the one asked for and, in ``both``, how far the two are apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.layout import Layout
from mixedlab.errors import DataError, MixedlabError, listed
from mixedlab.inference.contract import Likelihood
from mixedlab.inference.reporting import Summary
from mixedlab.models.fit import MixedFit
from mixedlab.models.hglm import prediction as hierarchical_prediction
from mixedlab.models.hglm.data import HierarchicalData, hierarchical_data
from mixedlab.models.hglm.estimates import (
    Estimates,
    by_h_likelihood,
    by_marginal_likelihood,
    variance_on_the_link,
)
from mixedlab.models.hglm.exact import loglik_at
from mixedlab.models.hglm.h_likelihood import HLikelihoodFit, fit_h_likelihood
from mixedlab.models.hglm.integrated import marginal_likelihood

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Method = Literal["exact", "h-likelihood", "quadrature"]
METHODS = ("exact", "h-likelihood", "quadrature")


def hglm(
    formula: str,
    data: pd.DataFrame,
    *,
    family: str = "gaussian",
    random_family: str | Sequence[str] | Mapping[str, str] = "gaussian",
    link: str | None = None,
    method: Method = "exact",
    dispersion: str | None = None,
    random_dispersion: str | None = None,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
) -> HierarchicalFit:
    """Fit a hierarchical generalised linear model.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (1 | g)"``; several terms by h-likelihood. Each random term has one
        coefficient: write ``(x || g)`` for uncorrelated ones.
    data : DataFrame
    family : {"gaussian", "binomial", "poisson", "gamma"}
        Of y given u. Binomial responses as in ``ml.glmm``.
    random_family : {"gaussian", "beta", "gamma", "inverse_gamma"}, or one for each term
        Of u: one name for all terms, a list in the terms' order, or a dict by grouping factor.
        ``gamma`` and ``inverse_gamma`` multiply a mean with log link and have E u = 1; ``beta``
        goes with binomial responses and has E v = 0; ``gaussian`` has E u = 0.
    link : str, optional
        "identity", "logit" and "log" by default; for the gamma family it is "log" here too,
        because a random effect must not carry the mean below 0.
    method : {"exact", "h-likelihood", "quadrature"}
        ``exact``: marginal likelihood, in closed form for normal-normal, Poisson-gamma,
        gamma-inverse-gamma, and binomial-beta with one mean for each group; by quadrature for
        the rest. ``quadrature`` integrates whether or not there is a closed form.
    dispersion : str, optional
        ``"~ x"``: log-linear model of the dispersion phi of y given u. By default a constant,
        estimated for gaussian and gamma, 1 for binomial and poisson. With a formula the latter
        two become quasi-families, for h-likelihood only.
    random_dispersion : str, optional
        ``"~ z"``: log-linear model of lambda, z constant in each group; h-likelihood with one
        random term.
    weights, offset : array or column name, optional
        Weights divide phi; for proportions they are the trials.

    Returns
    -------
    HierarchicalFit

    Raises
    ------
    MixedlabError
        For pairs of families that do not fit together, or a method that cannot take the terms.

    Notes
    -----
    Binomial-beta has two forms. By h-likelihood and by quadrature ``v = logit u`` is *added* to
    the logit of a row's probability. The closed form, used by ``exact`` where the mean is constant
    within each group, is the beta-binomial: the group's probability is itself beta around its
    mean, so coefficients describe the population average. ``fit.model`` says which was fitted.

    References
    ----------
    Lee and Nelder (1996), Hierarchical generalized linear models, JRSS B 58:619-678.
    """
    if method not in METHODS:
        raise MixedlabError(f"There is no method {method!r}. Choose one of {listed(METHODS)}.")
    design, prepared = hierarchical_data(
        formula, data, family=family, random=random_family, link=link, dispersion=dispersion,
        random_dispersion=random_dispersion, weights=weights, offset=offset,
    )  # fmt: skip
    try:
        fit = fit_hierarchical(
            prepared, method=method, names=design.names, formula=formula, design=design
        )
    except np.linalg.LinAlgError:
        _refuse_separated(prepared, design, data)
        raise DataError(
            "The model cannot be estimated from these data: the information about its "
            "coefficients is singular. Leave out covariates, or try method='h-likelihood'."
        ) from None
    far = np.abs(fit.X @ fit.beta).max(initial=0.0) > 15 or not np.all(np.isfinite(fit.vcov_beta))
    if far or not fit.converged:
        _refuse_separated(prepared, design, data)
    return fit


def _refuse_separated(prepared: HierarchicalData, design: Any, data: Any) -> None:
    """Raise, in words, where a coefficient has no finite estimate."""
    from mixedlab.data.columns import as_frame
    from mixedlab.inference.separation import SeparationError, describe, separating_direction

    if not prepared.phi_known:
        return
    family = prepared.family
    direction = separating_direction(family, prepared.y, prepared.X, prepared.weights)
    if direction is not None:
        found = describe(direction, design, as_frame(data), family)
        advice = f"{found.message} (prior_sd and penalty are arguments of ml.glmm.)"
        raise SeparationError(replace(found, message=advice))


def fit_hierarchical(
    data: HierarchicalData,
    *,
    method: Method = "exact",
    names: Sequence[str] | None = None,
    formula: str = "",
    design: Any = None,
) -> HierarchicalFit:
    """Fit to arrays; see `hglm` for the methods."""
    by_h = fit_h_likelihood(data)
    if method == "h-likelihood":
        chosen = by_h_likelihood(data, by_h)
    else:
        chosen = by_marginal_likelihood(data, by_h, method)
    names = tuple(names or (f"x{k + 1}" for k in range(data.X.shape[1])))
    known = data.phi_known
    constant = data.dispersion_X.shape[1] == 1
    phi = 1.0 if known else float(chosen.phi[0]) if constant else float(np.mean(chosen.phi))
    normal = data.family.name == "gaussian"
    sigma = float(np.sqrt(phi)) if normal else None
    layout = Layout.of(data.terms)
    theta = np.empty(layout.n_theta)
    for t in range(len(data.terms)):
        theta[layout.slices[t]] = np.sqrt(variance_on_the_link(data, chosen, t)) / (sigma or 1.0)
    n_dispersions = (0 if known else data.dispersion_X.shape[1]) + sum(
        D.shape[1] for D in data.random_dispersion_X
    )
    return HierarchicalFit(
        y=data.y, X=data.X, names=names, terms=tuple(data.terms), weights=data.weights,
        offset=data.offset, beta=chosen.beta, vcov_beta=chosen.vcov_beta, theta=theta, sigma=sigma,
        dispersion=phi, b=[b[:, None] for b in chosen.b], criterion=-2 * chosen.loglik,
        n_params=data.X.shape[1] + n_dispersions, converged=chosen.converged,
        singular=chosen.singular, family=data.family.name, formula=formula, design=design,
        data=data, method=method, estimates=chosen, by_h=by_h,
    )  # fmt: skip


@dataclass(eq=False, repr=False, kw_only=True)
class HierarchicalFit(MixedFit):
    """A fitted hierarchical generalised linear model.

    Attributes
    ----------
    data : HierarchicalData
        Arrays and families.
    method : str
        What was asked for; ``estimates.how`` says how the likelihood was computed.
    estimates : Estimates
        Effects and dispersions by that method.
    by_h : HLikelihoodFit
        The h-likelihood fit, whatever the method.

    Notes
    -----
    ``ranef`` holds u, the effect on its own scale (a factor of the mean for gamma effects), and
    ``ranef_sd`` its conditional sd; ``b`` is what u adds to the linear predictor. ``varcorr``
    gives the variance of v, ``dispersion_random`` lambda. By h-likelihood ``loglik`` is Laplace's
    approximation.
    """

    data: HierarchicalData
    method: str
    estimates: Estimates
    by_h: HLikelihoodFit

    @property
    def random_families(self) -> dict[str, str]:
        """Family of each grouping factor's effects (of the last term, where there are several)."""
        return {t.group: k.name for t, k in zip(self.terms, self.data.random, strict=True)}

    @property
    def likelihood_kind(self) -> Likelihood:
        """Which likelihood was maximised."""
        effects = self.random_families
        return replace(super().likelihood_kind, method=self.method, effects=effects)

    @property
    def response_family(self) -> Family:
        """Family and link of y given u."""
        return self.data.family

    @property
    def weights_or_trials(self) -> Array:
        """Prior weights (n,), which are the trials of binomial responses."""
        return self.data.weights

    @property
    def link(self) -> str:
        """Name of the link."""
        return self.data.family.link.name

    @property
    def model(self) -> str:
        """The model that was fitted, in words."""
        if self.is_beta_binomial:
            return (
                "y | u binomial with probability u, u beta with mean g^-1(X beta): beta-binomial; "
                "coefficients describe the population average"
            )
        effects = "; ".join(
            f"{k.name} on {t.group} ({k.scale_name}, {k.constraint})"
            for t, k in zip(self.terms, self.data.random, strict=True)
        )
        return f"y | u {self.family} with {self.link} link; u {effects}"

    @property
    def is_beta_binomial(self) -> bool:
        """Whether the closed beta-binomial form was fitted."""
        return self.estimates.is_beta_binomial

    @property
    def fitted_values(self) -> Array:
        """E(y | u) (n,) at the predicted effects."""
        return self.data.family.link.mu(self.linear_predictor)

    @property
    def phi(self) -> Array:
        """Dispersion (n,) of each row."""
        return self.estimates.phi

    @cached_property
    def dispersion_random(self) -> pd.Series:
        """Lambda of each random term (the mean over levels where it is modelled)."""
        import pandas as pd

        values = [float(np.mean(l)) for l in self.estimates.lam]
        return pd.Series(values, index=self._term_names(), name="lambda")

    @cached_property
    def dispersion_coefs(self) -> pd.DataFrame:
        """Coefficients of log phi and of each log lambda, with standard errors."""
        import pandas as pd

        rows = []
        if not self.data.phi_known:
            rows += zip(
                ["phi"] * self.estimates.gamma.size, self.data.dispersion_names,
                self.estimates.gamma, self.estimates.gamma_se, strict=True,
            )  # fmt: skip
        for t, name in enumerate(self._term_names()):
            values, errors = self.estimates.log_lam[t], self.estimates.log_lam_se[t]
            names = self.data.random_dispersion_names[t]
            rows += zip([f"lambda {name}"] * len(names), names, values, errors, strict=True)
        table = pd.DataFrame(rows, columns=["of", "coefficient", "estimate", "se"])
        return table.set_index(["of", "coefficient"])

    @cached_property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predicted effects u, on their own scale."""
        return self._by_group([u[:, None] for u in self.estimates.u])

    @cached_property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of u given y."""
        return self._by_group([s[:, None] for s in self.estimates.u_sd])

    def _conditional_covariances(self) -> list[Array]:
        """Conditional variance of what each effect adds to the predictor, by the delta method."""
        out = []
        for t, kind in enumerate(self.data.random):
            u, sd = self.estimates.u[t], self.estimates.u_sd[t]
            if self.is_beta_binomial:
                slope = self.data.family.link.dmu(self.data.family.link.eta(u))
            else:
                slope = kind.slope(self.estimates.b[t])
            with np.errstate(invalid="ignore", divide="ignore"):
                variance = np.where(sd > 0, (sd / slope) ** 2, 0.0)
            out.append(variance[:, None, None])
        return out

    @cached_property
    def both(self) -> pd.DataFrame:
        """Estimates by h-likelihood and by marginal likelihood, and how far they are apart.

        ``apart`` is h-likelihood less marginal, ``in_se`` that in standard errors of the marginal
        fit. Dispersions are compared as logarithms. The last row is the marginal log-likelihood
        at both sets of estimates (Laplace's for the first, where there is no other).
        """
        import pandas as pd

        by_h = by_h_likelihood(self.data, self.by_h)
        if self.method == "h-likelihood":
            exact = by_marginal_likelihood(self.data, self.by_h, "exact")
        else:
            exact = self.estimates
        rows = {name: (by_h.beta[k], exact.beta[k], np.sqrt(exact.vcov_beta[k, k]))
                for k, name in enumerate(self.names)}  # fmt: skip
        if not self.data.phi_known:
            for k, name in enumerate(self.data.dispersion_names):
                rows[f"log phi: {name}"] = by_h.gamma[k], exact.gamma[k], exact.gamma_se[k]
        for t, name in enumerate(self._term_names()):
            with np.errstate(divide="ignore"):
                h_value, value = (float(np.log(np.mean(e.lam[t]))) for e in (by_h, exact))
            rows[f"log lambda: {name}"] = h_value, value, exact.log_lam_se[t][0]
        table = pd.DataFrame.from_dict(
            rows, orient="index", columns=["h_likelihood", "exact", "se"]
        )
        with np.errstate(invalid="ignore"):
            table["apart"] = table["h_likelihood"] - table["exact"]
            table["in_se"] = table["apart"] / table.pop("se")
        at_h = by_h.loglik
        if len(self.terms) == 1:  # of the model that the h-likelihood is of
            closed = self.method != "quadrature" and not self.is_beta_binomial
            marginal = marginal_likelihood(self.data, closed_form=closed)
            at_h = loglik_at(self.data, marginal, by_h.beta, by_h.gamma, float(by_h.lam[0][0]))
        table.loc["loglik"] = [at_h, exact.loglik, at_h - exact.loglik, np.nan]
        return table

    def _term_names(self) -> list[str]:
        plain = all(t.names == ("(Intercept)",) for t in self.terms)
        return [t.group if plain else f"{t.group}: {t.names[0]}" for t in self.terms]

    def refit(self, y: ArrayLike) -> HierarchicalFit:
        """Fit the same model to another response (n,), in the order of the rows fitted."""
        y = np.asarray(y, dtype=float)
        if y.shape != self.y.shape or not np.all(np.isfinite(y)):
            raise DataError(f"Give {self.n_obs} finite responses, one for each row fitted.")
        self.data.family.check_response(y, self.data.weights)
        return fit_hierarchical(
            replace(self.data, y=y), method=self.method, names=self.names, formula=self.formula,
            design=self.design,
        )  # fmt: skip

    def predict(
        self,
        newdata: Any = None,
        kind: Literal["conditional", "population", "marginal"] = "conditional",
        scale: Literal["response", "link"] = "response",
        interval: Literal["confidence"] | None = None,
        new_levels: Literal["error", "population"] = "error",
        level: float = 0.95,
    ) -> Any:
        """Predict; see `mixedlab.models.hglm.prediction.predict`.

        ``population`` sets v to 0; ``marginal`` integrates u out: they differ wherever the link
        is not linear, save for the multiplicative effects with E u = 1 and a log link.
        """
        return hierarchical_prediction.predict(
            self, newdata, kind, scale, interval, new_levels, level
        )

    def draw(self, rng: np.random.Generator) -> Array:
        """One new response (n,) of the rows fitted, effects drawn anew."""
        return hierarchical_prediction.draw_response(self, rng)

    def simulate(self, n: int = 1, seed: int | None = None) -> Array:
        """Draw ``n`` new responses (n, n_obs) from the fitted model, effects drawn anew."""
        return hierarchical_prediction.simulate(self, n, seed)

    def confint(self, level: float = 0.95, method: str = "wald", **kw: Any) -> pd.DataFrame:
        """Intervals of the fixed effects and the dispersions (Wald's on the log scale).

        ``method="bootstrap"`` refits data that the fit simulates; it takes ``n``, ``seed``,
        ``executor`` and ``progress`` as ``ml.replicate`` does.
        """
        if method == "wald":
            return hierarchical_prediction.wald_intervals(self, level)
        if method == "bootstrap":
            return hierarchical_prediction.bootstrap_intervals(self, level, **kw)
        raise MixedlabError(
            f"There is no {method!r} interval for a hierarchical model: use method='wald' or "
            "method='bootstrap'."
        )

    def summary(self) -> Summary:
        """Estimates as tables: random effects, dispersions, fixed effects."""
        made = super().summary()
        lines = list(made.lines)
        about = [f"Model: {self.model}", f"Likelihood: {self.estimates.how}"]
        lines[bool(self.formula) : bool(self.formula)] = about
        by = "h-likelihood" if self.method == "h-likelihood" else "maximum likelihood"
        tables = {**made.tables, "Dispersions (logarithms)": self.dispersion_coefs}
        return Summary(f"{self._title()} by {by}", lines, tables)

    def _title(self) -> str:
        return "Hierarchical generalised linear model"
