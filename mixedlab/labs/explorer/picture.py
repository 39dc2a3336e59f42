"""What the explorer shows of a fit: the groups, the ICC, the caterpillar, slopes and residuals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.explorer.fitting import Fits
from mixedlab.labs.explorer.question import column_of
from mixedlab.labs.kit.marks import GROUP_HUES, bars, dots, each, level, lines, texts
from mixedlab.labs.kit.panels import intervals
from mixedlab.labs.kit.scene import Axis, Mark, Panel
from mixedlab.labs.kit.words import number, percent

Array = NDArray[np.float64]

MOST_GROUPS = 24  # drawn
MOST_ROWS = 300  # drawn
CURVE = 9  # places of a curve
LETTERS = 14  # of a label in a picture
WELLS = ("y", "x", "group", "family", "offset", "centring", "slope", "seed")


@dataclass(frozen=True, eq=False)
class Shown:
    """The groups and rows that are drawn: all of a small table, an even sample of a large one."""

    fits: Fits

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """All groups by the model's value, the lowest first."""
        at = float(np.mean(self.x)) if self.has_line else 0.0
        return np.argsort(self._eta(self.fits.model, np.array([at]))[:, 0], kind="stable")

    @cached_property
    def groups(self) -> NDArray[np.intp]:
        """The groups drawn, lowest and highest among them."""
        J = len(self.order)
        return self.order[np.unique(np.linspace(0, J - 1, min(J, MOST_GROUPS)).round().astype(int))]

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """The rows drawn: of the groups drawn, the same share of each."""
        within = np.flatnonzero(np.isin(self.fits.index, self.groups))
        if len(within) <= MOST_ROWS:
            return within
        within = within[np.argsort(self.fits.index[within], kind="stable")]
        return within[np.linspace(0, len(within) - 1, MOST_ROWS).round().astype(int)]

    @cached_property
    def names(self) -> list[str]:
        """Keys of the groups drawn."""
        return [self.fits.groups[j] for j in self.groups]

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Rows of every group."""
        return np.bincount(self.fits.index, minlength=len(self.fits.groups))

    @property
    def sampled(self) -> str:
        """What is not drawn, in words; empty where all is."""
        n, J = len(self.fits.index), len(self.fits.groups)
        if len(self.rows) == n:
            return ""
        return f"drawn: {len(self.groups)} of {J} groups, {len(self.rows)} of {n} rows; fitted: all"

    # ---- the predictor

    @property
    def has_line(self) -> bool:
        """Whether there is a predictor to stand along."""
        return bool(self.fits.sample.question.x)

    @cached_property
    def levels(self) -> list[str]:
        """Labels of a predictor that is none of numbers, in the order of the picture."""
        column = self.fits.sample.frame[self.fits.sample.question.x]
        return [] if column.dtype.kind in "ifu" else sorted(column.unique())

    @cached_property
    def x(self) -> Array:
        """The predictor of every row; the place of its label where it has labels."""
        column = self.fits.sample.frame[self.fits.sample.question.x]
        if self.levels:
            return column.map({label: i for i, label in enumerate(self.levels)}).to_numpy(float)
        return column.to_numpy(float)

    @cached_property
    def places(self) -> Array:
        """Where curves are drawn."""
        if self.levels:
            return np.arange(len(self.levels), dtype=float)
        straight = self.fits.fit.response_family.link.name == "identity"
        return np.linspace(self.x.min(), self.x.max(), 2 if straight else CURVE)

    @cached_property
    def x_means(self) -> Array:
        """Mean of the predictor between groups, where it is split."""
        q, frame = self.fits.sample.question, self.fits.sample.frame
        sums = np.bincount(self.fits.index, frame[q.fixed[0]], minlength=len(self.sizes))
        return sums / self.sizes

    def _eta(self, coefs: Array, at: Array) -> Array:
        """Linear predictor of each group at places of x, shape (J, m)."""
        q = self.fits.sample.question
        eta = np.zeros((len(coefs), len(at)))
        for name, coef in zip(self.fits.names, coefs.T, strict=True):
            eta += np.nan_to_num(coef)[:, None] * self._column(name, q, at)
        return eta

    def _column(self, name: str, q, at: Array) -> Array:
        if name == "(Intercept)":
            return np.ones((1, len(at)))
        if q.split:
            mean = self.x_means[:, None]
            return np.broadcast_to(mean, (len(mean), len(at))) if _is(name, q.fixed[0]) else (
                at[None, :] - mean)  # fmt: skip
        if self.levels:
            label = name[name.index("[T.") + 3 : -1]
            return (at == self.levels.index(label)).astype(float)[None, :]
        return at[None, :]

    def curves(self, coefs: Array) -> Array:
        """Outcome of the groups drawn along the places, shape (groups, places)."""
        at = self.places if self.has_line else np.zeros(1)
        return self.fits.fit.response_family.link.mu(self._eta(coefs, at))[self.groups]

    @cached_property
    def y(self) -> Array:
        """The outcome of every row; a rate, where an offset says of how much."""
        q, frame = self.fits.sample.question, self.fits.sample.frame
        y = frame[q.y].to_numpy(float)
        if not q.offset:
            return y
        link = self.fits.fit.response_family.link.name
        offset = frame[column_of(q.offset)].to_numpy(float)
        offset = np.log(offset) if q.logs_offset else offset
        return y / np.exp(offset) if link == "log" else y - offset if link == "identity" else y


def groups_panel(shown: Shown, handle: float) -> Panel:
    """Draw rows and groups, each group at the handle's place on its way to the others."""
    fits, q = shown.fits, shown.fits.sample.question
    own, pooled = shown.curves(fits.at(0.0)), shown.curves(fits.at(handle))
    everyone = shown.curves(fits.complete)
    hues = np.arange(len(shown.groups)) % GROUP_HUES
    hue_of = dict(zip(shown.groups.tolist(), hues.tolist(), strict=True))
    row_hues = [hue_of[j] for j in fits.index[shown.rows]]
    y = shown.y[shown.rows]
    title = f"{q.y} of each {q.group}" + (f" ({shown.sampled})" if shown.sampled else "")
    range_y = _range(np.concatenate([y, np.ravel(own)[np.isfinite(np.ravel(own))]]), y)
    told = each(
        f"{q.group} {{}}, {{}} rows", shown.names, shown.sizes[shown.groups]
    )  # fmt: skip
    if not shown.has_line:
        return _means(shown, own, pooled, everyone, title, range_y, told, row_hues)
    x = shown.places
    jitter = 0.0
    if shown.levels:
        jitter = 0.3 * ((np.arange(len(shown.rows)) * 0.618) % 1 - 0.5)
        ticks = {float(i): _short(label) for i, label in enumerate(shown.levels)}
        axis = Axis.ticked(q.x, -0.4, len(x) - 0.6, ticks, WELLS)
    else:
        axis = Axis(q.x, *_range(shown.x), eases_with=WELLS)
    marks = [
        dots("data", None, shown.x[shown.rows] + jitter, y, hues=row_hues, opacity=0.55),
        lines("own", shown.names, x, own, hues=hues.tolist(), hover=told, opacity=0.45, width=1),
        lines("yours", shown.names, x, pooled, key="pooled", hues=hues.tolist(), hover=told,
              stage="estimate", starts_from="own"),
        lines("everyone", ["all"], x, everyone[:1], name="all together", width=3.5),
    ]  # fmt: skip
    return Panel("groups", title, axis, _outcome_axis(shown, range_y), marks, hero=True)


def _means(shown, own, pooled, everyone, title, span, told, row_hues) -> Panel:
    names, q = shown.names, shown.fits.sample.question
    rows = np.arange(len(names), dtype=float)
    hues = [row_hue % GROUP_HUES for row_hue in range(len(names))]
    side = "end" if own[-1, 0] > sum(span) / 2 else "start"
    row_of = dict(zip(shown.groups.tolist(), rows, strict=True))
    at = np.array([row_of[j] for j in shown.fits.index[shown.rows]])
    at = at + 0.4 * ((np.arange(len(at)) * 0.618) % 1 - 0.5)
    marks = [
        dots("data", None, shown.y[shown.rows], at, hues=row_hues, opacity=0.5, size=2.5),
        level_of_all(everyone[0, 0], len(names)),
        dots("own", names, own[:, 0], rows, hover=told, hues=hues),
        lines("yours", names, np.column_stack([own[:, 0], pooled[:, 0]]),
              np.repeat(rows[:, None], 2, axis=1), key="way", stage="estimate", opacity=0.6),
        dots("yours", names, pooled[:, 0], rows, key="pooled", stage="estimate",
             hover=told, starts_from="own", hues=hues, shape="square"),
        texts("guide", own[-1, 0], len(names) - 0.45, "circle: by itself", key="own-name",
              anchor=side),
    ]  # fmt: skip
    axis = Axis.names([_short(name) for name in names[::-1]], q.group, WELLS)
    return Panel("groups", title, _outcome_axis(shown, span), axis, marks, hero=True)


def level_of_all(value: float, n: int) -> Mark:
    """Draw the value of all together as an upright line."""
    return lines("everyone", ["all"], [[value, value]], [[-0.7, n - 0.3]], name="all together")


def icc_panel(fits: Fits) -> Panel:
    """Draw the share of the variance between groups as a bar, on which the reader bets."""
    marks: list[Mark] = [bars("guide", ["whole"], 0.0, 1.0, 0.3, 0.7, key="whole", opacity=0.35)]
    if fits.icc is not None:
        hover = [f"{percent(fits.icc)} of the variance lies between groups"]
        marks.append(bars("model", ["share"], 0.0, fits.icc, 0.3, 0.7, key="share", hover=hover))
    scale = fits.fit.response_family.link.name
    title = "ICC" if scale == "identity" else f"ICC, on the {scale} scale"
    axis = Axis.ticked("share of the variance between groups", -0.02, 1.02, (0, 0.25, 0.5, 0.75, 1))
    return Panel("icc", title, axis, Axis("", 0, 1, visible=False), marks)


def caterpillar(shown: Shown) -> Panel:
    """Draw what each group has over the average, with 95 % of its conditional spread; size by n."""
    fits, names = shown.fits, shown.names
    factor, effects = _effects(fits)
    sd = fits.fit.ranef_sd[factor].iloc[:, 0]
    b, sd = (s.set_axis(s.index.map(str)).reindex(names).to_numpy(float) for s in (effects, sd))
    order = np.argsort(b, kind="stable")[::-1]
    n = shown.sizes[shown.groups]
    size = 2.5 + 3.5 * np.sqrt(n / n.max())
    told = each("{}: {:.3g} ± {:.2g}, {} rows", names, b, 1.96 * sd, n)
    spans = np.column_stack([b - 1.96 * sd, b + 1.96 * sd])[order]
    rows = np.arange(len(names), dtype=float)[::-1]
    sorted_names = [names[i] for i in order]
    reach = 1.1 * float(np.max(np.abs(spans))) or 1.0
    marks = [
        lines("guide", ["zero"], [[0.0, 0.0]], [[-0.7, len(names) - 0.3]], key="zero"),
        lines("model", sorted_names, spans, np.repeat(rows[:, None], 2, axis=1), key="spans",
              width=1.5, opacity=0.6),
        dots("model", sorted_names, b[order], rows, size=size[order].tolist(),
             name="by the model", hover=[told[i] for i in order]),
    ]  # fmt: skip
    axis = Axis(f"{effects.name} over the average", -reach, reach, eases_with=WELLS)
    y = Axis("", -0.8, len(names) - 0.2, visible=False, eases_with=WELLS)
    return Panel("caterpillar", "Groups: size by rows", axis, y, marks)


def slopes_panel(shown: Shown, slopes: Sequence[tuple[str, float, float]], words: str) -> Panel:
    """Draw the slope within groups and between them, with 95 % intervals; or why there is none."""
    title = "Slope within and between groups"
    if not slopes:
        return _words_panel("slopes", title, words)
    names = [name for name, _, _ in slopes]
    b, se = (np.array([row[i] for row in slopes]) for i in (1, 2))
    span = _range(np.concatenate([b - 2 * se, b + 2 * se, [0.0]]))
    hover = each("{}: {:.3g}, 95 % from {:.3g} to {:.3g}", names, b, b - 1.96 * se, b + 1.96 * se)
    marks = [
        lines("guide", None, [[0.0, 0.0]], [[-0.7, len(names) - 0.3]], key="zero"),
        *intervals("model", names, b, b - 1.96 * se, b + 1.96 * se, hover=hover),
    ]
    axis = Axis(f"slope of {shown.fits.sample.question.x}", *span, eases_with=WELLS)
    return Panel("slopes", title, axis, Axis.names(names), marks, folded=True)


def residuals_panel(shown: Shown, ranks: Array | None) -> Panel:
    """Draw where each row stands among outcomes simulated from the fit: evenly, if it holds."""
    title = "Residuals: rank among 99 simulated outcomes"
    if ranks is None:
        return _words_panel("residuals", title, "not drawn for this many rows")
    fitted = np.asarray(shown.fits.fit.fitted, dtype=float)
    rows = shown.rows
    place = np.argsort(np.argsort(fitted[rows], kind="stable")) / max(1, len(rows) - 1)
    hues = (shown.fits.index[rows] % GROUP_HUES).tolist()
    marks = [
        *(level("guide", v, 0, 1, key=f"quarter-{v}") for v in (0.25, 0.5, 0.75)),
        dots("data", None, place, ranks, stage="estimate", hues=hues, opacity=0.7),
    ]
    x = Axis.ticked("fitted value, from the lowest to the highest", -0.02, 1.02, (0, 0.5, 1))
    y = Axis.ticked("rank", -0.02, 1.02, (0, 0.25, 0.5, 0.75, 1))
    return Panel("residuals", title, x, y, marks, folded=True)


def warnings_panel(sentences: Sequence[str]) -> Panel:
    """Write what is worth knowing of the fit, in words."""
    return _words_panel("warnings", "Worth knowing", *sentences)


def troubled(fits: Fits) -> list[Panel]:
    """All panels without a fit, and in the hero why there is none."""
    hero = _words_panel("groups", "Nothing is fitted", fits.trouble)
    empty = [
        _words_panel(key, title)
        for key, title in (
            ("caterpillar", "Groups"),
            ("slopes", "Slope within and between groups"),
            ("residuals", "Residuals"),
            ("warnings", "Worth knowing"),
        )
    ]
    whole = bars("guide", ["whole"], 0.0, 1.0, 0.3, 0.7, key="whole", opacity=0.35)
    x = Axis.ticked("share of the variance between groups", -0.02, 1.02, (0, 0.25, 0.5, 0.75, 1))
    icc = Panel("icc", "ICC", x, Axis("", 0, 1, visible=False), [whole])
    hero = Panel(hero.key, hero.title, hero.x, hero.y, hero.marks, hero=True)
    return [hero, icc, *empty]


def _words_panel(key: str, title: str, *sentences: str) -> Panel:
    rows = [row for text in sentences for row in (*textwrap.wrap(text, 58), "")][:16]
    stage = "data" if key == "groups" else "estimate"
    y = 15.2 - np.arange(len(rows), dtype=float)
    marks = (
        [texts("guide", np.full(len(rows), 0.01), y, rows, anchor="start", stage=stage)]
        if rows
        else []
    )
    x, y_axis = Axis("", 0, 1, visible=False), Axis("", -1, 16, visible=False)
    return Panel(key, title, x, y_axis, marks, folded=key != "caterpillar")


def _effects(fits: Fits):
    """Return the finest factor that the groups are of, and its first random effect."""
    q = fits.sample.question
    factor = q.factors[0] if not q.nested else ":".join(q.factors)
    return factor, fits.fit.ranef[factor].iloc[:, 0]


def _outcome_axis(shown: Shown, span: tuple[float, float]) -> Axis:
    sample = shown.fits.sample
    label = sample.question.y
    if sample.success:
        label = f"{label} (1 = {sample.success})"
    elif sample.question.offset:
        label = f"{label}, for an offset of 0"
    if shown.fits.sample.question.family == "binomial":
        return Axis(label, -0.08, 1.08, [(v, number(v, 1)) for v in (0.0, 0.5, 1.0)])
    return Axis(label, *span, eases_with=WELLS)


def _range(values: Array, core: Array | None = None) -> tuple[float, float]:
    """Return a range with some air: of the values, and no wider than twice that of the core."""
    low, high = float(np.min(values)), float(np.max(values))
    if core is not None:
        a, b = float(np.min(core)), float(np.max(core))
        low, high = max(low, a - (b - a) / 2), min(high, b + (b - a) / 2)
    air = 0.05 * (high - low) or 0.5
    return low - air, high + air


def _is(name: str, column: str) -> bool:
    return name.strip("`") == column


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
