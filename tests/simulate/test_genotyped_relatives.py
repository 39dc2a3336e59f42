"""Relatives against their own theory."""

import numpy as np
import pytest

import mixedlab as ml


@pytest.mark.parametrize("fst", [0.0, 0.1])
def test_relatives_have_the_stated_relatedness(fst):
    sim = ml.simulate.relatives(30, 3, 20_000, n_populations=2, fst=fst, seed=2)
    p = sim.truth["frequency"]
    Z = (sim["genotype"] - 2 * p) / np.sqrt(2 * p * (1 - p))
    K, expected = Z @ Z.T / p.size, sim.truth["relatedness"]
    family, population = sim["family"], sim["population"]
    same_family = family[:, None] == family
    same_population = population[:, None] == population
    itself = np.eye(len(family), dtype=bool)
    for pairs in (itself, same_family & ~itself, same_population & ~same_family, ~same_population):
        # each population has one history of drift, so average over it and over pairs
        assert K[pairs].mean() == pytest.approx(expected[pairs].mean(), abs=0.02)


def test_relatives_trait_has_the_stated_heritability():
    values, traits = [], []
    for seed in range(40):
        sim = ml.simulate.relatives(
            200, 1, 60, fst=0.0, n_populations=1, sd_population=0.0, heritability=0.6, seed=seed
        )
        values.append(sim.truth["breeding_value"].var())
        traits.append(sim["trait"].var())
    assert np.mean(values) == pytest.approx(0.6, abs=0.03)
    assert np.mean(traits) == pytest.approx(1.0, abs=0.04)


def test_relatives_missing_calls_are_only_left_out():
    whole = ml.simulate.relatives(20, 2, 100)
    holes = ml.simulate.relatives(20, 2, 100, missing=0.2)
    gone = np.isnan(holes["genotype"])
    assert gone.mean() == pytest.approx(0.2, abs=0.03)
    assert np.array_equal(whole["genotype"][~gone], holes["genotype"][~gone])
    assert np.array_equal(whole["trait"], holes["trait"])
    assert set(np.unique(whole["genotype"])) == {0.0, 1.0, 2.0}


def test_siblings_inherit_from_two_parents():
    one = ml.simulate.relatives(5, 2, 50)
    more = ml.simulate.relatives(5, 4, 50)
    kept = more["family"] * 0 + np.tile(np.arange(4), 5) < 2
    assert np.array_equal(one["genotype"], more["genotype"][kept])
