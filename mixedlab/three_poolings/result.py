"""The three fits side by side: tables, notes and a summary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mixedlab.errors import DataError, listed
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.reporting import Report, Summary

if TYPE_CHECKING:
    import pandas as pd

_GROUPS_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Pooled:
    """One of the three fits, group by group.

    Attributes
    ----------
    kind : str
        ``"complete"``, ``"none"`` or ``"partial"``.
    coef, se : DataFrame, groups x coefficients
        Each group's coefficients, fixed part included, and their standard errors, on the scale of
        the link. NaN where the group has no fit of its own, or the coefficient cannot be told
        from the groups.
    fitted, resid : Series, length n
        On the response's scale and the index of the rows used; NaN where a group has no fit of
        its own.
    sigma : float
        Residual standard deviation; NaN where no row is left to estimate it from, and for a
        family that has none.
    """

    kind: str
    coef: pd.DataFrame
    se: pd.DataFrame
    fitted: pd.Series
    resid: pd.Series
    sigma: float

    def __repr__(self) -> str:
        head = f"{self.kind} pooling"
        if self.sigma == self.sigma:
            head += f", residual sd {self.sigma:.4g}"
        return f"{head}\n{self.coef.to_string(float_format='{:.5g}'.format)}"


@dataclass(frozen=True, eq=False, repr=False)
class ThreePoolings(Report):
    """Complete, no and partial pooling of one formula.

    Attributes
    ----------
    complete, none, partial : Pooled
    fit : MixedModel
        The mixed model behind ``partial``.
    sizes : Series
        Rows of each group.
    shared : tuple of str
        Coefficients that are the same for all groups.
    notes : dict
        Group to words: why it has no fit of its own, or what is wrong with it.
    remarks : tuple of str
        What holds for all groups, in words.

    Examples
    --------
    >>> import mixedlab as ml
    >>> three = ml.pooling("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> three.partial.coef.loc["308"].round(1).to_dict()
    {'(Intercept)': 253.7, 'Days': 19.7}
    """

    complete: Pooled
    none: Pooled
    partial: Pooled
    fit: MixedModel
    sizes: pd.Series
    shared: tuple[str, ...]
    notes: dict
    remarks: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each group, coefficient and pooling.

        Columns ``group, n, coefficient, pooling, estimate, se, note``; ``note`` is empty but
        for groups without a good fit of their own.
        """
        import pandas as pd

        parts = []
        for pooled in (self.complete, self.none, self.partial):
            part = pooled.coef.stack(future_stack=True).rename("estimate").to_frame()
            part["se"] = pooled.se.stack(future_stack=True)
            part = part.rename_axis(["group", "coefficient"]).reset_index()
            part["pooling"] = pooled.kind
            parts.append(part)
        table = pd.concat(parts, ignore_index=True)
        table["n"] = table["group"].map(self.sizes)
        table["note"] = [self.notes.get(group, "") for group in table["group"]]
        table.loc[table["pooling"] != "none", "note"] = ""
        return table[["group", "n", "coefficient", "pooling", "estimate", "se", "note"]]

    def side_by_side(self, coefficient: str) -> pd.DataFrame:
        """Return one coefficient of every group: columns n, complete, none, partial, note."""
        import pandas as pd

        known = self.partial.coef.columns
        if coefficient not in known:
            raise DataError(f"There is no coefficient {coefficient!r}: there are {listed(known)}.")
        columns = {p.kind: p.coef[coefficient] for p in (self.complete, self.none, self.partial)}
        table = pd.DataFrame({"n": self.sizes, **columns})
        table["note"] = [self.notes.get(group, "") for group in table.index]
        return table

    def summary(self) -> Summary:
        """Sizes, notes, and the groups' coefficients side by side (the first groups)."""
        import pandas as pd

        poolings = (self.complete, self.none, self.partial)
        family = self.fit.response_family
        if family.name == "gaussian":
            scale = "Residual sd: " + ", ".join(f"{p.kind} {p.sigma:.4g}" for p in poolings)
        else:
            scale = f"Family {family.name}; coefficients on the {family.link.name} scale"
        group = self.sizes.index.name
        sizes = f"{len(self.sizes)}, with {self.sizes.min()} to {self.sizes.max()} rows"
        lines = [f"Rows: {self.fit.n_obs}; groups: {group} {sizes}", scale]
        lines += self.remarks
        if unfitted := [g for g in self.notes if self.none.coef.loc[g].isna().all()]:
            lines.append(
                f"No fit of their own for {len(unfitted)} of {len(self.sizes)} groups "
                f"({listed(unfitted, 5)}): too few rows, or rows too alike."
            )
        tables = {}
        if self.shared:
            rows = {name: self.side_by_side(name).iloc[0] for name in self.shared}
            kinds = [p.kind for p in poolings]
            tables["The same for all groups"] = pd.DataFrame(rows).T[kinds]
        for name in self.partial.coef.columns.difference(self.shared, sort=False):
            shown = self.side_by_side(name)
            more = f" (first {_GROUPS_SHOWN} groups)" if len(shown) > _GROUPS_SHOWN else ""
            tables[f"{name}{more}"] = shown.head(_GROUPS_SHOWN)
        return Summary(f"Three poolings of {self.fit.formula}", lines, tables)
