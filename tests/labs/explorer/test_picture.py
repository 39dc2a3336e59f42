"""What is drawn of a table: text as text, a sample that says so."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.labs.explorer.table_lab import Table
from tests.labs.explorer import tables


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "<img src=x onerror=alert(1)>"])
def test_cells_are_text_and_nothing_else(cell):
    df = tables.sleepstudy().astype({"Subject": str}).rename(columns={"Subject": f"{cell} g"})
    df.iloc[:10, 2] = cell
    explorer = ml.explore(df, y="Reaction", x="Days", group=f"{cell} g")
    assert explorer.fit.n_groups == {f"{cell} g": 18}
    assert "<img" not in explorer.shell
    assert f"(1 | `{cell} g`)" in explorer.code


def test_a_large_table_is_fitted_whole_and_drawn_in_part():
    rng = np.random.default_rng(0)
    n, J = 200_000, 2_000
    g = rng.integers(J, size=n)
    df = pd.DataFrame({"y": rng.normal(size=n) + rng.normal(size=J)[g], "g": g.astype(str)})
    df["x"] = rng.normal(size=n)
    lab = Table(df, y="y", x="x", group="g").lab
    scene = lab.run(lab.state())
    assert "24 of 2000 groups, 300 of 200000 rows; fitted: all" in scene.hero.title
    start = time.perf_counter()
    lab.run(replace(lab.state(), pooling=0.2))
    assert time.perf_counter() - start < 0.5  # nothing of the table is touched
