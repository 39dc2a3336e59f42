"""What each picture shows is what the fit says; each draws on the Axes it is given."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import variance_parts
from mixedlab.inference.profiles import profile
from mixedlab.pictures.effects import own_estimates

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))


@pytest.fixture(scope="module")
def radon():
    return ml.lmm("log_radon ~ floor + (1 | county)", ml.load("radon"))


def dots(ax, marker="o"):
    (line,) = [ln for ln in ax.lines if ln.get_marker() == marker and ln.get_linestyle() == "None"]
    return line.get_xydata()


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
        inside = matplotlib.path.Path(line.get_xydata()).contains_points(draws)
        assert inside.mean() == pytest.approx(share, abs=0.015)
    np.testing.assert_allclose(dots(ax), sleep.b[0])
    assert "correlation 0.07" in ax.get_title()


def test_spaghetti(sleep):
    table = ml.load("sleepstudy")
    ax = ml.pictures.spaghetti(sleep, table, "Days")
    population = ax.lines[-1].get_xydata()
    np.testing.assert_allclose(population[:, 1], sleep.beta[0] + sleep.beta[1] * population[:, 0])
    assert len(ax.lines) == 3 * 18 + 1
    raw = ax.lines[0].get_xydata()
    np.testing.assert_allclose(raw, table[table.Subject == "308"][["Days", "Reaction"]])
    curve = ax.lines[2].get_xydata()
    b = sleep.beta + sleep.b[0][0]
    np.testing.assert_allclose(curve[:, 1], b[0] + b[1] * curve[:, 0])
    assert ax.get_ylabel() == "Reaction"


def test_spaghetti_with_other_columns_missing_rows_and_many_groups():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "g": np.repeat(np.arange(80), 5),
            "site": np.repeat(np.arange(8), 50),
            "x": np.tile(np.arange(5.0), 80),
            "arm": np.repeat(["a", "b"], 200),
        },
        index=np.arange(400)[::-1],
    )
    table["y"] = table.x + rng.normal(size=80)[table.g] + rng.normal(size=400)
    table.iloc[7, table.columns.get_loc("y")] = np.nan
    with pytest.warns(UserWarning, match="left out"):
        fit = ml.lmm("y ~ x * arm + (1 | g) + (1 | site)", table)
    ax = ml.pictures.spaghetti(fit, table, "x", "g", at_most=10)
    assert "10 of 80 levels of g" in ax.get_title()
    assert len(ax.lines) == 3 * 10 + 1


def test_profile_zeta(sleep):
    name = "sd (Intercept) | Subject"
    made = profile(sleep, [name, "Days"])
    ax = ml.pictures.profile_zeta(made, name)
    ends = np.array([ln.get_xydata()[0] for ln in ax.lines if ln.get_marker() == "D"])
    np.testing.assert_allclose(ends[:, 0], made.confint().loc[name])
    np.testing.assert_allclose(np.abs(ends[:, 1]), 1.959964, rtol=1e-6)
    assert ax.get_xlabel() == name
    again = ml.pictures.profile_zeta(sleep, "Days")
    assert again.get_xlabel() == "Days"
    with pytest.raises(MixedlabError, match="no profile of 'sigma'"):
        ml.pictures.profile_zeta(made, "sigma")


def test_residual_panels(sleep):
    trend, normal, spread = ml.pictures.residual_panels(sleep)
    from mixedlab.inference.explained import standardised_residuals

    residual = standardised_residuals(sleep)
    np.testing.assert_allclose(trend.collections[0].get_offsets()[:, 1], residual)
    np.testing.assert_allclose(normal.collections[0].get_offsets()[:, 1], np.sort(residual))
    np.testing.assert_allclose(spread.collections[0].get_offsets()[:, 1], np.sqrt(np.abs(residual)))
    glmm = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    assert "Pearson" in ml.pictures.residual_panels(glmm)[0].get_ylabel()
    with pytest.raises(MixedlabError, match="three Axes"):
        ml.pictures.residual_panels(sleep, ax=[trend])


def test_variance_bar_adds_up():
    fit = ml.lmm("strength ~ 1 + (1 | batch/cask)", ml.load("pastes"))
    ax = ml.pictures.variance_bar(fit)
    widths = [bar.get_width() for bar in ax.patches]
    parts = variance_parts(fit)
    np.testing.assert_allclose(widths, np.array(list(parts.values())) / sum(parts.values()))
    assert sum(widths) == pytest.approx(1)
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert any(t.startswith("batch:cask") for t in texts)
    assert len({bar.get_hatch() for bar in ax.patches}) == len(widths)


@pytest.mark.parametrize(
    "draw",
    [
        ml.pictures.caterpillar,
        ml.pictures.shrinkage,
        ml.pictures.ellipse,
        ml.pictures.variance_bar,
        lambda fit, ax: ml.pictures.profile_zeta(fit, "sigma", ax=ax),
        lambda fit, ax: ml.pictures.spaghetti(fit, ml.load("sleepstudy"), "Days", ax=ax),
    ],
)
def test_draws_on_the_axes_given(sleep, draw):
    _, ax = plt.subplots()
    assert draw(sleep, ax=ax) is ax
    assert len(plt.get_fignums()) == 1
    ax.figure.canvas.draw()


def test_errors_name_what_there_is(sleep, radon):
    with pytest.raises(MixedlabError, match="Did you mean 'Subject'"):
        ml.pictures.caterpillar(sleep, group="subject")
    with pytest.raises(MixedlabError, match="Did you mean 'Days'"):
        ml.pictures.caterpillar(sleep, coef="Day")
    with pytest.raises(MixedlabError, match="with 2 coefficients"):
        ml.pictures.ellipse(radon)
    with pytest.raises(MixedlabError, match="no column 'days'"):
        ml.pictures.spaghetti(sleep, ml.load("sleepstudy"), "days")
    with pytest.raises(AttributeError, match="violin"):
        _ = ml.pictures.violin
