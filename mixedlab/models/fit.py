"""What every fitted mixed model has: arrays, tables made from them on demand, and questions.

A model computes arrays; the tables (`fixef`, `varcorr`, `ranef`, ...) are made when they are
first asked for, and only then is pandas imported. What is asked *of* a fit (intervals, tests,
predictions) lives in ``mixedlab.inference``; the methods here only lead there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.layout import Layout, lower_triangle
from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.reporting import Report, Summary

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class MixedFit(Report):
    """A fitted mixed model; the base of the linear, generalised and hierarchical ones.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Response as fitted (proportions for binomial trials).
    X : ndarray, shape (n, p)
        Fixed-effects columns; ``names`` are theirs.
    terms : tuple of RandomTerm
        Random terms in the order given.
    weights, offset : ndarray, shape (n,), or None
    design : Design or None
        What the formula made of the table; None for a fit from arrays.
    beta : ndarray, shape (p,)
        Fixed effects.
    vcov_beta : ndarray, shape (p, p)
        Their covariance.
    theta : ndarray
        Relative covariance factors: lower triangles column by column, the terms by falling
        number of levels.
    sigma : float or None
        Residual standard deviation, None where the family has none.
    dispersion : float
        What multiplies the variance function; ``sigma**2`` for a linear model.
    b : list of ndarray, one a term, shape (J, q)
        Predicted random effects.
    criterion : float
        ``-2 loglik``, or the REML criterion.
    n_params : int
        Estimated parameters, for AIC and BIC.
    converged : bool
    singular : bool
        Some combination of random effects has variance zero.
    reml : bool
    family : str
        Name of the response's family.
    """

    y: Array
    X: Array
    names: tuple[str, ...]
    terms: tuple[RandomTerm, ...]
    beta: Array
    vcov_beta: Array
    theta: Array
    sigma: float | None
    dispersion: float
    b: list[Array]
    criterion: float
    n_params: int
    converged: bool = True
    singular: bool = False
    reml: bool = False
    family: str = "gaussian"
    formula: str = ""
    weights: Array | None = None
    offset: Array | None = None
    design: Any = field(default=None)

    # ---- arrays -------------------------------------------------------------------------

    @cached_property
    def layout(self) -> Layout:
        """Where each term's parameters lie in ``theta``, and which terms share a factor."""
        return Layout.of(self.terms)

    @property
    def factors(self) -> list[Array]:
        """Relative covariance factor ``Lambda`` (q, q) of each term, in the order given."""
        return self.layout.unpack(self.theta)

    @property
    def covariances(self) -> list[Array]:
        """Covariance (q, q) of each term's random effects, in the order given."""
        scale = 1.0 if self.sigma is None else self.sigma**2
        return [scale * L @ L.T for L in self.factors]

    @cached_property
    def b_covariances(self) -> list[Array]:
        """Conditional covariance of each term's random effects given y, shape (J, q, q)."""
        return self._conditional_covariances()

    def _conditional_covariances(self) -> list[Array]:
        raise NotImplementedError

    @cached_property
    def linear_predictor(self) -> Array:
        """``X beta + Z b + offset`` (n,), on the scale of the link."""
        return self.predictor_of(self.beta, self.b)

    def predictor_of(self, beta: Array, b: Sequence[Array]) -> Array:
        """Linear predictor (n,) of the fitted rows for other coefficients."""
        eta = self.X @ beta
        for term, effects in zip(self.terms, b, strict=True):
            for k in range(term.n_coefs):
                eta += term.Z[:, k] * effects[:, k][term.index]
        return eta if self.offset is None else eta + self.offset

    @property
    def fitted(self) -> Array:
        """Fitted values (n,) on the scale of the response, random effects included."""
        return self.linear_predictor

    @property
    def resid(self) -> Array:
        """Response less fitted values (n,)."""
        return self.y - self.fitted

    @property
    def loglik(self) -> float:
        """Log-likelihood; the restricted one after REML."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """``criterion + 2 n_params``."""
        return self.criterion + 2.0 * self.n_params

    @property
    def bic(self) -> float:
        """``criterion + log(n_obs) n_params``."""
        return self.criterion + float(np.log(self.n_obs)) * self.n_params

    @property
    def n_obs(self) -> int:
        """Number of rows fitted."""
        return self.y.shape[0]

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {t.group: t.n_levels for t in self.terms}

    # ---- tables -------------------------------------------------------------------------

    @cached_property
    def fixef(self) -> pd.Series:
        """Fixed effects by name."""
        import pandas as pd

        return pd.Series(self.beta, index=list(self.names), name="estimate")

    @cached_property
    def se(self) -> pd.Series:
        """Standard errors of the fixed effects by name."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.vcov_beta)), index=list(self.names), name="se")

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the fixed effects."""
        import pandas as pd

        return pd.DataFrame(self.vcov_beta, index=list(self.names), columns=list(self.names))

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances, then covariances, of each term; the residual variance last.

        ``sdcor`` is the standard deviation of a variance and the correlation of a covariance
        (NaN where one of the two variances is zero).
        """
        import pandas as pd

        rows: list[tuple] = []
        for t in self._theta_order:
            term, cov = self.terms[t], self.covariances[t]
            sd = np.sqrt(np.diag(cov))
            rows += [
                (term.group, name, None, cov[k, k], sd[k]) for k, name in enumerate(term.names)
            ]
            for i, k in zip(*lower_triangle(term.n_coefs), strict=True):
                if i > k:
                    scale = sd[i] * sd[k]
                    cor = cov[i, k] / scale if scale > 0 else np.nan
                    rows.append((term.group, term.names[k], term.names[i], cov[i, k], cor))
        if self.sigma is not None:
            rows.append(("Residual", None, None, self.sigma**2, self.sigma))
        group, var1, var2, vcov, sdcor = zip(*rows, strict=True) if rows else ((),) * 5
        # As strings the missing names would turn into NaN.
        names = {
            name: pd.Series(values, dtype=object)
            for name, values in {"group": group, "var1": var1, "var2": var2}.items()
        }
        return pd.DataFrame({**names, "vcov": np.array(vcov), "sdcor": np.array(sdcor)})

    @property
    def _theta_order(self) -> list[int]:
        return sorted(range(len(self.terms)), key=lambda t: self.layout.slices[t].start)

    @cached_property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects: for each grouping factor a table of levels by coefficients."""
        return self._by_group(self.b)

    @cached_property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the random effects, shaped as `ranef`."""
        diagonals = [np.diagonal(C, axis1=1, axis2=2) for C in self.b_covariances]
        return self._by_group([np.sqrt(np.maximum(d, 0.0)) for d in diagonals])

    def _by_group(self, values: Sequence[Array]) -> dict[str, pd.DataFrame]:
        import pandas as pd

        tables: dict[str, list[pd.DataFrame]] = {}
        for t in self._theta_order:
            term = self.terms[t]
            index = pd.Index(term.levels, name=term.group)
            table = pd.DataFrame(values[t], index=index, columns=list(term.names))
            tables.setdefault(term.group, []).append(table)
        return {
            group: parts[0] if len(parts) == 1 else pd.concat(parts, axis=1)
            for group, parts in tables.items()
        }

    def summary(self) -> Summary:
        """Estimates as tables: criterion, random effects, fixed effects."""
        import pandas as pd

        method = "REML" if self.reml else "maximum likelihood"
        lines = [f"Formula: {self.formula}"] if self.formula else []
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        lines.append(f"Rows: {self.n_obs}" + (f"; groups: {groups}" if groups else ""))
        criterion = "REML criterion" if self.reml else "-2 log-likelihood"
        lines.append(f"{criterion}: {self.criterion:.4f}; AIC {self.aic:.2f}; BIC {self.bic:.2f}")
        lines += self._notes()
        if self.singular:
            lines.append(
                "Singular: some combination of random effects has variance zero. "
                "ml.diagnose(fit) says which."
            )
        if not self.converged:
            lines.append("Not converged: do not use these numbers. ml.diagnose(fit) says more.")
        fixed = pd.DataFrame({"estimate": self.fixef, "se": self.se})
        fixed["z" if self.sigma is None else "t"] = fixed["estimate"] / fixed["se"]
        random = self.varcorr.rename(columns={"vcov": "variance", "sdcor": "sd or correlation"})
        random = random.fillna({"var1": "", "var2": ""}).set_index("group")
        tables = {"Random effects": random, "Fixed effects": fixed}
        return Summary(f"{self._title()} by {method}", lines, tables)

    def _title(self) -> str:
        return "Mixed model"

    def _notes(self) -> list[str]:
        """Further lines of the summary."""
        return []

    def __repr__(self) -> str:
        return str(self.summary())

    # ---- questions ----------------------------------------------------------------------

    def predict(
        self,
        newdata: Any = None,
        kind: Literal["conditional", "population", "marginal"] = "conditional",
        scale: Literal["response", "link"] = "response",
        interval: Literal["confidence", "prediction"] | None = None,
        new_levels: Literal["error", "population"] = "error",
        level: float = 0.95,
    ) -> Any:
        """Predict the response; see `mixedlab.inference.prediction.predict`.

        ``kind="population"`` sets the random effects to zero; ``kind="marginal"`` averages over
        their distribution. For a linear model the two agree; for a logit they do not.
        """
        from mixedlab.inference.prediction import predict

        return predict(self, newdata, kind, scale, interval, new_levels, level)

    def simulate(self, n: int = 1, seed: int | None = None) -> Array:
        """Draw new responses (n, n_obs) from the fitted model, random effects drawn anew."""
        from mixedlab.inference.prediction import simulate

        return simulate(self, n, seed)

    def refit(self, y: ArrayLike) -> MixedFit:
        """Fit the same model to another response (n,), in the order of the rows fitted."""
        raise NotImplementedError

    def confint(
        self, level: float = 0.95, method: Literal["wald", "profile", "bootstrap"] = "wald", **kw
    ) -> pd.DataFrame:
        """Confidence intervals; see `mixedlab.inference.intervals.confint`."""
        from mixedlab.inference.intervals import confint

        return confint(self, level, method, **kw)

    def tests(self, df: Literal["wald", "satterthwaite", "kenward-roger"] = "wald") -> pd.DataFrame:
        """Tests of the fixed effects; see `mixedlab.inference.tests_of_coefs.tests`."""
        from mixedlab.inference.tests_of_coefs import tests

        return tests(self, df)

    def icc(self) -> Any:
        """Intraclass correlation; see `mixedlab.inference.explained.icc`."""
        from mixedlab.inference.explained import icc

        return icc(self)

    def r2(self) -> Any:
        """Marginal and conditional R squared; see `mixedlab.inference.explained.r2`."""
        from mixedlab.inference.explained import r2

        return r2(self)

    def caic(self) -> Any:
        """Conditional AIC; see `mixedlab.inference.explained.caic`."""
        from mixedlab.inference.explained import caic

        return caic(self)
