"""Dropout, couples, relatives, devices and contamination against their own theory."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.simulate import slope_covariance


def test_dropout_complete_data_have_the_stated_covariance():
    sim = ml.simulate.dropout(20_000, 4, mechanism="not at random", seed=3)
    y = sim["quality"].reshape(-1, 4)
    weeks = 2.0 * np.arange(4)
    expected = slope_covariance(sim.truth["cov"], weeks, sim.truth["sd_error"])
    for arm, slope in ((0, -0.5), (1, 0.3)):
        part = y[arm::2]
        assert part.mean(axis=0) == pytest.approx(50 + slope * weeks, abs=0.5)
        error = np.sqrt(2 / part.shape[0]) * expected.max()
        assert np.abs(np.cov(part.T) - expected).max() < 4 * error


def test_dropout_is_monotone_and_starts_complete():
    for mechanism in ("completely at random", "at random", "not at random"):
        seen = ml.simulate.dropout(mechanism=mechanism)["observed"].reshape(-1, 6)
        assert seen[:, 0].all()
        assert np.all(seen[:, 1:] <= seen[:, :-1])


def test_dropout_completely_at_random_has_the_stated_completers():
    sim = ml.simulate.dropout(8000, mechanism="completely at random", hazard=0.15, seed=2)
    share = sim["observed"].reshape(-1, 6)[:, -1].mean()
    expected = 0.85**5
    assert sim.truth["completers"] == pytest.approx(expected)
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 8000))


def leaving(mechanism):
    """Score seen last, score that would be seen, and who leaves before visit 2."""
    sim = ml.simulate.dropout(60_000, 2, mechanism=mechanism, effect=0.0, seed=4)
    y, seen = sim["quality"].reshape(-1, 2), sim["observed"].reshape(-1, 2)
    return y[:, 0], y[:, 1], ~seen[:, 1]


def logistic(columns, y):
    X = np.column_stack([np.ones(y.size), *columns])
    b = np.zeros(X.shape[1])
    for _ in range(30):
        mu = 1 / (1 + np.exp(-X @ b))
        H = X.T @ (X * (mu * (1 - mu))[:, None])
        b = b + np.linalg.solve(H, X.T @ (y - mu))
    return b, np.sqrt(np.diag(np.linalg.inv(H)))


@pytest.mark.parametrize(
    ("mechanism", "last", "now"),
    [("completely at random", 0, 0), ("at random", -0.15, 0), ("not at random", 0, -0.15)],
)
def test_dropout_depends_on_what_its_mechanism_says(mechanism, last, now):
    before, after, gone = leaving(mechanism)
    b, se = logistic([before - 50, after - 50], gone)
    expected = np.array([np.log(0.12 / 0.88), last, now])
    assert np.abs((b - expected) / se).max() < 4


def test_couples_covariance_of_the_outcomes():
    sim = ml.simulate.couples(30_000, seed=3)
    y = sim["adherence"].reshape(-1, 2)
    assert y.mean(axis=0) == pytest.approx([5, 4.6], abs=0.05)
    expected = sim.truth["cov_y"]
    assert np.abs(np.cov(y.T) - expected).max() < 4 * np.sqrt(2 / 30_000) * expected.max()
    x = sim["quality"].reshape(-1, 2)
    assert np.array_equal(x[:, ::-1], sim["partner_quality"].reshape(-1, 2))
    # regression within a role returns actor and partner effects
    for k, name in enumerate(("patient", "partner")):
        X = np.column_stack([np.ones(len(x)), x[:, k], x[:, 1 - k]])
        mean, actor, partner = np.linalg.lstsq(X, y[:, k], rcond=None)[0]
        stated = sim.truth["fixef"][name]
        assert [mean, actor, partner] == pytest.approx(
            [stated["mean"], stated["actor"], stated["partner"]], abs=0.04
        )
    assert sim["role"][:2].tolist() == ["patient", "partner"]


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


def test_devices_mean_and_coefficient_of_variation():
    sim = ml.simulate.devices(80_000, 1, error_of_firing=0.4, seed=3)
    ratio = sim["curvature"] / sim.truth["mu"]
    for level in (-1, 1):
        part = ratio[sim["firing"] == level]
        cv = sim.truth["cv"][sim["firing"] == level][0]
        assert part.mean() == pytest.approx(1, abs=4 * cv / np.sqrt(part.size))
        assert part.std() == pytest.approx(cv, rel=0.03)
    u = sim.truth["u"]
    a = 1 / sim.truth["lam"]
    assert stats.kstest(u, stats.invgamma(a + 1, scale=a).cdf).pvalue > 1e-3
    assert u.std() == pytest.approx(0.25, rel=0.03)


def test_devices_are_a_full_factorial():
    sim = ml.simulate.devices(16, 1)
    runs = np.column_stack([sim["lamination"], sim["firing"], sim["cooling"]])
    assert len(np.unique(runs[:8], axis=0)) == 8
    assert np.array_equal(runs[:8], runs[8:])
    assert ml.simulate.devices(cv_device=0.0).truth["lam"] == 0


def test_contamination_moments():
    sim = ml.simulate.contamination(
        4000, 3, 1, 1, present=0.4, abundance=2.0, depth_spread=0.0, seed=2
    )
    c = sim.truth["contamination"]
    cv = sim.truth["cv_contamination"]
    assert c.mean() == pytest.approx(0.5, rel=4 * cv / np.sqrt(4000))
    assert c.std() / c.mean() == pytest.approx(cv, rel=0.15)
    control = sim["control"]
    assert np.all(sim.truth["rate"][control] == 0)
    rate = sim.truth["rate"][~control]
    assert (rate > 0).mean() == pytest.approx(0.4, abs=0.02)
    assert rate[rate > 0].mean() == pytest.approx(2.0, rel=0.05)
    expected = sim["depth"] * (sim.truth["rate"] + c[sim["taxon"], sim["batch"]])
    assert (sim["reads"] - expected).mean() == pytest.approx(
        0, abs=4 * np.sqrt(expected.mean() / expected.size)
    )
    assert np.mean((sim["reads"] - expected) ** 2) == pytest.approx(expected.mean(), rel=0.05)


def test_more_controls_leave_the_samples_alone():
    few = ml.simulate.contamination(n_controls=1)
    many = ml.simulate.contamination(n_controls=5)
    for column in ("reads", "depth"):
        assert np.array_equal(few[column][~few["control"]], many[column][~many["control"]])
    fewer_samples = ml.simulate.contamination(n_controls=1, n_samples=2)
    assert np.array_equal(
        few["reads"][few["control"]], fewer_samples["reads"][fewer_samples["control"]]
    )
