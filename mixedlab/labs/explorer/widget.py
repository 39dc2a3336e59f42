"""The explorer in Jupyter: a lab's widget whose lab is made of a table, and follows a new one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import traitlets as t

from mixedlab.errors import DataError
from mixedlab.labs.explorer.table_lab import Table
from mixedlab.labs.kit import protocol
from mixedlab.labs.kit.shell import shell
from mixedlab.labs.kit.svg import pictures
from mixedlab.labs.kit.widget import LabWidget

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.inference.contract import MixedModel

WELLS = ("y", "x", "group", "family", "offset")


class Explorer(LabWidget):
    """A table as a live lab; `ml.explore` makes one.

    Attributes
    ----------
    y, x, group, family, slope, centring, offset, pooling, seed
        The settings; each is a trait. With a ``seed`` other than 0 the outcome is simulated from
        the fit to the table.
    """

    y = t.Unicode().tag(sync=True)
    x = t.Unicode().tag(sync=True)
    group = t.Unicode().tag(sync=True)
    family = t.Unicode("guess").tag(sync=True)
    slope = t.Bool(False).tag(sync=True)
    centring = t.Unicode("raw").tag(sync=True)
    offset = t.Unicode().tag(sync=True)
    pooling = t.Float(0.5).tag(sync=True)
    seed = t.Int(0).tag(sync=True)

    def __init__(self, df: pd.DataFrame, **wells: Any) -> None:
        self._table = Table(df, **wells)
        self._lab = self._table.lab
        super().__init__(**asdict(self._lab.state()))

    @t.validate("y", "x", "group", "family", "slope", "centring", "offset", "pooling", "seed")
    def _clean_setting(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        cleaned = getattr(self._lab.clean({name: value}), name)
        control = self._lab.controls.get(name)
        if control is not None and control.kind == "choice" and cleaned != value:
            known = ", ".join(repr(option) for option, _ in control.options)
            raise t.TraitError(f"{name!r} takes one of {known}, not {value!r}.")
        return cleaned

    @property
    def df(self) -> pd.DataFrame:
        """The table; give a new one, and the lab follows, with the same wells where it has them."""
        return self._table.check.df

    @df.setter
    def df(self, df: pd.DataFrame) -> None:
        old = asdict(self.state)
        try:
            table = Table(df, **{name: old[name] for name in WELLS if old[name] != "guess"})
        except DataError:
            table = Table(df)  # other columns: the wells are guessed anew
        lab = table.lab
        state = lab.clean({k: old[k] for k in ("slope", "centring", "pooling")})
        self._table, self._lab = table, lab
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in asdict(state).items():
                setattr(self, name, value)
            self.description = protocol.describe(lab) | {"share": "python"}
            self.shell = shell(lab, pictures(lab.run(state), lab.name, lab.alt))
        self.value = asdict(self.state)

    @property
    def check(self) -> str:
        """What stands in the table's columns, in words."""
        return self._table.check.words()

    @property
    def fit(self) -> MixedModel:
        """The mixed model of the settings.

        Raises
        ------
        DataError
            Where they cannot be fitted; the message says why.
        """
        if self.fits.trouble:
            raise DataError(self.fits.trouble)
        return self.fits.fit

    @property
    def code(self) -> str:
        """The lines of mixedlab that make the fit from the table ``df``."""
        return self._table.question(self.state).code()

    @property
    def code_of_lme4(self) -> str:
        """The lines of R's lme4 that make the same fit from the data frame ``df``."""
        return self._table.question(self.state).code_of_lme4()

    @property
    def report(self) -> str:
        """The paragraph of ``fit.report()``."""
        return str(self.fit.report())

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self.state).items())
        return f"ml.explore(df, {settings})"
