"""Hierarchical generalised linear models: y given u, and u, each from a family of its own.

    g(E(y | u)) = X beta + sum_t Z_t v_t,    v_t = v(u_t),    u_t from its family, with dispersion
    lambda_t; the responses from theirs, with dispersion phi.

Both are fitted: by h-likelihood (`h_likelihood`: the effects estimated beside the coefficients)
and by the marginal likelihood (`integrated`: the effects integrated out). The fit carries the one
asked for and, in ``both``, how far the two are apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.terms import Layout
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference.contract import Combination, Likelihood, Moments, Parameter, Rows
from mixedlab.inference.reporting import Summary
from mixedlab.models.fit import MixedFit
from mixedlab.models.hglm.averages import draw_response, marginal_mean, variance_on_the_link
from mixedlab.models.hglm.data import Estimates, HierarchicalData
from mixedlab.models.hglm.exact import fit_exact, fit_linear_mixed, loglik_at
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood
from mixedlab.models.hglm.integrated import marginal_likelihood

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Method = Literal["exact", "h-likelihood", "quadrature"]


def estimate(data: HierarchicalData, method: Method) -> Estimates:
    """Estimate by the method asked for.

    Raises
    ------
    MixedlabError
        Where the marginal likelihood cannot be had: a model of lambda, a quasi-family, several
        terms.
    """
    if method == "h-likelihood":
        return fit_h_likelihood(data)
    if any(D.shape[1] > 1 for D in data.random_dispersion_X):
        raise MixedlabError(
            "A model of the random effects' dispersion is fitted by h-likelihood only: use "
            "method='h-likelihood'."
        )
    if not data.phi_known and not data.family.has_dispersion:
        raise MixedlabError(
            f"The {data.family.name} family has no dispersion of its own, so `dispersion=` makes "
            "it a quasi-family without a likelihood: use method='h-likelihood'."
        )
    normal = (
        data.family.name == "gaussian"
        and data.family.link.name == "identity"
        and all(k.name == "gaussian" for k in data.random)
    )
    if normal and data.dispersion_X.shape[1] == 1 and method == "exact":
        return fit_linear_mixed(data)
    if len(data.terms) > 1:
        raise MixedlabError(
            f"With {len(data.terms)} random terms the effects cannot be integrated out one group "
            "at a time: use method='h-likelihood', or ml.glmm for normal effects."
        )
    return fit_exact(data, marginal_likelihood(data, closed_form=method == "exact" and not normal))


def fit_hierarchical(
    data: HierarchicalData,
    *,
    method: Method = "exact",
    names: Sequence[str] | None = None,
    formula: str = "",
    design: Any = None,
) -> HierarchicalFit:
    """Fit to arrays; see `hglm` for the methods."""
    made = estimate(data, method)
    names = tuple(names or (f"x{k + 1}" for k in range(data.X.shape[1])))
    phi = float(made.phi[0] if made.n_phi <= 1 else np.mean(made.phi))
    sigma = float(np.sqrt(phi)) if data.family.name == "gaussian" else None
    layout = Layout.of(data.terms)
    theta = np.empty(layout.n_theta)
    for t in range(len(data.terms)):
        theta[layout.slices[t]] = np.sqrt(variance_on_the_link(data, made, t)) / (sigma or 1.0)
    return HierarchicalFit(
        y=data.y, X=data.X, names=names, terms=tuple(data.terms), weights=data.weights,
        offset=data.offset, beta=made.beta, vcov_beta=made.vcov_beta, theta=theta, sigma=sigma,
        dispersion=phi, b=[b[:, None] for b in made.b], criterion=-2 * made.loglik,
        n_params=len(made.vcov), converged=made.converged, singular=made.singular,
        family=data.family.name, formula=formula, design=design, data=data, method=method,
        estimates=made,
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

    @cached_property
    def by_h(self) -> Estimates:
        """Estimates by h-likelihood, whatever the method."""
        made = self.estimates
        return made if self.method == "h-likelihood" else estimate(self.data, "h-likelihood")

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

        made = self.estimates
        labels, values = self._dispersion_labels, [*made.gamma, *np.concatenate(made.log_lambda)]
        index = pd.MultiIndex.from_tuples(labels, names=["of", "coefficient"])
        return pd.DataFrame({"estimate": values, "se": made.dispersion_se}, index=index)

    @property
    def _dispersion_labels(self) -> list[tuple[str, str]]:
        """What each dispersion parameter is of, and its coefficient."""
        data = self.data
        labels = [("phi", name) for name in data.dispersion_names] if self.estimates.n_phi else []
        for of, names in zip(self._term_names(), data.random_dispersion_names, strict=True):
            labels += [(f"lambda {of}", name) for name in names]
        return labels

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
        return [sd[:, None, None] ** 2 for sd in self.estimates.b_sd]

    @cached_property
    def both(self) -> pd.DataFrame:
        """Estimates by h-likelihood and by marginal likelihood, and how far they are apart.

        ``apart`` is h-likelihood less marginal, ``in_se`` that in standard errors of the marginal
        fit. Dispersions are compared as logarithms. The last row is the marginal log-likelihood
        at both sets of estimates (Laplace's for the first, where there is no other).
        """
        import pandas as pd

        by_h, exact = self.by_h, self.estimates
        if self.method == "h-likelihood":
            exact = estimate(self.data, "exact")
        names = list(self.names)
        names += [f"log phi: {name}" for name in self.data.dispersion_names[: by_h.n_phi]]
        names += [f"log lambda: {name}" for name in self._term_names()]
        columns = []
        for made in (by_h, exact):
            with np.errstate(divide="ignore"):
                log_lambda = np.log([np.mean(lam) for lam in made.lam])
            columns.append(np.concatenate([made.beta, made.gamma, log_lambda]))
        table = pd.DataFrame(np.array(columns).T, index=names, columns=["h_likelihood", "exact"])
        with np.errstate(invalid="ignore"):
            table["apart"] = table["h_likelihood"] - table["exact"]
            table["in_se"] = table["apart"] / np.sqrt(np.diag(exact.vcov))
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

    def refit(self, y: ArrayLike) -> HierarchicalFit:  # noqa: D102  (as in MixedFit)
        y = np.asarray(y, dtype=float)
        if y.shape != self.y.shape or not np.all(np.isfinite(y)):
            raise DataError(f"Give {self.n_obs} finite responses, one for each row fitted.")
        self.data.family.check_response(y, self.data.weights)
        return fit_hierarchical(
            replace(self.data, y=y), method=self.method, names=self.names, formula=self.formula,
            design=self.design,
        )  # fmt: skip

    # ---- the contract of inference ------------------------------------------------------

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Questions that this kind of fit does not answer, each with the reason."""
        answered = ("marginal coefficients",)
        return {q: why for q, why in super().unanswered.items() if q not in answered} | {
            "profile interval": "There is no 'profile' interval for a hierarchical model: use "
            "method='wald' or method='bootstrap'.",
            "likelihood ratio of a term": "Likelihood ratios of terms are for fits by ml.lmm and "
            "ml.glmm: use df='wald'.",
            "prediction interval": "A hierarchical model has no prediction interval: take "
            "quantiles of fit.simulate.",
        }

    @cached_property
    def named_parameters(self) -> tuple[Parameter, ...]:
        """Dispersions, then coefficients; a modelled dispersion's coefficients are logarithms."""
        made, labels = self.estimates, self._dispersion_labels
        owners = [of for of, _ in labels]
        found = []
        values = [*made.gamma, *np.concatenate(made.log_lambda)]
        for (of, name), value in zip(labels, values, strict=True):
            alone = owners.count(of) == 1
            label, at = (of, np.exp(value)) if alone else (f"log {of}: {name}", value)
            edge = bool(np.isneginf(value)) or (made.singular and of != "phi")
            scale = "log" if alone else "identity"
            found.append(Parameter("dispersion", label, float(at), scale, at_boundary=edge,
                                   can_be_held=False))  # fmt: skip
        return (*found, *self.coefficient_parameters())

    def parameter_covariance(self) -> Array:
        """Joint covariance of the named parameters on their free scales; NaN: unknown."""
        order = np.roll(np.arange(len(self.estimates.vcov)), -self.beta.size)
        return self.estimates.vcov[np.ix_(order, order)]

    def _conditional_variance(self, rows: Rows) -> Array:
        raise MixedlabError(
            "The conditional predictions of a hierarchical model have no interval: use "
            "kind='population', or fit.ranef_sd for the uncertainty of an effect."
        )

    def _marginal_moments(self, rows: Rows, variance: bool) -> Moments:
        if not variance:
            link = self.response_family.link
            return Moments(link.eta(self._marginal_mean(rows.fixed_part(self.beta))))
        combination = self.marginal_predictor(rows)
        return Moments(combination.value, combination.variance)

    def marginal_predictor(self, rows: Rows) -> Combination:
        """Link of the mean over groups as a function of all parameters, by central differences."""
        made, link, eta = self.estimates, self.response_family.link, rows.fixed_part(self.beta)
        lam = [float(np.mean(l)) for l in made.lam]

        def value(eta: Array, lam: Sequence[float]) -> Array:
            return link.eta(self._marginal_mean(eta, lam))

        p, h = self.beta.size, 1e-4
        jacobian = np.zeros((rows.n, len(made.vcov)))
        step = h * np.maximum(np.abs(eta), 1.0 if link.name != "inverse" else 0.0)
        jacobian[:, :p] = (
            rows.X * ((value(eta + step, lam) - value(eta - step, lam)) / (2 * step))[:, None]
        )
        first = p + made.n_phi
        for t, coefs in enumerate(made.log_lambda):
            if lam[t] > 0 and coefs.size == 1:
                up, down = ([l * np.exp(s * (k == t)) for k, l in enumerate(lam)] for s in (h, -h))
                jacobian[:, first] = (value(eta, up) - value(eta, down)) / (2 * h)
            first += coefs.size
        return Combination.of(value(eta, lam), jacobian, made.vcov)

    def _marginal_mean(self, eta: Array, lam: Sequence[float] | None = None) -> Array:
        """E(y) at linear predictor ``eta`` without effects, over the distribution of u."""
        if lam is None:
            lam = [float(np.mean(l)) for l in self.estimates.lam]
        link = self.response_family.link
        if self.is_beta_binomial:
            return link.mu(eta)
        return marginal_mean(link, eta, self.data.random, lam, self.terms)

    def draw(self, rng: np.random.Generator) -> Array:
        """One new response (n,) of the rows fitted, effects drawn anew."""
        return draw_response(self.data, self.estimates, rng)

    def summary(self, exponentiate: bool = False) -> Summary:
        """Estimates as tables: random effects, dispersions, fixed effects.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.hglm(
        ...     "y ~ lbase + (1 | subject)",
        ...     ml.load("epil"),
        ...     family="poisson",
        ...     random_family="gamma",
        ... )
        >>> print(fit.summary())
        Hierarchical generalised linear model by maximum likelihood
        Formula: y ~ lbase + (1 | subject)
        Model: y | u poisson with log link; u gamma on subject (v = log u, E u = 1)
        Likelihood: closed form (negative multinomial)
        Rows: 236; groups: subject 59
        -2 log-likelihood: 1347.9364; AIC 1353.94; BIC 1364.33
        <BLANKLINE>
        Random effects
                        var1 var2  variance  sd or correlation
        group
        subject  (Intercept)        0.33969            0.58283
        <BLANKLINE>
        Fixed effects
                     estimate       se        z          p
        (Intercept) 0.0013636   0.1935 0.007047    0.99438
        lbase          1.0029 0.096055    10.44 1.6209e-25
        <BLANKLINE>
        Dispersions (logarithms)
                                    estimate      se
        of             coefficient
        lambda subject (Intercept)   -1.2285 0.21333
        """
        made = super().summary(exponentiate)
        lines = list(made.lines)
        about = [f"Model: {self.model}", f"Likelihood: {self.estimates.how}"]
        lines[bool(self.formula) : bool(self.formula)] = about
        tables = {**made.tables, "Dispersions (logarithms)": self.dispersion_coefs}
        return Summary(made.title, lines, tables)

    @property
    def fitted_by(self) -> str:
        """The method of estimation, in words."""
        return "h-likelihood" if self.method == "h-likelihood" else "maximum likelihood"

    def title(self) -> str:  # noqa: D102  (as in MixedFit)
        return "Hierarchical generalised linear model"
