"""Every picture draws on the Axes it is given, and names what there is."""

import matplotlib.pyplot as plt
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError


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
