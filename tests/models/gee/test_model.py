import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

import mixedlab as ml
from mixedlab.errors import DataError, DataWarning, FormulaError
from mixedlab.models.gee.model import fit_marginal
from tests import paths

REFERENCE = paths.REFERENCE
CASES = json.loads((REFERENCE / "gee.json").read_text())
ORDER = {"ohio": "age", "epil": "period", "dietox": "Time"}


@pytest.mark.parametrize("case", CASES, ids=[c["id"] for c in CASES])
def test_every_reference_case(case):
    fit = ml.gee(
        case["formula"],
        ml.load(case["data"]),
        groups=case["group"],
        family=case["family"],
        correlation=case["corstr"],
        order=ORDER[case["data"]],
    )
    se = np.array(list(case["robust_se"].values()))
    # The reference program stops at 1e-10, and so do its figures.
    np.testing.assert_allclose((fit.coef - list(case["coef"].values())) / se, 0, atol=1e-8)
    np.testing.assert_allclose(fit.se, se, rtol=1e-8)
    assert fit.scale == pytest.approx(case["scale"], rel=1e-9)
    assert fit.correlation == (case["alpha"] and pytest.approx(case["alpha"], abs=1e-8))
    assert fit.converged


@pytest.mark.parametrize("kind", ["independence", "exchangeable"])
def test_toenail(kind):
    known = json.loads((REFERENCE / "toenail.json").read_text())[f"gee_{kind}"]
    fit = ml.gee("y ~ treatment * time", ml.load("toenail"), "patient", "binomial", kind)
    np.testing.assert_allclose(fit.coef, list(known["coef"].values()), rtol=1e-7)
    np.testing.assert_allclose(fit.se, list(known["robust_se"].values()), rtol=1e-7)


def test_unstructured_and_gaps_in_the_order():
    """Figures of geepack 1.3.9; its QIC has the same penalty, CIC."""
    fit = ml.gee("resp ~ age + smoke", ml.load("ohio"), "id", "binomial", "unstructured", "age")
    np.testing.assert_allclose(
        fit.coef, [-1.888563769709, -0.114897213932, 0.253487906723], rtol=1e-9
    )
    np.testing.assert_allclose(
        fit.se, [0.1139600096174, 0.0442384290325, 0.1781842903085], rtol=1e-9
    )
    assert fit.correlation.to_numpy()[0, 1:] == pytest.approx(
        [0.350437815929, 0.308314431699, 0.302979930229], rel=1e-9
    )
    assert fit.cic == pytest.approx(4.82472059469, rel=1e-9)
    assert fit.quasi_loglik * fit.independence.moments.scale == pytest.approx(-909.97372168828)

    # Some visits of the toenail patients were missed.
    toenail = ml.load("toenail")
    fit = ml.gee("y ~ treatment * time", toenail, "patient", "binomial", "ar1", "visit")
    expected = [-0.58647263928, 0.01673005015, -0.14671700765, -0.08813935997]
    np.testing.assert_allclose(fit.coef, expected, rtol=1e-7)
    assert fit.correlation == pytest.approx(0.6904480337, abs=1e-9)


# --- against the definition, cluster by cluster ---------------------------------------------------


def simulated(family, n_clusters=12, seed=0):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 6, n_clusters)
    group = np.repeat(np.arange(n_clusters), size)
    visit = np.concatenate([np.sort(rng.choice(7, k, replace=False)) for k in size])
    x = rng.normal(size=group.size)
    b = rng.normal(size=n_clusters)[group]
    eta = 0.4 + 0.5 * x + 0.7 * b
    y = {
        "gaussian": lambda: eta + rng.normal(size=eta.size),
        "binomial": lambda: (rng.random(eta.size) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(np.exp(eta)).astype(float),
        "gamma": lambda: rng.gamma(2.0, np.exp(eta) / 2),
    }[family]()
    return pd.DataFrame({"y": y, "x": x, "g": group, "visit": visit})


def dense_covariances(fit, data, R_of, variance, slope):
    """Every covariance by its formula with H_i, V_i and D_i written out."""
    X = np.column_stack([np.ones(len(data)), data["x"]])
    eta = X @ fit.beta
    mu = fit.family.link.mu(eta)
    D, A = X * slope(mu, eta)[:, None], variance(mu)
    rows_of = [np.flatnonzero(data["g"] == g) for g in np.unique(data["g"])]
    inverses = []
    for rows in rows_of:
        root = np.sqrt(A[rows])
        inverses.append(np.linalg.inv(root[:, None] * R_of(data["visit"].to_numpy()[rows]) * root))
    M = sum(D[r].T @ V @ D[r] for r, V in zip(rows_of, inverses, strict=True))
    residual = data["y"].to_numpy() - mu
    score = sum(D[r].T @ V @ residual[r] for r, V in zip(rows_of, inverses, strict=True))
    powers = {"robust": 0.0, "mancl-derouen": -1.0, "kauermann-carroll": -0.5}
    result = {"naive": np.linalg.inv(M) * np.mean(residual**2 / A)}
    for name, power in powers.items():
        meat = 0.0
        for r, V in zip(rows_of, inverses, strict=True):
            rest = np.eye(r.size) - D[r] @ np.linalg.inv(M) @ D[r].T @ V
            if power == -1.0:
                rest = np.linalg.inv(rest)
            elif power == -0.5:
                rest = np.linalg.inv(np.real(sqrtm(rest)))
            else:
                rest = np.eye(r.size)
            u = D[r].T @ V @ rest @ residual[r]
            meat = meat + np.outer(u, u)
        result[name] = np.linalg.inv(M) @ meat @ np.linalg.inv(M)
    return score, result


@pytest.mark.parametrize("correlation", ["independence", "exchangeable", "ar1"])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson", "gamma"])
def test_all_standard_errors_are_those_of_the_papers(family, correlation):
    data = simulated(family, n_clusters=30, seed=1)
    fit = ml.gee("y ~ x", data, "g", family, correlation, "visit", link=None)
    alpha = fit.correlation
    R_of = {
        "independence": lambda v: np.eye(v.size),
        "exchangeable": lambda v: np.where(np.eye(v.size) == 1, 1.0, alpha),
        "ar1": lambda v: alpha ** np.abs(v[:, None] - v[None, :]).astype(float),
    }[correlation]
    variance = {
        "gaussian": np.ones_like,
        "binomial": lambda m: m * (1 - m),
        "poisson": lambda m: m,
        "gamma": lambda m: m**2,
    }[family]

    def slope(mu, eta):
        step = 1e-6
        return (fit.family.link.mu(eta + step) - fit.family.link.mu(eta - step)) / (2 * step)

    score, covariances = dense_covariances(fit, data, R_of, variance, slope)
    np.testing.assert_allclose(score, 0, atol=1e-5)
    for name, covariance in covariances.items():
        np.testing.assert_allclose(
            fit.standard_errors[name], np.sqrt(np.diag(covariance)), rtol=1e-6, err_msg=name
        )


def test_mancl_derouen_is_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    data = ml.load("epil")
    fit = ml.gee(
        "y ~ lage + V4", data, "subject", "poisson", "exchangeable", small_sample="mancl-derouen"
    )
    other = sm.GEE.from_formula(
        "y ~ lage + V4",
        "subject",
        data,
        family=sm.families.Poisson(),
        cov_struct=sm.cov_struct.Independence(),
    ).fit(cov_type="bias_reduced")
    mine = ml.gee("y ~ lage + V4", data, "subject", "poisson", "independence")
    np.testing.assert_allclose(mine.standard_errors["mancl-derouen"], other.bse, rtol=1e-6)
    assert (fit.se > fit.standard_errors["kauermann-carroll"]).all()
    np.testing.assert_array_equal(fit.se, fit.standard_errors["mancl-derouen"])


def test_balanced_gaussian_exchangeable_is_generalised_least_squares():
    """With a within-cluster covariate, balanced, the estimate mixes two regressions exactly."""
    rng = np.random.default_rng(4)
    J, k = 60, 4
    g = np.repeat(np.arange(J), k)
    x = rng.normal(size=J * k)
    y = x + rng.normal(size=J)[g] + rng.normal(size=J * k)
    fit = ml.gee("y ~ x", {"y": y, "x": x, "g": g}, "g")
    a = fit.correlation
    mean = lambda v: np.repeat(v.reshape(J, k).mean(axis=1), k)  # noqa: E731
    shrink = 1 - np.sqrt((1 - a) / (1 + (k - 1) * a))
    turn = lambda v: v - shrink * mean(v)  # noqa: E731
    X = np.column_stack([turn(np.ones(J * k)), turn(x)])
    np.testing.assert_allclose(fit.coef, np.linalg.lstsq(X, turn(y), rcond=None)[0], rtol=1e-9)


def test_negative_binomial_and_beta_binomial_set_their_dispersion_by_moments():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(400), 5)
    x = rng.normal(size=g.size)
    mu = np.exp(1 + 0.3 * x)
    counts = rng.poisson(rng.gamma(2.0, mu / 2.0))
    fit = ml.gee("y ~ x", {"y": counts, "x": x, "g": g}, "g", "negative_binomial")
    assert fit.dispersion == pytest.approx(2.0, rel=0.15)
    assert fit.scale == pytest.approx(1.0, abs=0.01)
    p = rng.beta(2.0, 3.0, g.size)
    won = rng.binomial(10, p)
    data = {"won": won, "lost": 10 - won, "x": x, "g": g}
    fit = ml.gee("cbind(won, lost) ~ x", data, "g", "beta_binomial", "independence")
    assert fit.dispersion == pytest.approx(5.0, rel=0.15)
    assert np.isfinite(fit.qic)


# --- properties -----------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["exchangeable", "ar1"]))
def test_order_of_rows_and_names_of_clusters_do_not_matter(seed, kind):
    data = simulated("gaussian", n_clusters=25, seed=3)
    rng = np.random.default_rng(seed)
    renamed = data.assign(g=rng.permutation(25)[data["g"]]).sample(frac=1, random_state=seed)
    first = ml.gee("y ~ x", data, "g", "gaussian", kind, "visit")
    second = ml.gee("y ~ x", renamed, "g", "gaussian", kind, "visit")
    np.testing.assert_allclose(first.coef, second.coef, rtol=1e-7)
    np.testing.assert_allclose(first.se, second.se, rtol=1e-7)
    np.testing.assert_allclose(second.fitted, first.fitted.loc[renamed.index], rtol=1e-7)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-6, 1e6), shift=st.floats(-1e4, 1e4))
def test_units_of_covariate_and_response_only_rescale(scale, shift):
    data = simulated("gaussian", n_clusters=25, seed=3)
    other = data.assign(x=data["x"] * scale + shift * scale, y=1e6 * data["y"])
    first, second = (ml.gee("y ~ x", d, "g", small_sample="mancl-derouen") for d in (data, other))
    assert second.coef["x"] * scale == pytest.approx(1e6 * first.coef["x"], rel=1e-6)
    assert second.se["x"] * scale == pytest.approx(1e6 * first.se["x"], rel=1e-6)
    assert second.correlation == pytest.approx(first.correlation, abs=1e-7)


def test_robust_errors_are_right_where_the_working_correlation_is_wrong():
    rng = np.random.default_rng(12)
    estimates, naive, robust = [], [], []
    for _ in range(150):
        g = np.repeat(np.arange(60), 5)
        x = rng.normal(size=60)[g]
        y = (rng.random(300) < 1 / (1 + np.exp(-(x + 1.5 * rng.normal(size=60)[g])))).astype(int)
        fit = ml.gee("y ~ x", {"y": y, "x": x, "g": g}, "g", "binomial", "independence")
        estimates.append(fit.coef["x"])
        naive.append(fit.se_naive["x"])
        robust.append(fit.se["x"])
    truth = np.std(estimates, ddof=1)  # known to 6 %
    assert np.mean(robust) / truth == pytest.approx(1.0, abs=0.17)
    assert np.mean(naive) / truth < 0.8


def test_arrays_give_the_same_fit_and_need_no_pandas():
    data = simulated("binomial", n_clusters=40)
    fit = ml.gee("y ~ x", data, "g", "binomial", "ar1", "visit", small_sample="mancl-derouen")
    code = """
import sys, json, numpy as np
from mixedlab.models.gee.model import fit_marginal
y, X, g, visit = (np.array(v) for v in json.load(sys.stdin))
fit = fit_marginal(y, X, g, family="binomial", correlation="ar1", position=visit)
assert "pandas" not in sys.modules
print(json.dumps(fit.beta.tolist()))
"""
    X = np.column_stack([np.ones(len(data)), data["x"]])
    arrays = json.dumps([v.tolist() for v in (data["y"], X, data["g"], data["visit"])])
    done = subprocess.run(
        [sys.executable, "-c", code], input=arrays, capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(json.loads(done.stdout), fit.beta, rtol=1e-12)
    plain = fit_marginal(data["y"], X, data["g"], family="binomial")
    np.testing.assert_allclose(plain.fitted, plain.predict())
    with pytest.raises(DataError, match="made from arrays"):
        plain.predict(data)
    with pytest.raises(DataError, match="one row of X"):
        fit_marginal(data["y"], X[:3], data["g"])
    with pytest.raises(DataError, match="linearly dependent"):
        fit_marginal(data["y"], np.column_stack([X, X[:, 1]]), data["g"])
    with pytest.raises(DataError, match="cluster labels"):
        fit_marginal(data["y"], X, data["g"][:3])


def test_inverse_link_intervals_are_in_order():
    data = simulated("gamma", n_clusters=40)
    fit = ml.gee("y ~ 1", data, "g", "gamma", "exchangeable", link="inverse")
    table = fit.predict(data.head(3), interval="confidence")
    assert (table["lower"] < table["upper"]).all()


def test_offset_and_weights():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(50), 4)
    exposure = rng.uniform(0.5, 20, 200)
    x = rng.normal(size=200)
    y = rng.poisson(exposure * np.exp(0.3 + 0.2 * x))
    data = pd.DataFrame({"y": y, "x": x, "g": g, "t": exposure, "logt": np.log(exposure)})
    by_column = ml.gee("y ~ x", data, "g", "poisson", offset="logt")
    by_formula = ml.gee("y ~ x + offset(np.log(t))", data, "g", "poisson")
    by_array = ml.gee("y ~ x", data, "g", "poisson", offset=np.log(exposure))
    assert by_column.coef["(Intercept)"] == pytest.approx(0.3, abs=0.1)
    np.testing.assert_allclose(by_formula.coef, by_column.coef)
    np.testing.assert_allclose(by_array.coef, by_column.coef)
    np.testing.assert_allclose(by_column.predict(data), by_column.fitted)
    # Successes out of trials, three ways to say it.
    trials = rng.integers(1, 9, 200)
    won = rng.binomial(trials, 0.4)
    table = pd.DataFrame({"won": won, "lost": trials - won, "x": x, "g": g})
    table = table.assign(share=won / trials, trials=trials)
    bound = ml.gee("cbind(won, lost) ~ x", table, "g", "binomial", "independence")
    share = ml.gee("share ~ x", table, "g", "binomial", "independence", weights="trials")
    long = table.loc[table.index.repeat(trials)].reset_index(drop=True)
    long["y"] = np.concatenate([[1] * a + [0] * (b - a) for a, b in zip(won, trials, strict=True)])
    one_by_one = ml.gee("y ~ x", long, "g", "binomial", "independence")
    for other in (share, one_by_one):
        np.testing.assert_allclose(other.coef, bound.coef, rtol=1e-8)
        np.testing.assert_allclose(other.se, bound.se, rtol=1e-8)


def test_missing_values_are_left_out_and_counted():
    data = ml.load("ohio").astype({"id": float, "age": float})
    data.loc[[0, 5], "id"] = np.nan
    data.loc[9, "age"] = np.nan
    with pytest.warns(DataWarning, match="rows left out"):
        fit = ml.gee("resp ~ smoke", data, "id", "binomial", "ar1", "age")
    assert fit.n_missing == 3
    direct = ml.gee("resp ~ smoke", data.dropna(), "id", "binomial", "ar1", "age")
    np.testing.assert_allclose(fit.coef, direct.coef)
    with pytest.warns(DataWarning, match="rows left out"):
        weighted = ml.gee("resp ~ smoke", data, "id", "binomial", weights=np.ones(len(data)))
    assert weighted.n_missing == 2
    weights = pd.Series(np.arange(1.0, len(data) + 1), index=data.index)
    for by_label in (weights, weights[::-1]):
        with pytest.warns(DataWarning, match="rows left out"):
            fit = ml.gee("resp ~ smoke", data, "id", "poisson", weights=by_label)
        np.testing.assert_array_equal(fit.equations.weights, weights.drop([0, 5]))


def test_a_correlation_beyond_its_range_is_moved_back_and_said():
    # Deviations from the cluster's mean: the correlation is -1/(k - 1), its very limit.
    rng = np.random.default_rng(2)
    e = rng.normal(size=(30, 3))
    y = (e - e.mean(axis=1, keepdims=True)).ravel()
    data = {"y": y, "x": rng.normal(size=90), "g": np.repeat(np.arange(30), 3)}
    with pytest.warns(DataWarning, match="exchangeable correlation is outside the range"):
        fit = ml.gee("y ~ x", data, "g")
    assert np.isfinite(fit.se).all()
    assert fit.correlation == pytest.approx(-0.5, abs=1e-4)


def test_separation_is_said_and_not_returned_as_an_estimate():
    x = np.repeat([0, 1], 40)
    y = np.where(x == 1, 1, np.tile([0, 1], 40))
    data = {"y": y, "x": x, "g": np.repeat(np.arange(20), 4)}
    with pytest.warns(DataWarning, match="check_separation"):
        fit = ml.gee("y ~ x", data, "g", "binomial", "independence")
    assert not fit.converged


@pytest.mark.parametrize("correlation", ["independence", "exchangeable", "ar1"])
def test_an_arm_without_events_is_never_called_solved(correlation):
    rng = np.random.default_rng(7)
    n_separated = 0
    for _ in range(80):
        g = np.repeat(np.arange(10), 6)
        x = (g % 2).astype(float)
        y = (rng.random(60) < 0.08).astype(float)
        if not y.any():
            continue
        separated = not (y[x == 0].any() and y[x == 1].any())
        n_separated += separated
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = fit_marginal(
                y,
                np.column_stack([np.ones(60), x]),
                g,
                family="binomial",
                correlation=correlation,
                position=np.arange(60),
            )
        assert not (separated and fit.converged)
        assert not fit.converged or abs(fit.beta[1]) < 5
    assert n_separated > 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"correlation": "ar1"}, DataError, "order='visit'"),
        ({"correlation": "unstructured"}, DataError, "depends on the order"),
        ({"correlation": "exchangable"}, DataError, "Did you mean 'exchangeable'"),
        ({"groups": "subjct"}, FormulaError, "subjct"),
        ({"correlation": "ar1", "order": "text"}, DataError, "must hold numbers"),
        ({"correlation": "ar1", "order": "same"}, DataError, "two rows at the same place"),
        ({"correlation": "unstructured", "order": "same"}, DataError, "two rows at the same place"),
        ({"correlation": "unstructured", "order": "row"}, DataError, "correlations for"),
        ({"formula": "y ~ lage + (1 | subject)"}, FormulaError, "no random effects"),
        ({"groups": "same"}, DataError, "one cluster"),
        ({"groups": [1, 2]}, DataError, "name of a column"),
        ({"groups": "row"}, DataError, "one row"),
        ({"groups": "row", "correlation": "ar1", "order": "period"}, DataError, "one row"),
        ({"small_sample": "fay-graubard"}, DataError, "mancl-derouen"),
        ({"family": "weibull"}, ValueError, "binomial"),
        ({"link": "cauchit"}, ValueError, "logit"),
        ({"formula": "minus ~ lage"}, ValueError, "minus"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    data = ml.load("epil")
    data = data.assign(same=1, text="a", row=np.arange(len(data)), minus=-1 - data["y"])
    options = {"formula": "y ~ lage", "groups": "subject", "family": "poisson"} | arguments
    with pytest.raises(error, match=message):
        ml.gee(data=data, **options)


def test_labels_of_clusters_may_be_tuples():
    data = simulated("gaussian")
    pairs = data.assign(g=[("ward", int(g)) for g in data["g"]])
    fit, other = ml.gee("y ~ x", data, "g"), ml.gee("y ~ x", pairs, "g")
    np.testing.assert_array_equal(fit.coef, other.coef)
    assert other.labels[0] == ("ward", 0)


def test_equations_without_a_solution_are_not_called_solved():
    # Twelve clusters, counts far more variable than Poisson: alpha runs to 1 and takes beta along.
    data = simulated("poisson", n_clusters=12, seed=0)
    with pytest.warns(DataWarning, match="did not settle"):
        fit = ml.gee("y ~ x", data, "g", "poisson", "ar1", "visit")
    assert not fit.converged
    assert "did not settle" in str(fit)


def test_a_linear_predictor_of_zero_settles():
    data = {"y": [0, 1, 1, 0, 0, 1, 1, 0], "g": [1, 1, 2, 2, 3, 3, 4, 4]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = ml.gee("y ~ 1", data, "g", "binomial", "independence")
    assert fit.coef["(Intercept)"] == pytest.approx(0, abs=1e-12)


def test_places_never_seen_together_are_named():
    data = {"y": [1.0, 2, 3, 4, 2, 1], "g": [1, 1, 2, 2, 3, 3], "t": [0, 1, 1, 2, 0, 1]}
    with pytest.raises(DataError, match="No cluster has rows at both 0 and 2"):
        ml.gee("y ~ 1", data, "g", "gaussian", "unstructured", "t")


def test_no_warning_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in CASES:
            data = ml.load(case["data"])
            order = ORDER[case["data"]]
            ml.gee(
                case["formula"], data, case["group"], case["family"], case["corstr"], order
            ).summary()
