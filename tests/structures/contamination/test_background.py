"""Rates above contamination: exact posteriors, shrinkage, coverage, and bad input."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad, simpson

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.structures.contamination.background import rate_posterior


def fitted(sim, **options):
    return ml.contamination(
        sim["reads"], sim["taxon"], sim["batch"], sim["control"], sim["depth"], **options
    )


@pytest.mark.parametrize(("y", "d", "A", "B"), [(0, 5, 2.0, 8.0), (7, 5, 2.0, 3.0), (60, 20, 9, 4)])
def test_posterior_of_the_rate_is_the_integral(y, d, A, B):
    """Integrate the contamination rate out numerically."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    c = stats.gamma(A, scale=1 / B).ppf((nodes + 1) / 2)
    r = np.linspace(0, 2 * (y + 30) / d, 4001)
    likelihood = stats.poisson(d * (r[:, None] + c)).pmf(y) @ weights
    exact = likelihood / simpson(likelihood, x=r)
    mixture = rate_posterior(*(np.array([float(v)]) for v in (y, d, A, B)))
    ours = np.array([mixture.pdf(np.array([x]))[0][0] for x in r[::200]])
    assert ours == pytest.approx(exact[::200], rel=1e-3, abs=2e-6)


def test_p_value_is_the_negative_binomials_tail():
    fit = fitted(ml.simulate.contamination(n_taxa=5, n_batches=3, n_samples=4))
    A = fit.rate_shape[fit.taxon, fit.batch]
    B = fit.rate_rate[fit.taxon, fit.batch]
    tail = stats.nbinom(A, B / (B + fit.depth)).sf(fit.counts - 1)
    assert fit.p_value == pytest.approx(tail, rel=1e-8)
    assert fit.expected_contamination == pytest.approx(fit.depth * A / B)


def test_learned_spread_is_the_truth_in_the_long_run():
    sim = ml.simulate.contamination(
        300, 12, 1, 4, cv_batches=0.6, cv_taxa=1.2, control_depth=40.0, seed=3
    )
    fit = fitted(sim)
    assert np.sqrt(fit.between_batches) == pytest.approx(0.6, abs=0.04)
    assert np.sqrt(fit.between_taxa) == pytest.approx(1.2, abs=0.15)
    assert fit.mean_rate == pytest.approx(0.5, rel=0.2)


def test_learned_likelihood_is_the_integral():
    """One taxon's control reads: the integral over its mean, by brute force."""
    sim = ml.simulate.contamination(4, 3, 1, 2, seed=5)
    fit = fitted(sim)
    total = 0.0
    alpha, kappa = 1 / fit.between_batches, 1 / fit.between_taxa
    for t in range(4):

        def integrand(m, t=t):
            p = alpha / (alpha + m * fit.control_depth[t])
            return np.prod(stats.nbinom(alpha, p).pmf(fit.control_reads[t])) * stats.gamma(
                kappa, scale=fit.mean_rate / kappa
            ).pdf(m)

        total += np.log(quad(integrand, 0, 60 * fit.mean_rate, limit=500, points=[0.1, 1])[0])
    assert fit.loglik == pytest.approx(total, abs=1e-5)


def test_batches_shrink_by_what_their_controls_know():
    sim = ml.simulate.contamination(10, 6, 2, 3, seed=4)
    keep = ~(sim["control"] & (sim["batch"] == 5))  # batch 5 has no control
    columns = [sim[c][keep] for c in ("reads", "taxon", "batch", "control", "depth")]
    fit = ml.contamination(*columns)
    table = fit.contamination_rates
    raw, rate = table["raw"].unstack(), table["rate"].unstack()
    mean = rate.mean(axis=1)
    seen = raw[[0, 1, 2, 3, 4]]
    # shrunken rates lie nearer to the taxon's mean than raw ones
    spread = (rate[[0, 1, 2, 3, 4]].sub(mean, axis=0) ** 2).sum().sum()
    assert spread < (seen.sub(seen.mean(axis=1), axis=0) ** 2).sum().sum()
    assert raw[5].isna().all()
    width = (table["upper"] - table["lower"]).unstack()
    assert (width[5] > width[[0, 1, 2, 3, 4]].median(axis=1)).all()
    # and with deep controls there is nothing left to shrink
    deep = fitted(ml.simulate.contamination(10, 6, 2, 3, control_depth=1e5, seed=4))
    table = deep.contamination_rates
    assert table["rate"].to_numpy() == pytest.approx(table["raw"].to_numpy(), rel=0.01)


def test_coverage_and_false_positives():
    inside, false, size = [], [], []
    for seed in range(6):
        sim = ml.simulate.contamination(20, 6, 8, 3, seed=seed)
        fit = fitted(sim)
        r = sim.truth["rate"][fit.rows]
        inside.append(np.mean((fit.low <= r) & (r <= fit.high)))
        false.append(np.mean(fit.low[r == 0] > 0))
        size.append(np.mean(fit.p_value[r == 0] < 0.05))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    assert np.mean(false) < 0.09
    assert np.mean(size) == pytest.approx(0.05, abs=0.02)


def test_order_and_labels_do_not_matter():
    sim = ml.simulate.contamination(6, 3, 3, 2)
    first = fitted(sim)
    order = np.random.default_rng(1).permutation(len(sim))
    names = np.array(["f", "e", "d", "c", "b", "a"])
    second = ml.contamination(
        sim["reads"][order], names[sim["taxon"]][order], sim["batch"][order],
        sim["control"][order].astype(int), sim["depth"][order],
    )  # fmt: skip
    back = np.argsort(order[second.rows])
    assert second.rate[back] == pytest.approx(first.rate, rel=1e-3)
    assert second.loglik == pytest.approx(first.loglik, abs=1e-5)
    assert set(second.samples["taxon"]) == set(names)


def test_depth_in_other_units_scales_the_rates():
    sim = ml.simulate.contamination(6, 3, 3, 2)
    first = fitted(sim)
    second = ml.contamination(
        sim["reads"], sim["taxon"], sim["batch"], sim["control"], 1000 * sim["depth"]
    )
    assert 1000 * second.high == pytest.approx(first.high, rel=1e-3)
    assert second.p_value == pytest.approx(first.p_value, rel=1e-2, abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"n_batches": 1}, {"n_taxa": 1}, {"n_taxa": 1, "n_batches": 1}, {"background": 0.0},
        {"n_controls": 1, "n_samples": 1}, {"cv_batches": 0.0}, {"cv_taxa": 0.0},
        {"abundance": 3000.0}, {"background": 200.0},
    ],
)  # fmt: skip
def test_hard_cases_give_finite_answers(options):
    fit = fitted(ml.simulate.contamination(**({"n_taxa": 5, "n_batches": 3} | options)))
    for values in (fit.rate, fit.rate_sd, fit.low, fit.high, fit.p_value, fit.rate_shape):
        assert np.all(np.isfinite(values))
    assert np.all((fit.low <= fit.high) & (fit.low >= 0))


def test_clean_controls_leave_a_little_doubt():
    fit = fitted(ml.simulate.contamination(4, 3, 3, 3, background=0.0))
    assert np.all(fit.rate_shape / fit.rate_rate > 0)
    assert np.all(fit.p_value[fit.counts == 0] == 1)


def test_summary_and_tables():
    fit = fitted(ml.simulate.contamination(4, 3, 3, 2))
    text = str(fit)
    for words in ("4 taxa, 3 batches", "Contamination: mean rate", "p_value"):
        assert words in text
    assert "<table" in fit._repr_html_()
    assert len(fit.samples) == 36
    assert fit.contamination_rates.index.names == ["taxon", "batch"]


GOOD = {
    "counts": [3, 0, 1, 2], "taxon": ["a"] * 4, "batch": [1, 1, 2, 2],
    "control": [True, False, True, False], "depth": [1.0, 2.0, 1.0, 2.0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counts": [3, 0, 1.5, 2]}, "whole numbers from 0 up.*row 2: 1.5"),
        ({"counts": [3, 0, -1, 2]}, "row 2"),
        ({"counts": ["x", 0, 1, 2]}, "must be numbers"),
        ({"counts": [3, 0, np.nan, 2]}, "row 2"),
        ({"depth": [1.0, 0.0, 1.0, 2.0]}, "positive.*row 1"),
        ({"depth": [1.0, np.inf, 1.0, 2.0]}, "positive"),
        ({"control": [True] * 4}, "no sample"),
        ({"control": [False] * 4}, "no negative control"),
        ({"control": ["yes", "no", "yes", "no"]}, "True for negative controls"),
        ({"taxon": ["a", "b", "a", "a"]}, "No control has a row for b"),
        ({"batch": [1, 1, 2]}, "one length"),
        ({"counts": [], "taxon": [], "batch": [], "control": [], "depth": []}, "one length"),
    ],
)
def test_bad_input(changes, words):
    with pytest.raises(DataError, match=words):
        ml.contamination(**(GOOD | changes))


def test_level_must_be_a_share():
    with pytest.raises(MixedlabError, match="between 0 and 1"):
        ml.contamination(**GOOD, level=95)
