"""Cutting a formula: nothing is lost, each token knows its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedlab.data.tokens import tokenize
from mixedlab.errors import FormulaError


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
