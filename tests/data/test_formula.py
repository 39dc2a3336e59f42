"""The bars of a formula: what is split off, and where an error points."""

import pytest

from mixedlab.data.formula import parse
from mixedlab.errors import FormulaError


def bars(formula):
    return [(bar.columns.text, bar.factors, bar.correlated) for bar in parse(formula).bars]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y ~ 1 + (1 | g)", [("1", ("g",), True)]),
        ("y ~ x + (x || g)", [("x", ("g",), False)]),
        ("y ~ (0 + x|g) + (1|h)", [("0 + x", ("g",), True), ("1", ("h",), True)]),
        ("y ~ x + (1 | a/b)", [("1", ("a",), True), ("1", ("a", "b"), True)]),
        (
            "y ~ x + (1 | a / b / c)",
            [("1", ("a",), True), ("1", ("a", "b"), True), ("1", ("a", "b", "c"), True)],
        ),
        ("y ~ x + (1 | a:b)", [("1", ("a", "b"), True)]),
        ("y ~ (1 | `my group`)", [("1", ("my group",), True)]),
        ("y ~ x + (bs(x, df=4) | g)", [("bs(x, df=4)", ("g",), True)]),
        ("y ~ I(x | z) + (1 | g)", [("1", ("g",), True)]),
        ("y ~ x +\n (1 | g)", [("1", ("g",), True)]),
    ],
)
def test_bars_are_split_off(formula, expected):
    assert bars(formula) == expected


@pytest.mark.parametrize(
    ("formula", "fixed"),
    [
        ("y ~ x + (1 | g)", "x"),
        ("y ~ (1 | g)", "1"),
        ("y ~ (1 | g) + x", "x"),
        ("y ~ (1 | g) + (1 | h) + x", "x"),
        ("y ~ (1 | g) - 1 + x", "- 1 + x"),
        ("y ~ a * (b + c) + (1 | g) + d", "a * (b + c) + d"),
        ("y ~ x + offset(log(n)) + (1 | g)", "x"),
        ("y ~ offset(n)", "1"),
    ],
)
def test_the_fixed_part_is_what_is_left_and_keeps_its_place(formula, fixed):
    parsed = parse(formula)
    assert parsed.fixed.text == fixed
    assert len(parsed.fixed.origin) == len(parsed.fixed.code) + 1
    for sign in "x+*":
        place = parsed.fixed.code.find(sign)
        assert place < 0 or parsed.source[parsed.fixed.origin[place]] == sign


def test_response_offset_and_cbind():
    parsed = parse("cbind(dead, size - dead) ~ x + offset(log(n)) + (1 | g)")
    assert [part.text for part in parsed.successes_failures] == ["dead", "size - dead"]
    assert [part.text for part in parsed.offsets] == ["log(n)"]
    assert parse("y ~ x").successes_failures is None


@pytest.mark.parametrize(
    ("formula", "place", "says"),
    [
        ("y ~ x + (1 | g", "(1 | g", "never closed"),
        ("y ~ x) + (1 | g)", ") + (1", "closes nothing"),
        ("y ~ x + 1 | g", "| g", "parentheses"),
        ("y ~ x * (1 | g)", "* (1", "'\\+'"),
        ("y ~ (1 | g) * x", "* x", "'\\+'"),
        ("y ~ x + ( | g)", "| g", "what varies"),
        ("y ~ x + (1 | )", ")", "column that holds the groups"),
        ("y ~ x + (1 | g + h)", "+ h", "joined by"),
        ("y ~ x + (1 | factor(g))", "(g))", "joined by"),
        ("y ~ x + (1 | g | h)", "| h", "one '\\|'"),
        ("y ~ x + (x + (1 | g))", "| g", "stands on its own"),
        ("y ~ `x + (1 | g)", "`x", "never closed"),
        ("y ~ x ~ z", "~ z", "one '~'"),
        ("cbind(a) ~ x", "cbind", "two columns"),
    ],
)
def test_an_error_points_at_its_place(formula, place, says):
    with pytest.raises(FormulaError, match=says) as caught:
        parse(formula)
    assert caught.value.position == formula.index(place)
    *_, shown, caret = str(caught.value).splitlines()
    assert shown[caret.index("^") :].startswith(place)


def test_a_caret_outside_a_function_means_interactions():
    assert parse("y ~ (a + b)^2 + `p^q` + (1 | g)").fixed.code == "(ǂ1ǂ + ǂ2ǂ)^2 + ǂ3ǂ"


def test_a_caret_inside_a_function_is_a_power_as_in_r():
    parsed = parse("y^2 ~ I((x + 1)^2) + x:poly(x^2, 2)[1] + (I(x^3) | g)")
    assert parsed.response.code == "0 + {ǂ0ǂ**2}"
    assert parsed.fixed.code == "I((ǂ1ǂ + 1)**2) + ǂ1ǂ:poly(ǂ1ǂ**2, 2)[1]"
    assert parsed.bars[0].columns.code == "I(ǂ1ǂ**3)"


@pytest.mark.parametrize("formula", ["y x", "", "y ~", 3, None])
def test_what_is_no_formula(formula):
    with pytest.raises(FormulaError):
        parse(formula)
