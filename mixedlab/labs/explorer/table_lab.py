"""The lab of a table: its controls are the table's own columns; one handle pools its groups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedlab.errors import DataError, MixedlabError, nearest
from mixedlab.labs.explorer.columns import MOST_COLUMNS, TableCheck, check_table
from mixedlab.labs.explorer.fitting import (
    MOST_CHECKED,
    Fits,
    Sample,
    bootstrap_icc,
    fits_of,
    fitted,
    guess_family,
    sample_of,
    simulated,
)
from mixedlab.labs.explorer.picture import (
    Shown,
    caterpillar,
    groups_panel,
    icc_panel,
    residuals_panel,
    slopes_panel,
    troubled,
    warnings_panel,
)
from mixedlab.labs.explorer.question import Question, column_of
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Lab, Statistic, choice, slider, toggle
from mixedlab.labs.kit.scene import Scene
from mixedlab.labs.kit.words import percent

if TYPE_CHECKING:
    import pandas as pd

MOST_KEPT = 6  # fits held, so that a step back is at once
FAMILIES = {
    "guess": "Guess",
    "gaussian": "Gaussian",
    "binomial": "Binomial",
    "poisson": "Poisson",
    "negative_binomial": "Negative binomial",
    "gamma": "Gamma",
}
DRAWS = 99


class Table:
    """A checked table, the fits made of it, and its lab."""

    def __init__(self, df: pd.DataFrame, **wells: Any) -> None:
        self.check: TableCheck = check_table(df)
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self.groupings = _groupings(self.check)
        self._wells = self._first(**wells)

    # ---- the wells

    def _first(self, y=None, x=None, group=None, family=None, offset=None) -> dict[str, str]:
        known = [c.name for c in self.check.columns]
        for name in (y, x, column_of(offset or "")):
            if name and name not in known:
                raise DataError(f"There is no column {name!r}.{nearest(name, known)}")
        if family and family not in FAMILIES:
            raise DataError(f"There is no family {family!r}.{nearest(family, FAMILIES)}")
        if group is not None:
            group = self._grouping(group)
        group = group or next((c for c in self.check.factors if c != y), self.check.factors[0])
        others = [c for c in self.check.outcomes if c not in self.groupings[group][0]]
        varying = (c for c in others if self._varies_within(c, self.groupings[group][0]))
        y = y or next(varying, (others or self.check.outcomes)[0])
        taken = {y, *self.groupings[group][0], offset}
        if x is None:
            numbers = (c for c in self.check.columns if c.kind in ("number", "whole number"))
            measured = sorted(numbers, key=lambda c: c.kind == "whole number" and c.is_label)
            free = [c.name for c in measured if c.name not in taken and c.n_missing == 0]
            x = free[0] if free else ""
        return {"y": y, "x": x, "group": group, "family": family or "guess", "offset": offset or ""}

    def _varies_within(self, column: str, factors: Sequence[str]) -> bool:
        groups = self.check.df.groupby(list(factors), observed=True)[column]
        return bool((groups.nunique() > 1).any())

    def _grouping(self, group: str | Sequence[str]) -> str:
        if isinstance(group, str) and group in self.groupings:
            return group
        known = [c.name for c in self.check.columns]
        sign = next((s for s in "/+" if s in group and group not in known), "")
        names = [group] if isinstance(group, str) else list(group)
        if isinstance(group, str) and sign:
            names = [name.strip() for name in group.split(sign)]
        for name in names:
            if name not in known:
                raise DataError(f"There is no group {name!r}.{nearest(name, self.groupings)}")
            if not self.check[name].groups_rows:
                column = self.check[name]
                raise DataError(
                    column.why_no_groups or f"No groups can be made of {column.words()}"
                )
        if len(names) != 2:
            raise DataError(f"A group is one column or two, not {len(names)}.")
        if sign:  # as it is written
            name = f"{names[0]}/{names[1]}" if sign == "/" else " + ".join(names)
            return self._add_grouping(name, names, nested=sign == "/")
        outer, inner = sorted(names, key=lambda name: self.check[name].n_values)
        if self.check.is_nested(inner, outer):
            return self._add_grouping(f"{outer}/{inner}", (outer, inner), nested=True)
        return self._add_grouping(" + ".join(names), names, nested=False)

    def _add_grouping(self, name: str, factors: Sequence[str], nested: bool) -> str:
        self.groupings.setdefault(name, (tuple(factors), nested))
        return name

    def question(self, state: Any) -> Question:
        """Return what a state asks."""
        factors, nested = self.groupings[state.group]
        family = state.family
        if family == "guess":
            family = guess_family(self.check, state.y)
        return Question(
            state.y, state.x, factors, nested, family, state.slope, state.centring, state.offset
        )

    # ---- the four functions of a lab

    def simulate(self, state: Any) -> Sample | str:
        """Take the rows that a state asks for; with a seed, their outcome drawn from the fit."""
        key = (state.y, state.x, state.group, state.family, state.slope, state.centring,
               state.offset, state.seed)  # fmt: skip
        return self._keep(("sample", *key), lambda: self._simulate(state))

    def _simulate(self, state: Any) -> Sample:
        try:
            sample = sample_of(self.check, self.question(state))
        except MixedlabError as error:
            return str(error)
        return simulated(sample, self.fit(sample), state.seed) if state.seed else sample

    def fit(self, sample: Sample | str) -> Fits:
        """Fit a sample; what is wrong with it is said by the fits."""
        if isinstance(sample, str):
            return Fits(None, trouble=sample)
        return self._keep(("fit", id(sample)), lambda: fits_of(sample), sample)

    def scene(self, state: Any, sample: Sample | str, fits: Fits) -> Scene:
        """Describe the groups at the handle's place, and all that is asked of the fit."""
        if fits.trouble:
            words = f"{fits.trouble} Choose another column. The table has {len(self.check.df)} rows"
            return Scene(
                troubled(fits), f"{words}.", f"{words}.", outcome=fits.trouble,
                headline="nothing is fitted", ask="Choose other columns: " + fits.trouble,
            )  # fmt: skip
        about = self._keep(("about", id(fits)), lambda: About(fits), fits)
        q = sample.question
        rows = f"{fits.fit.n_obs} rows in {len(fits.groups)} groups of {q.group}"
        lost = f"; {sample.n_lost} rows without a value are left out" if sample.n_lost else ""
        drawn = " The outcome is simulated from the fit." if sample.simulated else ""
        guessed = " (guessed)" if state.family == "guess" else ""
        told = f"{rows}{lost}; family {q.family}{guessed}.{drawn}"
        alone = (
            f" {len(fits.notes)} groups have no fit of their own and stand at the model's place."
            if fits.notes
            else ""
        )
        if fits.icc is None:
            headline, shares = "see the groups move together", "This family has no ICC."
        else:
            headline = f"{percent(fits.icc)} of the variance lies between groups"
            shares = f"ICC {fits.icc:.3f}: {percent(fits.icc)} of the variance lies between groups."
        return Scene(
            panels=[
                groups_panel(about.shown, state.pooling),
                icc_panel(fits),
                caterpillar(about.shown),
                slopes_panel(about.shown, *about.slopes),
                residuals_panel(about.shown, about.ranks),
                warnings_panel(about.warnings),
            ],
            headline=headline,
            answer=fits.icc,
            ask=f"How much of the variance of {q.y} lies between groups of {q.group}? "
            "Drag the bar to your guess.",
            summary=f"{told} {shares}",
            summary_before=told,
            outcome=" ".join([told, f"{shares}{alone}", *about.warnings]),
        )

    def measure_many(self, state: Any, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """ICC of samples drawn from the fit and refitted: the parametric bootstrap."""
        return {"icc": bootstrap_icc(self._fits_of_the_table(state), seeds)}

    def truth_of(self, state: Any) -> dict[str, float]:
        """What the samples are drawn with: the fit's own ICC."""
        icc = self._fits_of_the_table(state).icc
        return {} if icc is None else {"icc": icc}

    def _fits_of_the_table(self, state: Any) -> Fits:
        from dataclasses import replace

        return self.fit(self.simulate(replace(state, seed=0)))

    def _keep(self, key: Any, make: Callable[[], Any], *held: Any) -> Any:
        """Return what was made for a key; ``held`` lives as long, so that its id stays its own."""
        if key not in self._kept:
            self._kept[key] = (make(), held)
            while len(self._kept) > 3 * MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key][0]

    # ---- the lab

    @cached_property
    def lab(self) -> Lab:
        """The lab of this table."""
        check, first = self.check, self._wells
        columns = check.outcomes[:MOST_COLUMNS]
        none = {"": "(none)"}

        def well(at_first: str, names: Sequence[str], label: str, help: str = "", **more: str):
            options = {**more, **{name: name for name in names}}
            options.setdefault(at_first, at_first)
            return choice(at_first, options, label, help, folded=True)

        numbers = [c.name for c in check.columns if c.kind in ("number", "whole number")]
        numbers = numbers[:MOST_COLUMNS]
        exposures = [f"log({name})" for name in numbers if check.df[name].min() > 0]
        fields = [
            ("y", str, well(first["y"], columns, "Outcome")),
            ("x", str, well(first["x"], check.predictors[:MOST_COLUMNS], "Predictor", **none)),
            ("group", str, well(first["group"], list(self.groupings)[:MOST_COLUMNS], "Group")),
            ("pooling", float, slider(0.5, 0, 1, 0.01, "Pooling", help=POOLING)),
            ("family", str, choice(first["family"], FAMILIES, "Family")),
            ("slope", bool, toggle(False, "A slope for each group")),
            ("centring", str, choice("raw", CENTRINGS, "Predictor as")),
            ("offset", str, well(first["offset"], exposures + numbers, "Offset", **none)),
            ("seed", int, 0),
        ]
        state = make_dataclass("State", fields, frozen=True)
        y, group = first["y"], first["group"]
        return Lab(
            name="explorer",
            title="Your table",
            state=state,
            simulate=self.simulate,
            fit=self.fit,
            scene=self.scene,
            question=Place(
                "How much of the variance lies between groups? Drag the bar to your guess.",
                panel="icc", axis="x", low=0, high=1, step=0.01, start=0.5,
                label="share between groups", near=0.05,
            ),
            alt=f"{y} of every row, in the colour of its group ({group}).",
            main=("y", "x", "group", "pooling"),
            statistics=(Statistic("icc", "ICC", "model", lifts="icc/share"),),
            statistics_label="ICC of samples simulated from the fit",
            measure_many=self.measure_many,
            truth_of=self.truth_of,
            new_sample_label="Simulate from the fit",
            most_controls=8,
        )  # fmt: skip


POOLING = "0: each group by itself; 0.5: the model; 1: all together"
CENTRINGS = {"raw": "it is", "split": "within and between"}


class About:
    """What is asked of one fit beside its coefficients, each thing once."""

    def __init__(self, fits: Fits) -> None:
        self.fits, self.shown = fits, Shown(fits)

    @cached_property
    def slopes(self) -> tuple[list[tuple[str, float, float]], str]:
        """Slopes within and between groups with standard errors; or none, and why."""
        from dataclasses import replace

        from mixedlab.data.contextual import within_between

        q, sample = self.fits.sample.question, self.fits.sample
        if not q.x or self.shown.levels:
            return [], "No predictor of numbers, so there is no slope."
        split = replace(q, centring="split", slope=False)
        frame = sample.frame
        if not q.split:
            frame = within_between(frame, q.x, q.factors[0])
        means, deviations = (frame[name].to_numpy(float) for name in split.fixed)
        flat = 1e-9 * (np.ptp(frame[q.x].to_numpy(float)) or 1)
        if np.ptp(means) <= flat or np.ptp(deviations) <= flat:
            where = "within" if np.ptp(means) <= flat else "between"
            return [], f"{q.x} varies only {where} groups: it has one slope."
        try:
            fit = fitted(split, frame)
            names = [n for n in fit.fixef.index if n != "(Intercept)"]
            rows = [(w, float(fit.fixef[n]), float(fit.se[n]))
                    for w, n in zip(("between", "within"), names, strict=True)]  # fmt: skip
            return rows, ""
        except (MixedlabError, np.linalg.LinAlgError, ValueError) as error:
            return [], str(error).split("\n\n")[0]

    @cached_property
    def ranks(self) -> np.ndarray | None:
        """Where each row drawn stands among outcomes simulated from the fit, ties at random."""
        if self.fits.fit.n_obs > MOST_CHECKED:
            return None
        rows = self.shown.rows
        y = self.fits.sample.frame[self.fits.sample.question.y].to_numpy(float)[rows]
        drawn = np.asarray(self.fits.fit.simulate(DRAWS, 1), dtype=float)
        drawn = drawn[rows] if drawn.shape[0] == self.fits.fit.n_obs else drawn.T[rows]
        luck = np.random.default_rng(1).random(len(rows))
        below, same = (drawn < y[:, None]).sum(1), (drawn == y[:, None]).sum(1)
        return (below + luck * (same + 1)) / (DRAWS + 1)

    @cached_property
    def warnings(self) -> list[str]:
        """What ``ml.diagnose`` found, each with what to do."""
        if self.fits.fit.n_obs > MOST_CHECKED:
            return [f"Above {MOST_CHECKED} rows, ask for the checks: ml.diagnose(widget.fit)."]
        from mixedlab.diagnosis import diagnose

        try:
            checks = diagnose(self.fits.fit)
            found = [f"{f.text} {f.remedy}".strip() for f in checks]
        except (MixedlabError, np.linalg.LinAlgError) as error:
            return [f"The checks could not be made: {error}"]
        return [text[:1].upper() + text[1:] for text in found] or [
            f"Nothing was found by the {len(checks.checked)} checks made."
        ]


def _groupings(check: TableCheck) -> dict[str, tuple[tuple[str, ...], bool]]:
    """What can stand in the group's well: each factor, and pairs, nested or crossed."""
    found = {name: ((name,), False) for name in check.factors}
    for pair in check.pairs:
        if not (check[pair.outer].groups_rows and check[pair.inner].groups_rows):
            continue
        name = f"{pair.outer}/{pair.inner}" if pair.nested else f"{pair.outer} + {pair.inner}"
        found.setdefault(name, ((pair.outer, pair.inner), pair.nested))
        if not pair.nested:  # labels that start anew in each group look crossed
            anew = f"{pair.inner}/{pair.outer}"
            found.setdefault(anew, ((pair.inner, pair.outer), True))
    return found
