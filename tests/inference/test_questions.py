"""Methods of a fit are the functions that ask it."""

import inspect

import numpy as np
import pandas as pd
import pytest

from mixedlab.inference import explained, intervals, prediction, tests_of_coefs
from mixedlab.inference.questions import Coefficients, Questions
from tests import models_cache


@pytest.mark.parametrize(
    ("method", "function"),
    [
        (Questions.predict, prediction.predict),
        (Questions.simulate, prediction.simulate),
        (Questions.confint, intervals.confint),
        (Questions.tests, tests_of_coefs.tests),
        (Questions.icc, explained.icc),
        (Questions.r2, explained.r2),
        (Questions.caic, explained.caic),
    ],
)
def test_a_method_is_its_function(method, function):
    assert method is function
    assert next(iter(inspect.signature(function).parameters)) == "fit"


def test_tables_of_coefficients():
    class Found(Coefficients):
        names, beta, vcov_beta = ("a", "b"), np.array([1.0, -2.0]), np.diag([4.0, 9.0])

        def summary(self):
            raise NotImplementedError

    found = Found()
    pd.testing.assert_series_equal(found.coef, pd.Series({"a": 1.0, "b": -2.0}, name="estimate"))
    assert found.se.to_dict() == {"a": 2.0, "b": 3.0}
    assert found.vcov.loc["b", "b"] == 9.0


def test_methods_lead_to_the_functions():
    fit = models_cache.fit("slopes")
    pd.testing.assert_frame_equal(fit.tests("wald"), tests_of_coefs.tests(fit, "wald"))
    pd.testing.assert_frame_equal(fit.confint(level=0.5), intervals.confint(fit, 0.5))
    assert fit.icc() == explained.icc(fit)
