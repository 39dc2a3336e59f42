"""A column's own name works, whatever it is: the model equals the one with plain names."""

import builtins
import keyword

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixedlab.data.design import build_design
from mixedlab.data.names import resolve, restored, tokenize, unknown_column
from mixedlab.errors import FormulaError

PLAIN = ("y", "x", "f", "g")
RNG = np.random.default_rng(4)
TABLE = pd.DataFrame(
    {
        "y": RNG.normal(9, 1, 40),
        "x": RNG.uniform(1, 2, 40),
        "f": np.tile(["a", "b"], 20),
        "g": np.repeat(np.arange(8), 5),
    }
)
FORMULA = "log({y}) ~ {x} * {f} + I({x}^2) + C({f}):np.log({x}) + (1 + {x} | {f}:{g})"
EXPECTED = build_design(FORMULA.format(**{n: n for n in PLAIN}), TABLE)

FUNCTIONS = ("C", "I", "np", "log", "poly", "bs", "offset", "cbind", "factor", "as.factor")
WORDS = st.sampled_from([*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *FUNCTIONS, "TRUE"])
BARE = st.one_of(
    WORDS,
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+){0,2}", fullmatch=True),
    st.text(st.characters(categories=["L", "Mn"]), min_size=1).filter(lambda s: s.isidentifier()),
)
QUOTED = st.text(
    st.characters(exclude_characters="`", exclude_categories=["C", "Zl", "Zp"]), min_size=1
).filter(lambda s: s != "(Intercept)")


def same_design(names, written):
    table = TABLE.rename(columns=dict(zip(PLAIN, names, strict=True)))
    d = build_design(FORMULA.format(**dict(zip(PLAIN, written, strict=True))), table)
    np.testing.assert_array_equal(d.y, EXPECTED.y)
    np.testing.assert_array_equal(d.X, EXPECTED.X)
    for term, expected in zip(d.terms, EXPECTED.terms, strict=True):
        assert term.levels == expected.levels
        np.testing.assert_array_equal(term.Z, expected.Z)
    assert d.names[:3] == ("(Intercept)", names[1], f"{names[2]}[T.b]")
    assert d.terms[0].group == f"{names[2]}:{names[3]}"
    again = d.rebuild(table.iloc[:7])
    np.testing.assert_allclose(again.X, d.X[:7])


@settings(max_examples=60, deadline=None)
@given(st.lists(BARE, min_size=4, max_size=4, unique=True))
@example(["yield", "class", "lambda", "in"])
@example(["total.fruits", "np.log", "C", "I"])
@example(["log", "np", "poly", "True"])
@example(["a", "a.b", "a.b.c", "b"])
def test_any_bare_name_works(names):
    same_design(names, names)


def test_a_column_may_not_have_the_name_of_the_intercept():
    with pytest.raises(FormulaError, match="rename this column"):
        build_design("y ~ `(Intercept)`", TABLE.rename(columns={"x": "(Intercept)"}))


@settings(max_examples=60, deadline=None)
@given(st.lists(QUOTED, min_size=4, max_size=4, unique=True))
@example(["total fruits", "x + z", "1|2", "(a"])
@example(["yield", "class", "a:b", "ǂ0ǂ"])
def test_any_name_in_backticks_works(names):
    same_design(names, [f"`{name}`" for name in names])


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("y ~ `a b` * f", ("(Intercept)", "a b", "f[T.b]", "a b:f[T.b]")),
        ("y ~ log(`a b`) + C(f)", ("(Intercept)", "log(`a b`)", "C(f)[T.b]")),
        ("y ~ as.factor(g) - 1", tuple(f"as.factor(g)[{k}]" for k in range(8))),
        ("y ~ factor(f) + I(x^2)", ("(Intercept)", "factor(f)[T.b]", "I(x ** 2)")),
        ("y ~ sqrt(x) + abs (x - 1.5)", ("(Intercept)", "sqrt(x)", "abs(x - 1.5)")),
        ("y ~ I(flag == TRUE)", ("(Intercept)", "I(flag == True)")),
        ("y ~ a.b.clip(1.5)", ("(Intercept)", "a.b.clip(1.5)")),
        ("y ~ {x + a.b}", ("(Intercept)", "x + a.b")),
        ("y ~ exp10(x) + log1p(x) + scale(x)", ("(Intercept)", "exp10(x)", "log1p(x)")),
    ],
)
@pytest.mark.filterwarnings("ignore:Dropped")
def test_names_of_coefficients_are_what_was_written(formula, names):
    table = TABLE.assign(**{"a b": RNG.normal(5, 1, 40), "a.b": RNG.uniform(1, 2, 40)})
    table["flag"] = np.tile([True, True, False, False], 10)
    table["a b"] = table["a b"].abs()
    d = build_design(formula, table, need_groups=False)
    assert d.names[: len(names)] == names


def test_functions_from_r_calculate_what_r_does():
    formula = "y ~ exp10(x) + sqrt(x) + ceiling(4 * x) + sin(2 * pi * x)"
    d = build_design(formula, TABLE, need_groups=False)
    x = TABLE.x.to_numpy()
    expected = np.column_stack([10**x, np.sqrt(x), np.ceil(4 * x), np.sin(2 * np.pi * x)])
    np.testing.assert_allclose(d.X[:, 1:], expected)


@pytest.mark.parametrize(
    ("formula", "place", "says"),
    [
        ("y ~ x + (1 | Patient ID)", "Patient", "backticks: `Patient ID`"),
        ("y ~ x + (week | Visit No)", "week", "no column 'week'"),
        ("y ~ body mass", "body", "backticks: `body mass`"),
        ("y ~ log(Patient ID)", "Patient", "backticks: `Patient ID`"),
        ("y ~ x %in% f", "%in%", "a / b"),
        ("y ~ np.lgo(x)", "np.lgo", "no function 'np.lgo'.*'log'"),
        ("y ~ Q('x')", "Q", "backticks"),
        ("y ~ log", "log", "no column 'log'"),
        ("y ~ x.y", "x.y", "no column 'x.y'"),
        ("y ~ I(z)", "z", "no column 'z'"),
        ("y ~ x + log(in)", "in", "in"),
        ("y ~ X ID", "X ID", "no column 'X'.*'x'"),
    ],
)
def test_what_is_no_name_is_said_with_its_place(formula, place, says):
    with pytest.raises(FormulaError, match=says) as caught:
        build_design(formula, TABLE.assign(**{"Patient ID": 1}), need_groups=False)
    assert caught.value.position == formula.index(place)


def test_a_keyword_argument_is_none_of_the_columns():
    table = TABLE.assign(df=RNG.normal(size=40))
    d = build_design("y ~ df + bs(x, df=4)", table, need_groups=False)
    assert d.names[1:3] == ("df", "bs(x, df=4)[1]")


def test_stand_ins_are_numbered_in_order_and_restored():
    tokens, columns = resolve("y ~ a + log(a.b) + y", ["y", "a", "a.b"])
    assert columns == ("y", "a", "a.b")
    assert [t.code for t in tokens if t.column] == ["ǂ0ǂ", "ǂ1ǂ", "ǂ2ǂ", "ǂ0ǂ"]
    assert restored("log(ǂ1ǂ):ǂ0ǂ:asǂfactor(ǂ2ǂ)[T.ǂ]", ("a b", "c d", "e")) == (
        "log(`c d`):a b:as.factor(e)[T.ǂ]"
    )


def test_the_nearest_name_is_shown_as_a_formula_has_it():
    assert "`body mass`" in str(unknown_column("bodymass", ["body mass", "y"]))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("y ~ a.b + 2nd", ["y", "~", "a.b", "+", "2nd"]),
        ("`a (b|c)`:µ³", ["a (b|c)", ":", "µ³"]),
        ("I(x**2.5e-3)", ["I", "(", "x", "**", "2.5e-3", ")"]),
        ("(x||g) %in% b", ["(", "x", "||", "g", ")", "%in%", "b"]),
        ("f == 'it\\'s' % 2", ["f", "==", "'it\\'s'", "%", "2"]),
        ("x.clip(.5)[0]", ["x.clip", "(", ".5", ")", "[", "0", "]"]),
    ],
)
def test_tokens_as_they_are_typed(source, expected):
    assert [token.name for token in tokenize(source)] == expected


def test_depth_counts_brackets_and_a_bracket_stands_outside_its_own():
    assert [t.depth for t in tokenize("a(b[c])")] == [0, 0, 1, 1, 2, 1, 0]


@given(st.lists(st.sampled_from(["x", "`a b`", "1.5", "+", "**", "||", "'s t'", "~", "é.1"])))
def test_places_give_back_the_formula(words):
    source = "  ".join(words)
    tokens = tokenize(source)
    assert [source[t.start : t.stop] for t in tokens] == words


@pytest.mark.parametrize("source", ["(a", "a)", "[a)", "`a", "'a", "\"a'", "f(`x)"])
def test_what_is_never_closed_is_shown(source):
    with pytest.raises(FormulaError, match=r"closed|closes") as caught:
        tokenize(source)
    assert source[caught.value.position] in "([`'\")"
