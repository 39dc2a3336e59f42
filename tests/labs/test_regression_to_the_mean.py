import numpy as np
import pytest

from mixedlab.labs.regression_to_the_mean import LAB, State
from tests.labs.fuzz import check_lab


def test_stands_every_state():
    check_lab(LAB)


def test_a_perfect_test_has_no_regression_to_the_mean():
    points, best = LAB.simulate(State(reliability=1.0))
    np.testing.assert_allclose(points[0], points[1])
    correlation, predicted = LAB.fit((points, best))
    assert correlation == pytest.approx(1)
    assert predicted == pytest.approx(points[0, best].mean())


@pytest.mark.parametrize("reliability", [0.2, 0.5, 0.8])
def test_the_best_keep_the_reliable_share_of_their_lead(reliability):
    state = State(reliability=reliability, students=200, top=10)
    values = LAB.replicate(state, 0, 400)
    lead_1, lead_2 = (np.mean(values[name]) - 100 for name in ("first", "second"))
    # 400 samples of 20 students: the ratio's Monte Carlo error is below 0.01.
    assert lead_2 / lead_1 == pytest.approx(reliability, abs=0.03)


def test_the_line_through_their_means_falls():
    """The surprise is seen: orange dots leave the top, and their line goes down with them."""
    (panel,) = LAB.run(State()).panels
    marks = {mark.key: mark for mark in panel.marks}
    ends = marks["fall"].y[0]
    mean_of_all = marks["everyone"].y[0][0]
    assert mean_of_all < ends[1] < ends[0] - 5
    assert marks["own1"].keys == marks["own0"].keys
    assert min(marks["own0"].y) > max(marks["data0"].y)
    assert min(marks["own1"].y) < max(marks["data1"].y)


def test_a_perfect_test_leaves_the_line_level():
    (panel,) = LAB.run(State(reliability=1.0)).panels
    ends = next(mark for mark in panel.marks if mark.key == "fall").y[0]
    assert ends[0] == pytest.approx(ends[1])
