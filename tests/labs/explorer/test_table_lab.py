"""The explorer is a lab like the others, on any table, at any setting."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.labs.explorer.table_lab import Table
from mixedlab.labs.kit import protocol
from tests.labs import stage_rules
from tests.labs.explorer import tables
from tests.labs.fuzz import check_lab, random_states


@pytest.fixture(scope="module", params=tables.ALL)
def table(request):
    make, wells = tables.ALL[request.param]
    return Table(make(), **wells)


def test_any_setting_has_its_scene(table):
    check_lab(table.lab, n_random=6)


def test_the_rules_of_the_stage_hold(table):
    lab = table.lab
    first = lab.run(lab.state())
    stage_rules.check_bet(lab, first)
    stage_rules.check_no_spoiler(lab, first)
    stage_rules.check_calm_axes(lab)
    stage_rules.check_keys_link(first)
    for state in [lab.state(), *random_states(lab, 8, 1)]:
        scene = lab.run(state)
        stage_rules.check_headlines(scene, state)
        stage_rules.check_motion(scene)
        stage_rules.check_meanings(scene)
        assert len(protocol.json_of(protocol.scene_reply(lab, state))) <= stage_rules.MOST_BYTES


def test_the_handle_goes_from_none_over_the_model_to_complete(table):
    lab = table.lab
    state = lab.state()
    fits = lab.fit(lab.simulate(state))
    np.testing.assert_allclose(fits.at(0.5), fits.model)
    np.testing.assert_allclose(fits.at(1.0), fits.complete)
    own = fits.at(0.0)
    alone = ~np.isnan(fits.none)
    np.testing.assert_allclose(own[alone], fits.none[alone])

    def spread(pooling):
        panel = lab.run(replace(state, pooling=pooling)).hero
        mark = next(m for m in panel.marks if m.key == "pooled")
        return np.ptp([np.mean(v) for v in (mark.y if hasattr(mark, "width") else mark.x)])

    assert spread(0.0) > spread(0.5) > spread(1.0)
    assert spread(1.0) < 1e-6


def test_pooling_is_that_of_the_public_names():
    table = Table(tables.sleepstudy(), y="Reaction", x="Days", group="Subject")
    lab = table.lab
    state = lab.clean({"slope": True})
    fits = lab.fit(lab.simulate(state))
    three = ml.pooling("Reaction ~ Days + (Days | Subject)", tables.sleepstudy())
    np.testing.assert_allclose(fits.none, three.none.coef)
    np.testing.assert_allclose(fits.model, three.partial.coef)


def test_repeating_is_the_parametric_bootstrap():
    lab = Table(tables.sleepstudy()).lab
    icc = np.array(lab.replicate(lab.state(), 0, 200)["icc"])
    truth = lab.truth_of(lab.state())["icc"]
    assert abs(icc.mean() - truth) < 4 * icc.std() / np.sqrt(200) + 0.05
    other = lab.run(replace(lab.state(), seed=5))
    assert "simulated from the fit" in other.summary_before


def test_rows_without_a_value_are_counted():
    df = tables.sleepstudy()
    df.loc[[3, 50], "Reaction"] = np.nan
    lab = Table(df, y="Reaction", x="Days", group="Subject").lab
    assert "2 rows without a value are left out" in lab.run(lab.state()).summary_before


def test_wells_that_do_not_go_together_say_so_in_the_picture():
    lab = Table(tables.sleepstudy()).lab
    scene = lab.run(lab.clean({"x": "Reaction"}))
    assert scene.headline == "nothing is fitted"
    assert "stands in two wells" in scene.ask
    assert scene.answer is None


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
