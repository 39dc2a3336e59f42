"""The explorer is a lab like the others, on any table, at any setting."""

from dataclasses import replace

import numpy as np
import pytest

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


def test_wells_that_do_not_go_together_say_so_in_the_picture():
    lab = Table(tables.sleepstudy()).lab
    scene = lab.run(lab.clean({"x": "Reaction"}))
    assert scene.headline == "nothing is fitted"
    assert "stands in two wells" in scene.ask
    assert scene.answer is None
