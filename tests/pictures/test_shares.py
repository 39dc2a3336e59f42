"""The bar of variances adds up."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.inference.explained import variance_parts


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
