"""Rules for means over normal variables."""

import numpy as np
import pytest

from mixedlab.engine.quadrature import gauss_hermite, mean_over_normal, product_rule


def test_rules_integrate_polynomials_and_sum_to_one():
    z, w = gauss_hermite(7)
    assert w.sum() == pytest.approx(1)
    assert w @ z**12 == pytest.approx(10395)
    nodes, weights = product_rule(5, 2)
    assert weights @ (nodes[0] ** 2 * nodes[1] ** 4) == pytest.approx(3)
    with pytest.raises(ValueError, match="at least 1"):
        gauss_hermite(0)
    assert mean_over_normal(np.cos, 0.3, 2.0) == pytest.approx(np.cos(0.3) * np.exp(-2), abs=1e-12)
