"""Bytes become a table as they are meant, or are refused in words."""

import pandas as pd
import pytest

from mixedlab.errors import DataError
from mixedlab.labs.explorer.reading import Reading, guess, read
from tests.labs.explorer.tables import MESSY


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("name", MESSY)
def test_separator_and_decimal_sign_are_guessed(name, separator, decimal):
    if separator == decimal:
        pytest.skip("no file is written so")
    df = MESSY[name][0]().reset_index(drop=True)
    raw = df.to_csv(index=False, sep=separator, decimal=decimal).encode()
    reading = guess(raw)
    assert reading.separator == separator
    pd.testing.assert_frame_equal(read(raw, reading), df, check_dtype=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings_are_guessed(encoding, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("größe;g\n1,5;ä\n2,5;b\n3,5;ä\n".encode(encoding))
    reading = guess(path.read_bytes())
    df = read(path.read_bytes(), reading)
    assert list(df.columns) == ["größe", "g"]
    assert df["größe"].tolist() == [1.5, 2.5, 3.5]
    names = {"pd": pd}
    exec(reading.line(str(path)), names)
    pd.testing.assert_frame_equal(names["df"], df)


def test_names_of_rows_that_r_writes_are_no_columns():
    df = read(b"x,y\n1,0.5,2\n2,1.5,3\n", Reading())
    assert list(df.columns) == ["x", "y"]
    assert df["y"].tolist() == [2, 3]


def test_a_column_of_decimal_commas_is_one_column():
    raw = b"y\n1,5\n2,5\n3,5\n"
    assert read(raw, Reading(";", ",")).shape == (3, 1)


def test_a_reading_is_changed_only_to_what_there_is():
    assert Reading().changed({"separator": ";", "decimal": "x", "encoding": 3}) == Reading(";")


def test_columns_of_one_name_are_numbered_when_that_is_asked_for():
    raw = b"y,y,g\n1,2,a\n2,3,b\n"
    with pytest.raises(DataError, match="Two columns have one name: 'y'"):
        read(raw, Reading())
    assert list(read(raw, Reading(renames=True))) == ["y", "y.1", "g"]
