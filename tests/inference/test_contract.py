"""The contract: every kind of fit has its members, and inference knows no model."""

import ast
import inspect
from typing import Protocol

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference import contract
from mixedlab.inference.contract import Fit, LinearModel, MixedModel, Rows, answers, refuse
from tests import paths

PACKAGE = paths.ROOT / "mixedlab"
ASKERS = [
    *sorted((PACKAGE / "inference").glob("*.py")),
    PACKAGE / "comparison.py",
    *(p for p in sorted((PACKAGE / "diagnosis").glob("*.py")) if p.name != "other_fits.py"),
]


def members(protocol: type) -> set[str]:
    """Names that a protocol and the ones it extends ask for."""
    found: set[str] = set()
    for kind in protocol.__mro__:
        if kind not in (object, Protocol):
            found |= set(vars(kind).get("__annotations__", {}))
            found |= {name for name, value in vars(kind).items() if inspect.isfunction(value)}
            found |= {name for name, value in vars(kind).items() if isinstance(value, property)}
    return {name for name in found if not name.startswith("_")}


FITS = {
    "linear": (LinearModel, lambda: ml.lmm("Reaction ~ Days + (Days | Subject)",
                                           ml.load("sleepstudy"))),
    "residual structure": (LinearModel, lambda: ml.lmm(
        "Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"), residual="ar1(Days)")),
    "generalised": (MixedModel, lambda: ml.glmm(
        "incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")),
    "hierarchical": (MixedModel, lambda: ml.hglm(
        "y ~ lbase + (1 | subject)", ml.load("epil"), family="poisson", random_family="gamma")),
    "estimating equations": (Fit, lambda: ml.gee(
        "resp ~ age * smoke", ml.load("ohio"), "id", "binomial")),
}  # fmt: skip


@pytest.fixture(scope="module", params=FITS)
def asked(request):
    protocol, make = FITS[request.param]
    return protocol, make()


def test_a_fit_has_every_member_of_its_contract(asked):
    protocol, fit = asked
    assert members(Fit) < members(MixedModel) < members(LinearModel)
    missing = {name for name in members(protocol) if not hasattr(fit, name)}
    if "marginal coefficients" in fit.unanswered:
        missing -= {"marginal_predictor"}
    if "profile interval" in fit.unanswered:
        missing -= {"hold"}
    if "likelihood ratio of a term" in fit.unanswered:
        missing -= {"with_columns"}
    assert not missing


def test_what_is_not_answered_is_a_known_question_refused_in_words(asked):
    _, fit = asked
    known = set(contract.Question.__args__)
    assert set(fit.unanswered) <= known
    for question in known:
        if answers(fit, question):
            refuse(fit, question)
        else:
            with pytest.raises(DataError, match=r"\w{3,}.*\."):
                refuse(fit, question)


def test_parameters_stand_in_one_order_with_their_covariance(asked):
    _, fit = asked
    parameters, covariance = fit.named_parameters, fit.parameter_covariance()
    assert covariance.shape == (len(parameters),) * 2
    assert len({p.name for p in parameters}) == len(parameters)
    coefficients = [p for p in parameters if p.kind == "beta"]
    assert list(parameters[-len(coefficients) :]) == coefficients
    np.testing.assert_array_equal([p.estimate for p in coefficients], fit.beta)
    block = covariance[-len(coefficients) :, -len(coefficients) :]
    np.testing.assert_allclose(block, fit.vcov_beta, rtol=1e-6)
    for p in parameters:
        if np.isfinite(p.free):
            assert p.back(p.free) == pytest.approx(p.estimate)
            assert p.bounds[0] <= p.estimate <= p.bounds[1]


def test_moments_of_the_rows_fitted_are_the_fit_s_own(asked):
    protocol, fit = asked
    rows = fit.rows()
    assert isinstance(rows, Rows)
    assert rows.n == fit.n_obs
    if protocol is Fit:  # no random effects
        at = fit.mean_and_variance(rows, "marginal")
        np.testing.assert_allclose(fit.response_family.link.mu(at.eta), fit.fitted_values)
        assert (at.variance > 0).all()
        return
    at = fit.mean_and_variance(rows, "conditional", variance=False)
    np.testing.assert_allclose(at.eta, fit.linear_predictor)
    assert at.variance is None
    population = fit.mean_and_variance(rows, "population")
    np.testing.assert_allclose(population.eta, fit.X @ fit.beta)
    assert (population.variance > 0).all()
    assert (population.between > 0).all()


def test_what_is_no_fit_is_refused_in_words():
    with pytest.raises(MixedlabError, match=r"comparison is for fits by ml.lmm.*not DataFrame"):
        ml.compare(ml.load("cbpp"), ml.load("cbpp"))


@pytest.mark.parametrize("path", ASKERS, ids=lambda p: p.name)
def test_no_question_imports_a_model(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        for name in names:
            assert not name.startswith(("mixedlab.models", "mixedlab.structures")), name


@pytest.mark.parametrize("path", ASKERS, ids=lambda p: p.name)
def test_no_question_asks_for_a_class(path):
    """``hasattr`` and ``isinstance`` on a fit would be a second, hidden contract."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    for call in calls:
        if call.func.id in ("isinstance", "hasattr", "getattr", "type"):
            of = call.args[0]
            subject = of.id if isinstance(of, ast.Name) else ast.unparse(of)
            refusal = call.func.id == "type"  # the name of what was given, in a message
            assert refusal or subject not in ("fit", "self", "small", "large"), ast.unparse(call)
