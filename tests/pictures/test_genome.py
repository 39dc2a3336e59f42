import matplotlib as mpl

from tests import paths

mpl.use("Agg")
import numpy as np
import pytest
from matplotlib import pyplot as plt

import mixedlab as ml
from mixedlab.pictures.genome import manhattan, qq

DATA = paths.REFERENCE / "data" / "mouse_gwas.npz"


@pytest.fixture(scope="module")
def mice():
    with np.load(DATA) as table:
        return {name: table[name] for name in table.files}


@pytest.fixture(scope="module")
def scan(mice):
    return ml.gwas(mice["phenotype"], mice["genotype"], ml.kinship(mice["genotype"]), ratio="null")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_qq_draws_every_snp_against_uniform_ranks(scan):
    ax = qq(scan)
    diagonal, points = ax.get_lines()
    x, y = points.get_data()
    assert x.size == scan.snp.size
    np.testing.assert_allclose(np.sort(y), np.sort(-scan.log10p_wald))
    assert x.max() == pytest.approx(np.log10(scan.snp.size + 1))
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    assert ax.get_title(loc="left") == f"$\\lambda_{{GC}}$ = {scan.lambda_gc:.2f}"
    assert diagonal.get_xdata()[1] == pytest.approx(x.max())


def test_band_of_the_null_holds_uniform_p_values():
    p = np.random.default_rng(0).uniform(size=500)
    ax = qq(p, level=0.9999)
    vertices = ax.collections[0].get_paths()[0].vertices
    x, y = ax.get_lines()[1].get_data()
    upper = [vertices[np.isclose(vertices[:, 0], v, atol=0.01), 1].max() for v in x[-5:]]
    assert (y[-5:] <= upper).all()
    assert ax.get_title(loc="left") == ""


def test_manhattan_orders_chromosomes_and_marks_the_threshold(mice, scan):
    ax = manhattan(scan, mice["chromosome"])
    assert [t.get_text() for t in ax.get_xticklabels()] == [str(k) for k in range(1, 20)]
    lines = ax.get_lines()
    assert sum(line.get_xdata().size for line in lines[:-1]) == scan.snp.size
    assert lines[-1].get_ydata()[0] == pytest.approx(-np.log10(0.05 / scan.snp.size))
    # The strongest SNP is on chromosome 17.
    peak = max(range(19), key=lambda k: lines[k].get_ydata().max())
    assert peak == 16
    assert {line.get_marker() for line in lines[:-1]} == {"o", "s"}


def test_pictures_go_into_given_axes_and_take_plain_p_values():
    fig, (left, right) = plt.subplots(1, 2)
    p = np.linspace(0.01, 1, 50)
    assert qq(p, ax=left) is left
    assert manhattan(p, ax=right, threshold=1e-3) is right
    assert right.get_lines()[-1].get_ydata()[0] == pytest.approx(3)
    assert len(fig.axes) == 2


def test_positions_and_letters():
    p = np.array([0.1, 0.2, 0.3, 0.4])
    ax = manhattan(p, ["X", "10", "2", "2"], [5, 1, 9, 3])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "10", "X"]
    x, y = ax.get_lines()[0].get_data()
    assert dict(zip(np.round(10**-y, 3), x, strict=True)) == {0.3: 1, 0.4: 0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qq([0.5, 0.0]), "keeps their logarithms"),
        (lambda: manhattan([0.5, 0.1], ["1"]), "chromosome needs one value"),
        (lambda: manhattan([0.5, 0.1], ["1", "1"], [3]), "position needs one value"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
