"""A fit in words: its numbers are those of the tables, and each kind of fit has its sentences."""

import re

import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.ratios import has_ratios
from tests import models_cache


def digits(value):
    return f"{value:.4g}"


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_every_estimate_and_interval_is_the_table_s(name):
    fit = models_cache.fit(name)
    said, table = fit.report(), fit.tidy(exponentiate=has_ratios(fit))
    for row in table.itertuples():
        ends = "" if row.lower != row.lower else f" ({digits(row.lower)} to {digits(row.upper)})"
        if row.effect == "random":
            label = row.term.split(" ", 1)[1].replace(", ", " and ")
            kind = {"sd": "standard deviation", "cor": "correlation"}[row.term.split(" ")[0]]
            label = f"{kind} of {label}"
        else:
            label = row.term
        assert f"{label} {digits(row.estimate)}{ends}" in said
        if row.effect == "fixed":
            assert f"= {digits(row.statistic)}, p " in said


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_no_other_number_is_said(name):
    """Each number of the paragraph stands in a table, is a count, or is part of a name."""
    fit = models_cache.fit(name)
    table = fit.tidy(exponentiate=has_ratios(fit))
    known = {digits(v) for v in table.select_dtypes("number").to_numpy().ravel()}
    known |= {str(fit.n_obs), "95", "0.001", *map(str, fit.n_groups.values())}
    known |= {f"{p:.3f}" for p in table["p"]}
    for question in (type(fit).icc, type(fit).r2, ml.overdispersion):
        try:
            answer = question(fit)
        except (MixedlabError, AttributeError):  # estimating equations
            continue
        known |= {digits(round(v, 12)) for v in answer if isinstance(v, float)}
        known |= {f"{v:.3f}" for v in answer if isinstance(v, float)}
    said = (
        fit.report().replace(fit.formula or "\0", "").replace(fit.title()[1:].replace("_", " "), "")
    )
    for label in sorted(fit.names, key=len, reverse=True):
        said = said.replace(f"{label} ", " ")
    numbers = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)", said)
    assert [n for n in numbers if n not in known] == []


def test_a_linear_model_in_words():
    said = models_cache.fit("slopes").report()
    assert said.startswith(
        "We fitted a linear mixed model by REML to 180 rows in 18 levels of Subject, with the "
        "formula Reaction ~ Days + (Days | Subject). Tests are t with Satterthwaite's degrees of "
        "freedom; in brackets stand 95 % confidence intervals."
    )
    assert "Days 10.47 (7.206 to 13.73), t(17) = 6.771, p < 0.001" in said
    assert "The intraclass correlation is 0.7217." in said
    assert said.endswith("The search for the estimates converged.")


def test_ratios_are_named_and_spread_is_checked():
    said = models_cache.fit("binomial").report()
    assert "Coefficients (odds ratio): (Intercept) 0.247" in said
    assert "Pearson's dispersion ratio is" in said
    assert "Pearson" not in models_cache.fit("quadrature").report()  # 0/1 responses have none


def test_what_is_wrong_is_said_and_what_is_not_answered_is_left_out():
    assert "estimated variance of zero" in models_cache.fit("singular").report()
    said = models_cache.fit("gee").report()
    assert "marginal model" in said
    assert "exchangeable working correlation, robust standard errors" in said
    assert "intraclass" not in said


def test_another_level_and_reference():
    said = models_cache.fit("slopes").report(level=0.8, df="kenward-roger")
    assert "Kenward and Roger's degrees of freedom" in said
    assert "80 % confidence intervals" in said


def test_a_diagnosis_is_told_with_what_was_checked():
    fit = models_cache.fit("singular")
    checks = ml.diagnose(fit)
    said = fit.report(checks=checks)
    assert said.startswith(fit.report())
    assert all(name in said for name in checks.checked)
    assert "and found singular (" in said
    fine = models_cache.fit("slopes")
    if not ml.diagnose(fine):
        assert fine.report(checks=ml.diagnose(fine)).endswith("and found nothing.")
