"""Numbers and averages in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedlab.labs.kit.words import count, listed, number, percent, rate


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_a_number_is_read_back_and_its_minus_is_a_true_one(value, digits):
    text = number(value, digits)
    assert "-" not in text
    assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.5 * 10.0**-digits + 1e-9)


@pytest.mark.parametrize("value", [-0.001, 0.0, -0.0])
def test_nothing_has_no_sign(value):
    assert number(value) == "0.00"


def test_shares_rates_and_counts():
    assert percent(0.842) == "84 %"
    assert percent(-0.055, 1) == "−5.5 %"
    assert rate(0.265) == ".265"
    assert rate(1.0) == "1.000"
    assert count(1, "ward") == "1 ward"
    assert count(5, "ward") == "5 wards"
    assert count(0, "man", "men") == "0 men"


def test_lists():
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"
