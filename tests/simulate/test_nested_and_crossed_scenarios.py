"""Trials, villages, batches, wards, consumers and scans against their own theory."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.simulate import first_stage


def pair_correlation(a, b, mean=0.0):
    """Correlation of pairs about a known mean."""
    a, b = a - mean, b - mean
    return np.mean(a * b) / np.mean((a**2 + b**2) / 2)


def test_trials_correlations_at_both_levels():
    sim = ml.simulate.trials(20_000, 2, 2, effect=0.0, seed=3)
    y = sim["rate"].reshape(20_000, 2, 2)
    truth = sim.truth
    tolerance = 4 / np.sqrt(20_000)
    assert pair_correlation(y[:, 0, 0], y[:, 0, 1], 12) == pytest.approx(
        truth["icc_neuron"], abs=tolerance
    )
    assert pair_correlation(y[:, 0, 0], y[:, 1, 1], 12) == pytest.approx(
        truth["icc_subject"], abs=tolerance
    )
    assert y.var() == pytest.approx(4 + 9 + 16, rel=0.05)


@pytest.mark.parametrize("varies", ["trial", "subject"])
def test_trials_standard_error_is_the_sd_over_samples(varies):
    def difference(seed):
        sim = ml.simulate.trials(6, 3, 4, stimulus_varies=varies, seed=seed)
        on = sim["stimulus"] == 1
        return sim["rate"][on].mean() - sim["rate"][~on].mean()

    truth = ml.simulate.trials(6, 3, 4, stimulus_varies=varies).truth
    d = np.array([difference(s) for s in range(1500)])
    assert d.std() == pytest.approx(truth["se_effect"], rel=4 / np.sqrt(2 * 1500))
    assert d.mean() == pytest.approx(1.0, abs=4 * truth["se_effect"] / np.sqrt(1500))
    # pseudoreplication understates a subject's effect; within subjects pairing makes it smaller
    assert (truth["se_naive"] < truth["se_effect"]) == (varies == "subject")


@pytest.mark.parametrize("outcome", ["continuous", "binary", "count"])
def test_villages_marginal_means(outcome):
    sim = ml.simulate.villages(30_000, 2, outcome=outcome, sd_village=0.8, seed=5)
    y = list(sim.columns.values())[-1].reshape(-1, 2).mean(axis=1)
    for arm in (0, 1):
        values = y[arm::2]
        error = values.std() / np.sqrt(values.size)
        assert abs(values.mean() - sim.truth["marginal_mean"][arm]) < 4 * error


def test_villages_design_effect_with_unequal_sizes():
    options = {"n_villages": 5, "n_people": 10, "cv_size": 0.8, "effect": 0.0}
    base = ml.simulate.villages(outcome="continuous", seed=4, **options)
    sizes, icc = base.truth["sizes"], base.truth["icc"]
    assert icc == pytest.approx(0.16 / (0.16 + 1.44))
    # the variance of the mean of all rows: villages weigh with their sizes
    by_hand = np.sum(sizes**2) * 0.16 / sizes.sum() ** 2 + 1.44 / sizes.sum()
    naive = 1.6 / sizes.sum()
    assert base.truth["design_effect"] == pytest.approx(by_hand / naive)
    many = ml.simulate.villages(20_000, 10, cv_size=0.8, outcome="continuous").truth["sizes"]
    assert many.mean() == pytest.approx(10, rel=0.05)
    assert many.std() / many.mean() == pytest.approx(0.8, rel=0.05)


def test_batches_from_crossed_to_confounded():
    crossed = ml.simulate.batches(confounding=0.0)
    partly = ml.simulate.batches(confounding=0.6)
    confounded = ml.simulate.batches(confounding=1.0)
    assert crossed.truth["cells"].all()
    assert crossed.truth["components"] == 1
    assert confounded.truth["cells"].sum(axis=1).tolist() == [1] * 12
    assert confounded.truth["components"] == 6
    assert np.all(partly.truth["cells"] <= crossed.truth["cells"])
    assert np.all(partly.truth["cells"] >= confounded.truth["cells"])
    # rows that stay are the same rows
    kept = {tuple(r) for r in zip(partly["donor"], partly["batch"], partly["signal"], strict=True)}
    assert kept <= {
        tuple(r) for r in zip(crossed["donor"], crossed["batch"], crossed["signal"], strict=True)
    }


def test_batches_correlations():
    sim = ml.simulate.batches(n_donors=2, n_batches=2, n_replicates=2)
    y = np.array(
        [ml.simulate.batches(2, 2, 2, seed=s)["signal"] for s in range(3000)]
    ).reshape(-1, 2, 2, 2) - 8.0  # fmt: skip
    tolerance = 4 / np.sqrt(3000)
    for pair, name in (
        ((y[:, 0, 0, 0], y[:, 0, 1, 0]), "corr_donor"),
        ((y[:, 0, 0, 0], y[:, 1, 0, 0]), "corr_batch"),
        ((y[:, 0, 0, 0], y[:, 0, 0, 1]), "corr_both"),
    ):
        assert pair_correlation(*pair) == pytest.approx(sim.truth[name], abs=tolerance), name
    assert pair_correlation(y[:, 0, 0, 0], y[:, 1, 1, 0]) == pytest.approx(0, abs=tolerance)


def test_wards_regress_to_the_mean():
    n = 10
    sim = ml.simulate.wards(20_000, n, stability=0.7, seed=2)
    means = sim["score"].reshape(2, 20_000, n).mean(axis=2) - 70
    slope = np.sum(means[0] * means[1]) / np.sum(means[0] ** 2)
    expected = sim.truth["regression"][0]
    assert slope == pytest.approx(expected, abs=4 / np.sqrt(20_000))
    reliability = 9 / (9 + 144 / n)
    assert sim.truth["reliability"][0] == pytest.approx(reliability)
    assert expected == pytest.approx(0.7 * reliability)
    b = sim.truth["b"]
    assert b.std(axis=0) == pytest.approx([3, 3], rel=0.03)
    assert np.corrcoef(b.T)[0, 1] == pytest.approx(0.7, abs=0.02)
    pairs = pair_correlation(*sim["score"].reshape(2, 20_000, n)[0].T[:2], 70)
    assert pairs == pytest.approx(sim.truth["icc"], abs=4 / np.sqrt(20_000))


def test_consumers_marginal_share_and_nesting():
    sim = ml.simulate.consumers(20_000, 1, 2, price=0.0, sd_price=0.0, intercept=-0.7, seed=3)
    share = sim["bought"].reshape(-1, 2).mean(axis=1)
    assert abs(share.mean() - sim.truth["marginal_mean"]) < 4 * share.std() / np.sqrt(20_000)
    small = ml.simulate.consumers(3, 4, 5)
    assert len(np.unique(small["consumer"])) == 12
    assert np.all(small["consumer"] // 4 == small["country"])
    assert small.truth["icc_consumer"] == pytest.approx((0.36 + 1) / (0.36 + 1 + np.pi**2 / 3))
    assert small.truth["icc_country"] < small.truth["icc_consumer"]


def test_consumers_slopes_vary_by_country():
    sim = ml.simulate.consumers(8, 400, 8, sd_consumer=0.0, sd_price=1.0, sd_country=0.0, seed=2)
    slopes = []
    for k in range(8):
        rows = sim["country"] == k
        x, y = sim["price"][rows], sim["bought"][rows]
        b = np.zeros(2)
        X = np.column_stack([np.ones(x.size), x])
        for _ in range(20):
            mu = 1 / (1 + np.exp(-X @ b))
            b = b + np.linalg.solve(X.T @ (X * (mu * (1 - mu))[:, None]), X.T @ (y - mu))
        slopes.append(b[1])
    assert np.array(slopes) == pytest.approx(-0.8 + sim.truth["s"], abs=0.25)


def test_scans_standard_errors_and_heterogeneity():
    sim = ml.simulate.scans(4000, 20, seed=3)
    estimate, se = first_stage(sim)
    truth = sim.truth
    z = (estimate - truth["beta"]) / truth["se"]
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert np.mean(se**2 / truth["se"] ** 2) == pytest.approx(1, abs=0.04)
    assert truth["beta"].std() == pytest.approx(0.25, rel=0.05)
    assert np.log(truth["sigma"]).std() == pytest.approx(0.4, rel=0.05)
    assert truth["se_fixed"] < truth["se_mixed"]
    assert 0 < truth["i2"] < 1
    unequal = ml.simulate.scans(3, [4, 9, 20])
    assert np.bincount(unequal["subject"]).tolist() == [4, 9, 20]


def test_scans_first_stage_is_each_subjects_regression():
    sim = ml.simulate.scans(3, [6, 9, 20])
    estimate, se = first_stage(sim)
    for i in range(3):
        rows = sim["subject"] == i
        fit = stats.linregress(sim["task"][rows], sim["signal"][rows])
        assert estimate[i] == pytest.approx(fit.slope)
        assert se[i] == pytest.approx(fit.stderr)
