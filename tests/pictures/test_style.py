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


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda fit: ml.pictures.caterpillar(None), "A picture is for fits"),
        (lambda fit: ml.pictures.residuals(None), "A picture is for fits"),
        (lambda fit: ml.pictures.residual_panels(3), "A picture is for fits"),
        (lambda fit: ml.pictures.variance_bar(None), "for fits by"),
        (lambda fit: ml.pictures.pooling(fit), r"what ml\.pooling returns, not LinearFit"),
        (lambda fit: ml.pictures.caterpillar(fit, level=95), "between 0 and 1"),
        (lambda fit: ml.pictures.profile_zeta(fit, "Days", level=95), "between 0 and 1"),
        (
            lambda fit: ml.pictures.effect(fit, ml.load("sleepstudy"), "Subject"),
            "not in the fixed part",
        ),
        (
            lambda fit: ml.pictures.effect(fit, ml.load("sleepstudy"), "Days", kind="none"),
            "'population' or",
        ),
        (
            lambda fit: ml.pictures.spaghetti(fit, ml.load("sleepstudy"), "Days", at_most=0),
            "1 or more, not 0",
        ),
        (lambda fit: ml.pictures.qq([]), "There is no p-value"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_words(draw, says, sleep):
    with pytest.raises(MixedlabError, match=says):
        draw(sleep)
