import mixedlab as ml
from tests import models_cache


def test_how_a_model_was_fitted_stands_first():
    printed = str(models_cache.fit("slopes ML").summary())
    assert printed.startswith("Linear mixed model by maximum likelihood\nFormula: Reaction ~ Days")
    assert "Rows: 180; groups: Subject 18, Subject 18" not in printed
    assert "-2 log-likelihood: " in printed


def test_what_is_wrong_stands_in_the_summary():
    assert "Singular: some combination" in str(models_cache.fit("singular").summary())
    assert "Singular" not in str(models_cache.fit("intercept").summary())


def test_the_random_part_is_varcorr():
    fit = models_cache.fit("nested")
    shown = fit.summary().tables["Random effects"]
    assert list(shown["variance"]) == list(fit.varcorr["vcov"])
    assert list(shown.index) == ["batch:cask", "batch", "Residual"]


def test_an_ar1_residual_is_noted():
    assert "Residual structure: phi" in str(models_cache.fit("ar1").summary())
    assert "Residual structure" not in str(
        ml.lmm("distance ~ age + (1 | Subject)", ml.load("orthodont")).summary()
    )
