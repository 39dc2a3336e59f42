"""Tables for diagnosis: ordinary ones of five kinds, and one for each fault that there is to find.

An ordinary table has a model that is right, gaps, and groups of unequal size.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

import mixedlab as ml

KINDS = ("repeated measures", "binary", "counts", "nested", "crossed")


def _with_gaps(rng: np.random.Generator, **columns) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    return table[rng.random(len(table)) < 0.9].reset_index(drop=True)


def _repeated(rng: np.random.Generator, J: int, n: int):
    patient, week = np.repeat(np.arange(J), n), np.tile(np.arange(n), J)
    arm = np.where(rng.random(J) < 0.5, "new", "usual")
    b = rng.multivariate_normal([0, 0], [[9, 0.4], [0.4, 0.9]], J)
    y = 20 + 0.8 * week + 1.5 * (arm == "new")[patient] + b[patient, 0] + b[patient, 1] * week
    y = y + rng.normal(0, 2, y.size)
    table = _with_gaps(rng, patient=patient, week=week, arm=arm[patient], y=y)
    return ml.lmm("y ~ week * arm + (week | patient)", table)


def _binary(rng: np.random.Generator, J: int, n: int):
    clinic = np.repeat(np.arange(J), 3 * n)
    age, treated = rng.normal(50, 12, clinic.size), rng.integers(0, 2, clinic.size)
    eta = -0.6 + 0.02 * (age - 50) + 0.5 * treated + rng.normal(0, 0.9, J)[clinic]
    cured = rng.random(clinic.size) < 1 / (1 + np.exp(-eta))
    table = _with_gaps(rng, clinic=clinic, age=age, treated=treated, cured=cured)
    return ml.glmm("cured ~ age + treated + (1 | clinic)", table)


def _counts(rng: np.random.Generator, J: int, n: int):
    site = np.repeat(np.arange(J), n)
    hours, temp = rng.uniform(5, 50, site.size), rng.normal(18, 4, site.size)
    mean = hours * np.exp(-2 + 0.05 * (temp - 18) + rng.normal(0, 0.6, J)[site])
    table = _with_gaps(rng, site=site, temp=temp, hours=hours, caught=rng.poisson(mean))
    return ml.glmm("caught ~ temp + offset(log(hours)) + (1 | site)", table, family="poisson")


def _nested(rng: np.random.Generator, J: int, n: int):
    school, group = np.repeat(np.arange(J), 24), np.repeat(np.arange(3 * J), 8)
    ses = rng.normal(size=school.size) + rng.normal(0, 0.5, J)[school]
    noise = rng.normal(0, 6, school.size)
    score = 50 + 3 * ses + rng.normal(0, 4, J)[school] + rng.normal(0, 3, 3 * J)[group] + noise
    table = _with_gaps(rng, school=school, group=group, ses=ses, score=score)
    return ml.lmm("score ~ ses + (1 | school/group)", table)


def _crossed(rng: np.random.Generator, J: int, n: int):
    item, subject = np.tile(np.arange(n + 3), J), np.repeat(np.arange(J), n + 3)
    cond = rng.integers(0, 2, item.size)
    noise = rng.normal(0, 0.6, item.size)
    rt = 6 + 0.2 * cond + rng.normal(0, 0.4, J)[subject] + rng.normal(0, 0.4, n + 3)[item] + noise
    table = _with_gaps(rng, subject=subject, item=item, cond=np.where(cond, "x", "y"), rt=rt)
    return ml.lmm("rt ~ cond + (1 | subject) + (1 | item)", table)


def ordinary(seed: int):
    """A right model of ordinary data: 18 to 40 groups of 8 to 14 rows or more."""
    rng = np.random.default_rng(seed)
    J, n = int(rng.integers(18, 41)), int(rng.integers(8, 15))
    return (_repeated, _binary, _counts, _nested, _crossed)[seed % 5](rng, J, n)


# --- hard cases


def _base(seed: int, J: int = 25, n: int = 8) -> tuple[np.random.Generator, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    x = rng.normal(size=g.size)
    y = 2 + x + rng.normal(0, 1, J)[g] + rng.normal(size=g.size)
    return rng, pd.DataFrame({"g": [f"g{k}" for k in g], "code": g, "x": x, "y": y})


def _overdispersed():
    rng, t = _base(1)
    t["n"] = rng.poisson(np.exp(1 + 0.4 * t.x) * rng.gamma(0.6, 1 / 0.6, len(t)))
    return ml.glmm("n ~ x + (1 | g)", t, family="poisson")


def _overdispersed_trials():
    rng, t = _base(2)
    p = rng.beta(1.5, 1.5, len(t))
    t = t.assign(won=rng.binomial(12, p)).assign(lost=lambda d: 12 - d.won)
    return ml.glmm("cbind(won, lost) ~ x + (1 | g)", t)


def _zeros():
    rng, t = _base(3, J=30, n=12)
    t["n"] = rng.poisson(np.exp(1.8 + 0.3 * t.x)) * (rng.random(len(t)) > 0.3)
    return ml.glmm("n ~ x + (1 | g)", t, family="poisson")


def _year_far_from_zero():
    rng, t = _base(4, n=10)
    t["year"] = 2004 + np.tile(np.arange(10), 25)
    slope = rng.normal(0, 0.5, 25)[t.code]
    t["y"] += slope * (t.year - 2008.5)
    return ml.lmm("y ~ year + (year | g)", t)


def _correlation_of_one():
    rng, t = _base(5, J=12)
    t["y"] = rng.normal(size=12)[t.code] * (1 + t.x) + rng.normal(size=len(t))
    return ml.lmm("y ~ x + (x | g)", t)


def _correlation_of_factor_columns():
    rng, t = _base(6, n=9)
    t["machine"] = np.tile(list("ABC"), 75)
    t["y"] = rng.normal(size=25)[t.code] * t.machine.map({"A": 1, "B": 2, "C": 3})
    t["y"] += rng.normal(0, 0.5, len(t))
    return ml.lmm("y ~ machine + (machine | g)", t)


def _variance_of_zero():
    rng, t = _base(7)
    within = rng.normal(size=len(t))
    t["y"] = within - pd.Series(within).groupby(t.code).transform("mean")
    return ml.lmm("y ~ x + (1 | g)", t)


def _classes_start_anew():
    rng = np.random.default_rng(8)
    sizes = rng.integers(2, 5, 30)
    school, label = np.repeat(np.arange(30), sizes), np.concatenate([np.arange(s) for s in sizes])
    pupil = np.repeat(np.arange(school.size), 12)
    effect = rng.normal(0, 3, 30)[school] + rng.normal(0, 3, school.size)
    score = 50 + effect[pupil] + rng.normal(0, 5, pupil.size)
    t = pd.DataFrame({"school": school[pupil], "class": label[pupil] + 1, "score": score})
    return ml.lmm("score ~ 1 + (1 | school) + (1 | class)", t)


def _classes_start_anew_alike():
    rng = np.random.default_rng(9)
    school, label = np.repeat(np.arange(20), 36), np.tile(np.repeat(list("abc"), 12), 20)
    cell = np.repeat(np.arange(60), 12)
    p = 1 / (1 + np.exp(-rng.normal(0, 0.8, 20)[school] - rng.normal(0, 1.2, 60)[cell]))
    t = pd.DataFrame({"school": school, "class": label, "passed": rng.random(720) < p})
    return ml.glmm("passed ~ 1 + (1 | school) + (1 | class)", t)


def _single_rows():
    _, t = _base(10)
    extra = t.iloc[:60].assign(g=[f"alone {k}" for k in range(60)])
    return ml.lmm("y ~ x + (1 | g)", pd.concat([t, extra], ignore_index=True))


def _few_groups():
    return ml.lmm("y ~ x + (1 | g)", _base(11, J=4, n=20)[1])


def _case_and_spaces():
    _, t = _base(12)
    t.loc[3, "g"], t.loc[30, "g"] = "G0", "g3 "
    return ml.lmm("y ~ x + (1 | g)", t)


def _case_in_a_covariate():
    rng, t = _base(13)
    t["sex"] = rng.choice(["female", "male", "Male"], len(t))
    return ml.lmm("y ~ sex + (1 | g)", t)


def _influential():
    _, t = _base(14, J=20)
    one = t.code == 7
    t.loc[one, "x"] += 6
    t.loc[one, "y"] -= 8
    return ml.lmm("y ~ x + (1 | g)", t)


def _influential_binary():
    rng, t = _base(15, J=20, n=20)
    t["z"] = rng.random(len(t)) < 1 / (1 + np.exp(-t.x))
    one = t.code == 3
    t.loc[one, "x"] *= 5
    t.loc[one, "z"] = t.x[one] < 0
    return ml.glmm("z ~ x + (1 | g)", t)


def _two_slopes():
    rng, t = _base(16)
    level = rng.normal(0, 2, 25)[t.code]
    t["x"] += level
    t["y"] = 0.5 * (t.x - level) - 1.0 * level + rng.normal(0, 0.5, 25)[t.code]
    t["y"] += rng.normal(size=len(t))
    return ml.lmm("y ~ x + (1 | g)", t)


def _two_slopes_of_counts():
    rng, t = _base(17)
    level = rng.normal(0, 1, 25)[t.code]
    t["x"] += level
    t["n"] = rng.poisson(np.exp(1 + 0.5 * (t.x - level) - 0.6 * level))
    return ml.glmm("n ~ x + (1 | g)", t, family="poisson")


def _separated():
    rng, t = _base(18, n=12)
    t["arm"] = rng.choice(["a", "b", "c"], len(t))
    t["died"] = (rng.random(len(t)) < 0.2) & (t.arm != "c")
    return ml.glmm("died ~ arm + x + (1 | g)", t, separation="warn")


def _slope_that_differs():
    rng, t = _base(19, n=12)
    t["y"] += rng.normal(0, 0.8, 25)[t.code] * t.x
    return ml.lmm("y ~ x + (1 | g)", t)


def _bend():
    _, t = _base(20, n=12)
    return ml.lmm("y ~ x + (1 | g)", t.assign(y=t.y + 0.6 * t.x**2))


def _bend_of_counts():
    rng, t = _base(21, n=12)
    t["n"] = rng.poisson(np.exp(1 + 0.2 * t.x - 0.4 * t.x**2))
    return ml.glmm("n ~ x + (1 | g)", t, family="poisson")


def _alike_in_time():
    rng, t = _base(22, n=10)
    e = rng.normal(size=(25, 10))
    for k in range(1, 10):
        e[:, k] = 0.7 * e[:, k - 1] + np.sqrt(1 - 0.49) * e[:, k]
    t = t.assign(week=np.tile(np.arange(10), 25), y=e.ravel() + rng.normal(size=25)[t.code])
    return ml.lmm("y ~ week + (1 | g)", t)


def _large_groups_are_high():
    rng = np.random.default_rng(23)
    b = rng.normal(size=60)
    g = np.repeat(np.arange(60), 2 + rng.poisson(np.exp(1.8 + 0.8 * b)))
    t = pd.DataFrame({"g": g, "x": rng.normal(size=g.size)})
    return ml.lmm("y ~ x + (1 | g)", t.assign(y=t.x + b[g] + rng.normal(size=g.size)))


def _two_kinds_of_groups():
    rng, t = _base(24, J=40)
    t["y"] += np.where(rng.random(40) < 0.5, -4, 4)[t.code]
    return ml.lmm("y ~ x + (1 | g)", t)


def _wide_where_x_is_large():
    rng, t = _base(25, J=40, n=12)
    t["y"] += rng.normal(size=len(t)) * np.exp(0.6 * t.x)
    return ml.lmm("y ~ x + (1 | g)", t)


def _wide_groups():
    rng, t = _base(26, n=14)
    t["y"] += rng.normal(size=len(t)) * np.exp(rng.normal(0, 1, 25))[t.code]
    return ml.lmm("y ~ x + (1 | g)", t)


def _heavy_tails():
    rng, t = _base(27, J=40)
    return ml.lmm("y ~ x + (1 | g)", t.assign(y=t.y + rng.standard_t(2, len(t))))


def _slip_of_the_pen():
    _, t = _base(28)
    t.loc[7, "y"] *= 10
    return ml.lmm("y ~ x + (1 | g)", t)


def _ceiling():
    _, t = _base(29, n=14)
    return ml.lmm("y ~ x + (1 | g)", t.assign(y=(6 + t.y).round().clip(0, 9)))


def _counts_as_normal():
    rng, t = _base(30, n=14)
    return ml.lmm("n ~ x + (1 | g)", t.assign(n=rng.poisson(np.exp(0.3 * t.y - 0.4))))


def _outcomes_as_normal():
    _, t = _base(31)
    return ml.lmm("z ~ x + (1 | g)", t.assign(z=(t.y > 2).astype(int)))


def _lognormal_as_normal():
    _, t = _base(32, n=14)
    return ml.lmm("y ~ x + (1 | g)", t.assign(y=np.exp(0.6 * t.y)))


def _copies():
    _, t = _base(33)
    return ml.lmm("y ~ x + (1 | g)", pd.concat([t, t[::5]], ignore_index=True))


def _counts_with_a_limit():
    rng, t = _base(34, n=14)
    t["n"] = rng.binomial(20, 1 / (1 + np.exp(-0.3 * t.x)))
    return ml.glmm("n ~ x + (1 | g)", t, family="poisson")


def _zeros_taken_for_variation():
    rng, t = _base(35, J=40, n=16)
    t["n"] = rng.poisson(np.exp(1.8 + 0.3 * t.x)) * (rng.random(len(t)) > 0.3)
    return ml.glmm("n ~ x + (1 | g)", t, family="negative_binomial")


HARD: dict[str, tuple[str, Callable]] = {
    "counts vary too much": ("overdispersed", _overdispersed),
    "proportions vary too much": ("overdispersed", _overdispersed_trials),
    "zeros besides the counts": ("too many zeros", _zeros),
    "a year far from zero": ("badly scaled", _year_far_from_zero),
    "a correlation of one": ("singular", _correlation_of_one),
    "a factor's columns all follow one": ("singular", _correlation_of_factor_columns),
    "a variance of zero": ("singular", _variance_of_zero),
    "class labels start anew": ("nested labels", _classes_start_anew),
    "the same class labels in each school": ("nested labels", _classes_start_anew_alike),
    "most groups have one row": ("single rows", _single_rows),
    "four groups": ("few groups", _few_groups),
    "labels with case and spaces": ("similar labels", _case_and_spaces),
    "case in a covariate": ("similar labels", _case_in_a_covariate),
    "one group turns a slope": ("influential", _influential),
    "one clinic turns a log odds": ("influential", _influential_binary),
    "two slopes": ("two slopes", _two_slopes),
    "two slopes of counts": ("two slopes", _two_slopes_of_counts),
    "a level without an event": ("separated", _separated),
    "slopes differ, the model holds them": ("differing slopes", _slope_that_differs),
    "a bend": ("bent", _bend),
    "a bend of counts": ("bent", _bend_of_counts),
    "neighbours in time are alike": ("autocorrelated", _alike_in_time),
    "large groups are high": ("informative size", _large_groups_are_high),
    "two kinds of groups": ("effects not normal", _two_kinds_of_groups),
    "wide where x is large": ("uneven spread", _wide_where_x_is_large),
    "some groups are wide": ("uneven spread", _wide_groups),
    "heavy tails": ("heavy tails", _heavy_tails),
    "a slip of the pen": ("outlying rows", _slip_of_the_pen),
    "scores with a ceiling": ("bounded response", _ceiling),
    "counts in a linear model": ("bounded response", _counts_as_normal),
    "0/1 outcomes in a linear model": ("bounded response", _outcomes_as_normal),
    "skewed responses in a linear model": ("skewed", _lognormal_as_normal),
    "rows copied": ("repeated rows", _copies),
    "counts with a limit": ("underdispersed", _counts_with_a_limit),
    "zeros taken for variation": ("family does not fit", _zeros_taken_for_variation),
}
