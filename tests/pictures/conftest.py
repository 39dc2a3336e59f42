"""Pictures without a screen, closed after each test, and the two fits most are drawn of."""

import matplotlib
import pytest

import mixedlab as ml

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))


@pytest.fixture(scope="session")
def radon():
    return ml.lmm("log_radon ~ floor + (1 | county)", ml.load("radon"))


def dots(ax, marker="o"):
    (line,) = [ln for ln in ax.lines if ln.get_marker() == marker and ln.get_linestyle() == "None"]
    return line.get_xydata()
