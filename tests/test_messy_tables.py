"""Four ordinary messy tables, from the file to diagnosis and pictures, and what a stumble says.

Repeated measures with gaps, binary outcomes in clinics, counts with an exposure, pupils in classes
in schools. Each is simulated, written to a file and read as a reader would.
"""

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, DataWarning, FormulaError

mpl.use("Agg")


def repeated_measures() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    patient, week = np.repeat(np.arange(24), 7), np.tile(np.arange(7), 24)
    arm = np.repeat(rng.permutation(["new", "usual"] * 12), 7)
    b = rng.multivariate_normal([0, 0], [[6, 0.3], [0.3, 0.5]], 24)
    pain = 50 - (1 + 1.2 * (arm == "new")) * week + b[patient, 0] + b[patient, 1] * week
    table = pd.DataFrame(
        {
            "Patient ID": [f"P{k:02d}" for k in patient],
            "week": week,
            "arm": arm,
            "pain": np.round(pain + rng.normal(0, 2, pain.size), 1),
        }
    )
    table.loc[rng.random(len(table)) < 0.08, "pain"] = np.nan
    return table[rng.random(len(table)) > 0.05]


def clinics() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    clinic = np.repeat(np.arange(22), rng.integers(20, 50, 22))
    age, treated = rng.normal(55, 11, clinic.size), rng.random(clinic.size) < 0.5
    eta = -0.8 + 0.03 * (age - 55) + 0.7 * treated + rng.normal(0, 0.8, 22)[clinic]
    cured = rng.random(clinic.size) < 1 / (1 + np.exp(-eta))
    table = pd.DataFrame({"clinic": clinic, "age": age.round(1), "treated": treated})
    return table.assign(cured=cured)


def traps() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    site = np.repeat(np.arange(26), 9)
    hours, temp = rng.integers(12, 72, site.size), rng.normal(17, 4, site.size)
    mean = hours * np.exp(-2.2 + 0.06 * (temp - 17) + rng.normal(0, 0.6, 26)[site])
    table = pd.DataFrame({"site": [f"S{k}" for k in site], "temp": temp.round(1)})
    return table.assign(**{"trap.hours": hours, "moths": rng.poisson(mean)})


def pupils() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    sizes = rng.integers(2, 5, 25)
    school = np.repeat(np.arange(25), sizes)
    label = np.concatenate([np.arange(1, s + 1) for s in sizes])
    of = np.repeat(np.arange(school.size), rng.integers(12, 20, school.size))
    ses = rng.normal(size=of.size)
    score = 60 + 2.5 * ses + rng.normal(0, 4, 25)[school][of] + rng.normal(0, 3, school.size)[of]
    table = pd.DataFrame({"school": school[of], "class": label[of], "ses": ses.round(2)})
    return table.assign(score=np.round(score + rng.normal(0, 6, of.size), 1))


@pytest.fixture
def read(tmp_path):
    """Write a table to a file and read it again, with pandas' habits or others."""

    def again(table, how=None, **options):
        path = tmp_path / "table.csv"
        table.to_csv(path, index=False, **(how or {}))
        return pd.read_csv(path, **options)

    return again


def test_repeated_measures_from_file_to_diagnosis(read):
    df = read(repeated_measures())
    with pytest.raises(FormulaError, match="stands in backticks: `Patient ID`"):
        ml.lmm("pain ~ week * arm + (week | Patient ID)", df)
    with pytest.warns(DataWarning, match=r"rows left out for missing values in pain"):
        fit = ml.lmm("pain ~ week * arm + (week | `Patient ID`)", df)
    found = ml.diagnose(fit)
    assert not found, found
    assert "influential groups" in found.checked
    gaps = df.assign(week=df["week"].where(df.index % 9 > 0))
    predicted = fit.predict(gaps)
    np.testing.assert_array_equal(predicted.isna(), gaps["week"].isna())


def test_a_file_read_wrongly_is_told_so(read):
    european = {"sep": ";", "decimal": ","}
    wrong = read(repeated_measures(), european)
    with pytest.raises(DataError, match=r"one column, 'Patient ID;week.*sep=';'"):
        ml.lmm("pain ~ week + (1 | id)", wrong)
    half = read(repeated_measures(), european, sep=";")
    with pytest.raises(DataError, match=r"decimal comma.*decimal=','"):
        ml.lmm("pain ~ week + (1 | `Patient ID`)", half)
    right = read(repeated_measures(), european, sep=";", decimal=",")
    with pytest.warns(DataWarning):
        assert ml.lmm("pain ~ week + (1 | `Patient ID`)", right).converged


def test_the_culprit_among_numbers_is_named(read):
    df = repeated_measures().astype({"pain": object, "week": object})
    df.iloc[3, 3] = "not done"
    with pytest.raises(DataError, match=r"'not done' among them.*na_values=\['not done'\]"):
        ml.lmm("pain ~ week + (1 | `Patient ID`)", read(df))
    df.iloc[int(np.flatnonzero(df["pain"].notna())[-1]), 1] = "missing"
    with pytest.raises(DataError, match=r"'missing' among them.*na_values=\['missing'\]"):
        ml.lmm("pain ~ week + (1 | `Patient ID`)", read(df, na_values=["not done"]))
    few = read(traps().astype({"moths": object}).assign(moths=lambda d: d["moths"].clip(upper=3)))
    few = few.astype({"moths": object})
    few.loc[2, "moths"] = "lost"
    with pytest.raises(DataError, match="Numbers but for 'lost'"):
        ml.glmm("moths ~ temp + (1 | site)", few, family="poisson")
    weights = np.array(["1"] * 5 + ["heavy"] + ["2"] * (len(df) - 6), dtype=object)
    with pytest.raises(DataError, match="'heavy' cannot be read as one"):
        ml.lmm("pain ~ week + (1 | `Patient ID`)", repeated_measures(), weights=weights)


@pytest.mark.parametrize("written", ["%Y-%m-%d", "%d/%m/%Y", "%d %b %Y", "%B %d, %Y"])
def test_dates_are_not_made_a_factor_in_silence(read, written):
    df = repeated_measures()
    day = pd.Timestamp("2024-01-08") + pd.to_timedelta(7 * df["week"], unit="D")
    df = read(df.assign(day=day.dt.strftime(written)))
    with pytest.raises(DataError, match="dates as text"):
        ml.lmm("pain ~ day + (1 | `Patient ID`)", df)


def test_binary_outcomes_from_file_to_diagnosis(read):
    df = read(clinics())
    assert df["cured"].dtype == bool
    fit = ml.glmm("cured ~ age + treated + (1 | clinic)", df)
    found = ml.diagnose(fit)
    assert not found, found
    assert "separation" in found.checked
    with pytest.raises(DataError, match="True and False are a response for glmm"):
        ml.lmm("cured ~ age + (1 | clinic)", df)


@pytest.mark.parametrize("dtype", ["boolean", "Int64", "Float64", "object", "category"])
def test_columns_of_any_type_hold_the_same_outcomes(read, dtype):
    df = read(clinics())
    plain = ml.glmm("cured ~ age + treated + (1 | clinic)", df)
    other = df["cured"].astype("Int64") if dtype == "Float64" else df["cured"]
    fit = ml.glmm("cured ~ age + treated + (1 | clinic)", df.assign(cured=other.astype(dtype)))
    np.testing.assert_allclose(fit.beta, plain.beta, rtol=1e-6)


def test_polars_hold_the_same_table_on_every_way(read):
    pl = pytest.importorskip("polars")
    df = read(clinics())
    formula = "cured ~ age + treated + (1 | clinic)"
    plain = ml.glmm(formula, df)
    other = pl.DataFrame(df.to_dict("list"))
    for table in (other, other.lazy()):
        fit = ml.glmm(formula, table)
        np.testing.assert_allclose(fit.beta, plain.beta, rtol=1e-6)
    np.testing.assert_allclose(fit.predict(other[:5]), plain.predict(df[:5]), rtol=1e-6)
    assert not ml.diagnose(fit)
    assert not ml.check_separation(formula, other)
    three = ml.pooling(formula, other, family="binomial")
    assert three.none.coef.shape == (22, 3)
    assert list(ml.within_between(other, "age", "clinic"))[-2:] == ["age_mean", "age_dev"]
    assert ml.pictures.effect(fit, other, "age").get_ylabel() == "share of cured"
    assert ml.pictures.spaghetti(fit, other, "age").get_xlabel() == "age"
    separated = other.with_columns(cured=pl.col("cured") & ~pl.col("treated"))
    with pytest.raises(DataError, match=r"never varies in these levels of 'treated': True"):
        ml.glmm(formula, separated)


@pytest.mark.parametrize("of", ["string", "integer", "double", "bool"])
def test_arrow_columns_hold_the_same_values(read, of):
    pa = pytest.importorskip("pyarrow")
    df = read(clinics())
    name, kind = {
        "string": ("clinic", pa.string()),
        "integer": ("clinic", pa.int64()),
        "double": ("age", pa.float64()),
        "bool": ("cured", pa.bool_()),
    }[of]
    values = df[name].astype(str) if of == "string" else df[name]
    other = df.assign(**{name: values.astype(pd.ArrowDtype(kind))})
    formula = "cured ~ age + treated + (1 | clinic)"
    np.testing.assert_allclose(ml.glmm(formula, other).beta, ml.glmm(formula, df).beta, rtol=1e-6)


def test_counts_with_an_exposure_from_file_to_diagnosis(read):
    df = read(traps())
    with pytest.warns(DataWarning, match=r"write offset\(log\(trap\.hours\)\) in the formula"):
        ml.glmm("moths ~ temp + (1 | site)", df, family="poisson", offset="trap.hours")
    fit = ml.glmm("moths ~ temp + offset(log(trap.hours)) + (1 | site)", df, family="poisson")
    found = ml.diagnose(fit)
    assert not found, found
    assert {"overdispersion", "too many zeros"} <= set(found.checked)
    without = ml.glmm("moths ~ temp + (1 | site)", df, family="poisson")
    assert "overdispersed" in [f.kind for f in ml.diagnose(without)]


def test_a_weight_of_zero_is_not_dropped_in_silence(read):
    df = read(traps()).assign(w=lambda d: (d.index != 4).astype(float))
    with pytest.warns(DataWarning, match=r"1 of \d+ rows left out for zero in weights"):
        ml.lmm("temp ~ 1 + (1 | site)", df, weights="w")


def test_pupils_from_file_to_diagnosis(read):
    df = read(pupils())
    crossed = ml.lmm("score ~ ses + (1 | school) + (1 | class)", df)
    nested = [f for f in ml.diagnose(crossed) if f.kind == "nested labels"]
    assert "(1 | school/class)" in nested[0].remedy
    fit = ml.lmm("score ~ ses + (1 | school/class)", df)
    assert not ml.diagnose(fit), ml.diagnose(fit)


# --- pictures: what stands in them, for each table

CASES = {
    "repeated measures": (
        repeated_measures,
        lambda df: ml.lmm("pain ~ week * arm + (week | `Patient ID`)", df),
        {"formula": "pain ~ week * arm + (week | `Patient ID`)"},
        "week",
    ),
    "clinics": (
        clinics,
        lambda df: ml.glmm("cured ~ age + treated + (1 | clinic)", df),
        {"formula": "cured ~ age + treated + (1 | clinic)", "family": "binomial"},
        "age",
    ),
    "traps": (
        traps,
        lambda df: ml.glmm(
            "moths ~ temp + offset(log(trap.hours)) + (1 | site)", df, family="poisson"
        ),
        {
            "formula": "moths ~ temp + offset(log(trap.hours)) + (1 | site)",
            "family": "poisson",
        },
        "temp",
    ),
    "pupils": (
        pupils,
        lambda df: ml.lmm("score ~ ses + (1 | school/class)", df),
        {"formula": "score ~ ses + (1 | school/class)"},
        "ses",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_picture_of_every_table(name, read):
    import matplotlib.pyplot as plt

    make, fitted, pooled, x = CASES[name]
    df = read(make())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        fit, three = fitted(df), ml.pooling(data=df, **pooled)
    response = fit.formula.split("~")[0].strip()
    group = fit.terms[-1].group if ":" not in fit.terms[-1].group else fit.terms[0].group
    group = "school" if name == "pupils" else group

    strands = ml.pictures.spaghetti(fit, df, x, group)
    assert (strands.get_xlabel(), strands.get_ylabel()) == (x, response)
    said = [text.get_text() for text in strands.get_legend().get_texts()]
    assert f"each {group}, fitted" in said
    arms = ["population, arm = new", "population, arm = usual"]
    assert said[1:] == (arms if name == "repeated measures" else ["population"])

    for kind in ("population", "marginal"):
        curve = ml.pictures.effect(fit, df, x, kind=kind)
        assert response in curve.get_ylabel()
        assert curve.get_legend().get_texts()

    panels = ml.pictures.residual_panels(fit)
    kind = {"clinics": "Mean of y - fitted", "traps": "Quantile residual"}
    assert panels[0].get_ylabel() == kind.get(name, "Standardised residual")

    arrows = ml.pictures.shrinkage(fit, group)
    assert len(arrows.lines) == 3

    multiples = ml.pictures.pooling(three)
    assert len(multiples) == 12
    legend = multiples[0].figure.legends[0]
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["complete pooling", "no pooling", "partial pooling"]
    plt.close("all")


# --- what a paper needs, for each table


@pytest.mark.parametrize("name", CASES)
def test_tests_effects_and_report_of_every_table(name, read):
    make, fitted, _, x = CASES[name]
    df = read(make())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        fit = fitted(df)
    terms = fit.terms_table()
    assert x in terms.index
    assert terms["p"].between(0, 1).all()
    ratios = name in ("clinics", "traps")
    row = fit.tidy(exponentiate=ratios).set_index("term").loc[x]
    assert row["lower"] < row["estimate"] < row["upper"]
    said = fit.report(checks=ml.diagnose(fit))
    assert said.endswith("and found nothing.")
    assert f"{x} {row['estimate']:.4g} ({row['lower']:.4g} to {row['upper']:.4g})" in said
    assert {"clinics": "(odds ratio)", "traps": "(rate ratio)"}.get(name, "") in said

    me = pytest.importorskip("marginaleffects", reason="pip install 'mixedlab[effects]'")
    within, between = (
        me.avg_slopes(fit.effects_model(kind=kind), variables=x)["estimate"][0]
        for kind in ("population", "marginal")
    )
    if ratios:
        assert within != pytest.approx(between)
    else:  # in a linear model they are one thing
        assert within == pytest.approx(between)
