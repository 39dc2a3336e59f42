"""Entries that link levels to later columns, against full matrices."""

import numpy as np
import pytest

from mixedlab.engine import entries as module
from mixedlab.engine.elimination import Elimination
from mixedlab.engine.traces import later_products
from tests.engine.dense_columns import columns


@pytest.fixture(params=["pairs", "matrices"])
def stage(request, monkeypatch):
    if request.param == "matrices":
        monkeypatch.setattr(module, "_MAX_PAIRS", 0)
        monkeypatch.setattr(module, "_CHUNK", 30)
    else:
        monkeypatch.setattr(module, "_FILLED", 2.0)
    plan = Elimination(columns()[0].factors)
    return plan, plan.stages[0]


def full(plan, stage, values):
    out = np.zeros((len(values), stage.J, plan.n_columns))
    out[:, stage.entries.level, stage.entries.column] = values
    return out


def test_products_by_level_and_by_column(stage):
    plan, stage = stage
    rng = np.random.default_rng(0)
    B, x = rng.normal(size=(2, stage.entries.level.size)), rng.normal(size=plan.n_columns)
    dense = full(plan, stage, B)
    np.testing.assert_allclose(stage.entries.by_level(B, x), dense @ x)
    y = rng.normal(size=(2, stage.J))
    np.testing.assert_allclose(
        stage.entries.by_column(B, y), np.einsum("kjc,kj->c", dense, y), atol=1e-12
    )
    inner = np.einsum("kjc,mjc->kmj", dense, dense)
    np.testing.assert_allclose(stage.entries.inner(B, B), inner)


def test_squares_and_sandwiches(stage):
    plan, stage = stage
    rng = np.random.default_rng(1)
    B = rng.normal(size=(2, stage.entries.level.size))
    dense = full(plan, stage, B)
    flat = np.zeros(plan.flat_size)
    stage.entries.add_squares(flat, B)
    values, (rows, cols) = later_products(plan, flat)
    found = np.zeros((plan.n_columns,) * 2)
    found[rows, cols] = values
    np.testing.assert_allclose(found, np.einsum("kjc,kjd->cd", dense, dense), atol=1e-12)
    # C where the data have an entry: any symmetric matrix with that pattern.
    C = found + 3.0 * np.eye(len(found))
    C[: stage.columns.stop] = 0.0
    filled = flat.copy()
    for square in plan.squares:
        filled[square.where] = C[np.ix_(square.columns, square.columns)].ravel()
    for other in plan.stages[1:]:
        own = filled[other.blocks].reshape(other.q, other.q, other.J)
        for k in range(other.q):
            own[k, k] += 3.0
    half = stage.entries.half_of(filled)
    sandwich = np.einsum("kjc,cd,mjd->km", dense, C, dense)
    np.testing.assert_allclose(stage.entries.sandwich(B, filled, half), sandwich)
    times = np.einsum("kjc,cd->kjd", dense, C)[:, stage.entries.level, stage.entries.column]
    np.testing.assert_allclose(stage.entries.times(B, filled, half), times, atol=1e-10)
