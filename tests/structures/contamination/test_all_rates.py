"""All rates of a contamination fit in one table."""

import numpy as np

import mixedlab as ml
from mixedlab.inference.tidying import COLUMNS


def test_the_table_holds_both_kinds_of_rates_as_they_are():
    names = ("reads", "taxon", "batch", "control", "depth")
    sim = ml.simulate.contamination(n_taxa=4, seed=2)
    fit = ml.contamination(*(sim.columns[name] for name in names))
    table = fit.tidy()
    assert list(table) == COLUMNS
    assert table["effect"].value_counts().to_dict() == {
        "contamination": fit.contamination_rates.shape[0],
        "true rate": len(fit.samples),
    }
    samples = table[table["effect"] == "true rate"]
    for name, own in (("estimate", "rate"), ("se", "sd"), ("p", "p_value"), ("upper", "upper")):
        np.testing.assert_array_equal(samples[name], fit.samples[own])
    rates = table[table["effect"] == "contamination"].set_index(["term", "group"])
    taxon, batch = fit.taxa[1], fit.batches[2]
    assert rates.loc[(taxon, batch), "estimate"] == fit.contamination_rates["rate"][taxon, batch]
    assert (rates["lower"] < rates["estimate"]).all()
    assert rates["se"].iloc[0] == np.sqrt(fit.rate_shape[0, 0]) / fit.rate_rate[0, 0]
