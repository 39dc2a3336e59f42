"""The questions that every fit takes, as methods, and its coefficients as tables.

The methods here hold no mathematics: each leads to the function that asks the fit's contract
(`mixedlab.inference.contract`). A fit inherits them, so that all fits have one signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Kind, NewLevels
from mixedlab.inference.reporting import Report
from mixedlab.inference.tables import by_name, names_by_names, normal_quantile, on_rows

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.inference.denominators import Method
    from mixedlab.inference.effects_model import EffectsModel
    from mixedlab.inference.explained import ICC, R2, ConditionalAIC
    from mixedlab.inference.tests_of_terms import Reference

Array = NDArray[np.float64]


class Coefficients(Report):
    """Estimated coefficients and their covariance, as tables."""

    names: tuple[str, ...]
    beta: Array
    vcov_beta: Array

    @cached_property
    def coef(self) -> pd.Series:
        """Coefficients by name."""
        return by_name(self.names, self.beta, "estimate")

    @cached_property
    def se(self) -> pd.Series:
        """Standard errors by name."""
        return by_name(self.names, np.sqrt(np.diag(self.vcov_beta)), "se")

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        return names_by_names(self.names, self.vcov_beta)

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals of the coefficients, with normal quantiles: ``lower, upper``."""
        half = normal_quantile(level) * np.sqrt(np.diag(self.vcov_beta))
        return on_rows({"lower": self.beta - half, "upper": self.beta + half}, list(self.names))


class Questions(Coefficients):
    """A fit that takes questions."""

    def predict(
        self,
        newdata: Any = None,
        kind: Kind = "conditional",
        scale: Literal["response", "link"] = "response",
        interval: Literal["confidence", "prediction"] | None = None,
        new_levels: NewLevels = "error",
        level: float = 0.95,
    ) -> pd.Series | pd.DataFrame:
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

    def confint(
        self,
        level: float = 0.95,
        method: Literal["wald", "profile", "bootstrap"] = "wald",
        *,
        parameters: Iterable[str] | None = None,
        df: Method = "wald",
        n: int = 1000,
        seed: int = 1,
        executor: Executor | None = None,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Confidence intervals; see `mixedlab.inference.intervals.confint`."""
        from mixedlab.inference.intervals import confint

        return confint(
            self, level, method, parameters=parameters, df=df, n=n, seed=seed,
            executor=executor, progress=progress,
        )  # fmt: skip

    def tests(self, df: Method | None = None) -> pd.DataFrame:
        """Tests of the coefficients; see `mixedlab.inference.tests_of_coefs.tests`.

        By default with Satterthwaite's degrees of freedom where they can be had.
        """
        from mixedlab.inference.tests_of_coefs import tests

        return tests(self, df)

    def terms_table(self, type: Literal[3, 2, 1] = 3, df: Reference | None = None) -> pd.DataFrame:
        """Tests of whole terms; see `mixedlab.inference.tests_of_terms.terms_table`.

        F by Satterthwaite or Kenward-Roger, chi-squared or a likelihood ratio for other models.
        """
        from mixedlab.inference.tests_of_terms import terms_table

        return terms_table(self, type, df)

    def effects_model(
        self,
        kind: Literal["population", "marginal"] = "population",
        scale: Literal["response", "link"] = "response",
    ) -> EffectsModel:
        """The fit as the marginaleffects package takes it (``pip install mixedlab[effects]``).

        Give it to ``marginaleffects.predictions``, ``comparisons``, ``slopes``, ``hypotheses`` or
        their plots.

        Parameters
        ----------
        kind : {"population", "marginal"}
            Of a group whose effects are zero, or averaged over the groups. Under a logit they are
            different things.
        scale : {"response", "link"}
        """
        try:
            from mixedlab.inference.effects_model import EffectsModel
        except ModuleNotFoundError as error:
            raise MixedlabError(
                f"There is no package {error.name}: install marginaleffects, for example by "
                "pip install 'mixedlab[effects]'."
            ) from None
        return EffectsModel(self, kind, scale)

    def icc(self) -> ICC:
        """Intraclass correlation; see `mixedlab.inference.explained.icc`."""
        from mixedlab.inference.explained import icc

        return icc(self)

    def r2(self) -> R2:
        """Marginal and conditional R squared; see `mixedlab.inference.explained.r2`."""
        from mixedlab.inference.explained import r2

        return r2(self)

    def caic(self) -> ConditionalAIC:
        """Conditional AIC; see `mixedlab.inference.explained.caic`."""
        from mixedlab.inference.explained import caic

        return caic(self)
