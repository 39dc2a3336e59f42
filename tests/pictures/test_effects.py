"""Pictures of the random effects show what the fit says."""

import numpy as np
import pytest
from matplotlib.path import Path

import mixedlab as ml
from mixedlab.pictures.effects import own_estimates
from tests.pictures.conftest import dots


def test_caterpillar(sleep):
    ax = ml.pictures.caterpillar(sleep, coef="Days")
    points = dots(ax)
    np.testing.assert_allclose(points[:, 0], np.sort(sleep.b[0][:, 1]))
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == list(sleep.ranef["Subject"]["Days"].sort_values().index)
    segments = np.array(ax.collections[0].get_segments())
    half = np.diff(segments[:, :, 0], axis=1)[:, 0] / 2
    expected = 1.959964 * sleep.ranef_sd["Subject"]["Days"].reindex(labels)
    np.testing.assert_allclose(half, expected, rtol=1e-6)
    assert "Days" in ax.get_xlabel()


def test_caterpillar_of_many_levels_names_none(radon):
    ax = ml.pictures.caterpillar(radon)
    assert not ax.get_yticks().size
    assert "85 levels of county" in ax.get_ylabel()


def test_shrinkage_arrows_start_at_each_group_s_own_line(sleep):
    ax = ml.pictures.shrinkage(sleep)
    table = ml.load("sleepstudy")
    own = np.array(
        [
            np.polyfit(d.Days, d.Reaction, 1)[::-1]
            for _, d in table.groupby("Subject", observed=True)
        ]
    )
    start, stop = (ln.get_xydata() for ln in ax.lines[-2:])
    np.testing.assert_allclose(start, own)
    np.testing.assert_allclose(stop, sleep.beta + sleep.b[0])
    (arrows,) = ax.collections
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), stop - start)


def test_shrinkage_of_intercepts_and_groups_too_small(radon):
    ax = ml.pictures.shrinkage(radon)
    own, counts = own_estimates(radon, 0)
    assert dots_of_last(ax).shape == (85, 2)
    moved = np.abs(radon.beta[0] + radon.b[0][:, 0] - own[:, 0])
    weight = 1 - moved / np.abs(own[:, 0] - radon.beta[0])
    lam = radon.sigma**2 / radon.covariances[0][0, 0]
    np.testing.assert_allclose(weight, counts / (counts + lam), rtol=1e-6)
    few = ml.load("sleepstudy").iloc[:-9]
    ax = ml.pictures.shrinkage(ml.lmm("Reaction ~ Days + (Days | Subject)", few))
    assert "1 of 18 groups are too small" in ax.get_title()


def dots_of_last(ax):
    return ax.lines[-1].get_xydata()


def test_ellipse_holds_its_share_of_the_distribution(sleep):
    ax = ml.pictures.ellipse(sleep, levels=(0.5, 0.9))
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal([0, 0], sleep.covariances[0], 20_000)
    for line, share in zip(ax.lines[:2], (0.5, 0.9), strict=True):
        inside = Path(line.get_xydata()).contains_points(draws)
        assert inside.mean() == pytest.approx(share, abs=0.015)
    np.testing.assert_allclose(dots(ax), sleep.b[0])
    assert "correlation 0.07" in ax.get_title()


def test_shrinkage_of_a_generalised_fit_starts_at_each_group_s_own_fit():
    table = ml.load("cbpp")
    table.loc[table["herd"] == table["herd"][0], "incidence"] = 0
    fit = ml.glmm("incidence / size ~ 1 + (1 | herd)", table, weights="size")
    own, _ = own_estimates(fit, 0)
    won = table.groupby("herd", observed=True)[["incidence", "size"]].sum()
    share = won["incidence"] / won["size"]
    known = share > 0
    share = share[known]
    np.testing.assert_allclose(own[known, 0], np.log(share / (1 - share)), rtol=1e-6)
    assert np.isnan(own[~known.to_numpy()]).all()
    ax = ml.pictures.shrinkage(fit)
    assert "logit scale" in ax.get_ylabel()
    named = [label.get_text() for label in ax.get_xticklabels()]
    assert len(named) == known.sum()
    assert "groups are too small, or their outcomes too alike" in ax.get_title()


def test_shrinkage_in_a_plane_names_the_groups(sleep):
    ax = ml.pictures.shrinkage(sleep)
    assert {text.get_text() for text in ax.texts} == set(sleep.terms[0].levels)
