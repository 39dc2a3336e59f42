import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.denominators import reference


@pytest.fixture(scope="module")
def fit():
    return ml.lmm("score ~ Machine + (1 | Worker)", ml.load("machines"))


@pytest.mark.parametrize("method", ["wald", "satterthwaite", "kenward-roger"])
def test_f_does_not_depend_on_how_the_contrasts_are_written(fit, method):
    used, L = reference(fit, method), np.eye(3)[1:]
    mixed = np.array([[2.0, 1.0], [-1.0, 3.0]]) @ L
    np.testing.assert_allclose(used.F(fit.beta, mixed), used.F(fit.beta, L), rtol=1e-8)


def test_known_variances_have_no_end_of_degrees_of_freedom(fit):
    used = reference(fit, "wald")
    assert np.isinf(used.df).all()
    np.testing.assert_allclose(used.se, fit.se)


def test_an_unknown_method_is_refused(fit):
    with pytest.raises(MixedlabError, match="'wald', 'satterthwaite' or 'kenward-roger'"):
        reference(fit, "exact")
