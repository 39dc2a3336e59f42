"""The fit of a question, its three poolings, its bootstrap."""

from dataclasses import replace

import numpy as np

import mixedlab as ml
from mixedlab.labs.explorer.table_lab import Table
from tests.labs.explorer import tables


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
