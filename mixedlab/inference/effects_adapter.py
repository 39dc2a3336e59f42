"""A fit as the marginaleffects package takes it: predictions, comparisons, slopes, hypotheses.

All that package asks of a model is predictions as a function of parameters, and the parameters'
covariance; standard errors are by the delta method. For both kinds the linear predictor of a row is

    eta(parameters) = eta + J (parameters - estimates),

exact for a population (b = 0), where J = X. Averaged over the random effects, eta is the link of
the mean over groups, and depends on the variances too: there J is its derivative in all parameters
(`Combination`), which is as much of it as the delta method uses.

This module needs the package, so it is imported where a fit is asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from marginaleffects.classes import ModelAbstract, ModelVault
from numpy.typing import NDArray

from mixedlab.data.formula import columns_of
from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit, answers, refuse
from mixedlab.inference.values import Combination

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
EffectsKind = Literal["population", "marginal"]

# Columns that the package makes; a table's own of that name is left out unless a predictor.
_RESERVED = frozenset({
    "rowid", "type", "group", "term", "contrast", "estimate", "std_error", "statistic", "p_value",
    "s_value", "conf_low", "conf_high",
})  # fmt: skip


class EffectsModel(ModelAbstract):
    """What `marginaleffects.predictions` and its sisters take as a model.

    Parameters
    ----------
    fit : Fit
    kind : {"population", "marginal"}
    scale : {"response", "link"}
    """

    def __init__(self, fit: Fit, kind: EffectsKind, scale: Literal["response", "link"]) -> None:
        _refuse(fit, kind, scale)
        self.kind, self.scale = kind, scale
        self._levels = _labels(fit)
        recipe = fit.design.recipe
        offset = [recipe.offset] if isinstance(recipe.offset, str) else []
        predictors = [*columns_of([recipe.formula.fixed, *recipe.formula.offsets]), *offset]
        at = self._at(fit, fit.design.frame.iloc[:1])
        linear = at.jacobian.shape[1] == fit.beta.size
        # Deviations of other parameters, in standard errors, are counted from 1: near 0 the
        # package's differences would have nothing to step by.
        se = np.sqrt(np.diag(at.covariance))
        self._units = np.ones(se.size) if linear else np.where(se > 0, se, 1.0)
        vault = ModelVault(
            coef=fit.beta.copy() if linear else np.ones(se.size),
            coefnames=np.array(fit.names if linear else [f"b{k + 1}" for k in range(se.size)]),
            formula=lambda newdata: (None, self.get_exog(newdata)),
            modeldata=self._as_polars(fit.design.frame, {*predictors}),
            package="mixedlab",
            vcov=at.covariance / np.outer(self._units, self._units),
            variable_names=[_response_of(fit), *dict.fromkeys(predictors)],
        )
        super().__init__(fit, vault)

    def find_predictors(self) -> list[str] | None:
        """Columns of the fixed part; None where there is none."""
        return super().find_predictors() or None

    def get_vcov(self, vcov: Any = True) -> Array | None:
        """Covariance of the parameters; None for ``vcov=False``."""
        if isinstance(vcov, str):
            raise MixedlabError(
                f"vcov={vcov!r} is not known here: give True, False or a matrix. A GEE fit has "
                "robust standard errors."
            )
        return self.vault.vcov if vcov else None

    def get_exog(self, newdata: pl.DataFrame) -> Array:
        """Linear predictor of rows, then its derivatives, shape (m, 1 + d)."""
        at = self._at(self.model, self._as_pandas(newdata))
        return np.column_stack([at.value, at.jacobian * self._units])

    def get_predict(self, params: Array, newdata: Array) -> pl.DataFrame:
        """Predictions of rows made by `get_exog`, at other parameters."""
        eta = newdata[:, 0] + newdata[:, 1:] @ (params - self.vault.coef)
        value = eta if self.scale == "link" else self.model.response_family.link.mu(eta)
        rowid = pl.Series("rowid", np.arange(len(eta), dtype=np.int32))
        return pl.DataFrame([rowid, pl.Series("estimate", value)])

    def _at(self, fit: Fit, table: pd.DataFrame) -> Combination:
        if self.kind == "marginal" and answers(fit, "marginal coefficients"):
            return fit.marginal_predictor(fit.rows(table, "any"))
        rows = fit.rows(table, "none")
        return Combination(rows.fixed_part(fit.beta), rows.X, fit.vcov_beta)

    def _as_polars(self, frame: pd.DataFrame, predictors: set[str]) -> pl.DataFrame:
        columns = []
        for name in frame.columns:
            values = frame[name]
            if name in _RESERVED and name not in predictors:
                continue
            if name in self._levels:
                labels = [None if v != v else str(v) for v in values]
                columns.append(pl.Series(name, labels, dtype=pl.Enum(list(self._levels[name]))))
            elif name in predictors:  # not rounded where the package takes a mean
                columns.append(pl.Series(name, values.to_numpy(float)))
            else:
                columns.append(pl.Series(name, values.to_numpy()))
        return pl.DataFrame(columns)

    def _as_pandas(self, newdata: pl.DataFrame) -> pd.DataFrame:
        import pandas as pd

        columns = {}
        for name in newdata.columns:
            values = newdata[name].to_list()
            if name in self._levels:
                values = [self._levels[name].get(str(v), v) for v in values]
            columns[name] = values
        return pd.DataFrame(columns)


def _refuse(fit: Fit, kind: str, scale: str) -> None:
    for name, value, known in (
        ("kind", kind, EffectsKind.__args__),
        ("scale", scale, ("response", "link")),
    ):
        if value not in known:
            raise MixedlabError(f"{name} is one of {known}, not {value!r}.")
    refuse(fit, f"{kind} prediction")
    if fit.design is None:
        raise MixedlabError(
            "This fit was made from arrays: effects need a formula and a table, as ml.lmm and "
            "ml.glmm take them."
        )


def _labels(fit: Fit) -> dict[str, Mapping[str, Any]]:
    """For each column of labels its levels by what they print as."""
    recipe, frame = fit.design.recipe, fit.design.frame
    found = {}
    for name in frame.columns:
        levels = recipe.levels.get(name)
        numeric = frame[name].dtype.kind in "iuf" and name not in recipe.formula.factors
        if levels is None and (numeric or name in recipe.levels):
            continue
        if levels is None:
            levels = frame[name].drop_duplicates()
        found[name] = {str(level): level for level in levels}
    return found


def _response_of(fit: Fit) -> str:
    """The response's column; of several, or of an expression, the first."""
    return columns_of(fit.design.recipe.formula.responses)[0]
