import numpy as np
import pandas as pd
import pytest

from mixedlab.errors import DataError
from mixedlab.structures.two_level.columns import ClusteredColumns, Standardised


def table():
    return pd.DataFrame(
        {
            "y": [1.0, 2.0, np.nan, 4.0, 7.0, 6.0, 5.0],
            "w": [1.0, 1.0, 1.0, 2.0, 2.0, 5.0, 5.0],
            "g": ["b", "b", "b", "a", "a", "c", None],
        }
    )


def test_standardised_columns_go_back():
    values = np.array([[1.0, 1e6], [2.0, 3e6], [6.0, 2e6]])
    s = Standardised.of(values, ["u", "v"])
    np.testing.assert_allclose(s.scaled.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(s.scaled.std(axis=0), 1)
    np.testing.assert_allclose(s.origin + s.unit * s.scaled, values)
    with pytest.raises(DataError, match="'v' is constant"):
        Standardised.of(np.array([[1.0, 2.0], [3.0, 2.0]]), ["u", "v"])


def test_incomplete_rows_are_left_out_and_clusters_have_one_row_of_their_own():
    found = ClusteredColumns.read(table(), "g", ["y"], w=["w"])
    assert found.n_missing == 2
    assert list(found.labels) == ["a", "b", "c"]
    np.testing.assert_array_equal(found.cluster, [1, 1, 0, 0, 2])
    np.testing.assert_allclose(found.w.origin + found.w.unit * found.w.scaled.T, [[2, 1, 5]])


def test_what_varies_within_is_no_covariate_of_groups():
    with pytest.raises(DataError, match="'y' varies within group 'b'"):
        ClusteredColumns.read(table().assign(v=np.arange(7)), "g", ["v"], w=["y"])
