"""``ml.explore``: what is not in the table is said, with the nearest name."""

import pytest

import mixedlab as ml
from mixedlab.errors import DataError
from tests.labs.explorer import tables


def test_mistyped_columns_get_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'Reaction'"):
        ml.explore(tables.sleepstudy(), y="reaction")
    with pytest.raises(DataError, match="Did you mean 'Subject'"):
        ml.explore(tables.sleepstudy(), group="subject")
    with pytest.raises(DataError, match="no family"):
        ml.explore(tables.sleepstudy(), family="normal")
