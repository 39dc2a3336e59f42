import numpy as np
import pandas as pd
import pytest

from mixedlab.data import genotypes
from mixedlab.data.genotypes import Genotypes


def table(n=12, m=9, seed=0):
    return np.random.default_rng(seed).integers(0, 3, (n, m)).astype(np.int8)


def read_all(snps):
    blocks = list(snps.blocks())
    return blocks, np.hstack([b.centred for b in blocks])


def test_blocks_are_centred_and_cover_every_snp(monkeypatch):
    monkeypatch.setattr(genotypes, "BLOCK_BYTES", 8 * 12 * 2)
    g = table()
    blocks, centred = read_all(Genotypes(g))
    assert len(blocks) == 5
    np.testing.assert_allclose(centred, g - g.mean(axis=0))
    np.testing.assert_allclose(
        np.concatenate([b.frequency for b in blocks]), g.mean(axis=0) / 2, atol=1e-15
    )


def test_missing_calls_take_the_mean_and_are_counted():
    g = table().astype(float)
    g[[1, 5], [0, 3]] = np.nan
    block = next(Genotypes(g).blocks())
    assert block.n_missing == 2
    np.testing.assert_allclose(block.centred, np.nan_to_num(g - np.nanmean(g, axis=0)), atol=1e-15)
    coded = np.where(np.isnan(g), -127, g).astype(np.int8)
    np.testing.assert_allclose(next(Genotypes(coded).blocks()).centred, block.centred)


def test_snps_that_do_not_vary_are_dropped_and_counted():
    g = table().astype(float)
    g[:, 2] = 1
    g[:, 4] = np.nan
    block = next(Genotypes(g).blocks())
    assert block.n_monomorphic == 2
    assert block.columns.tolist() == [0, 1, 3, 5, 6, 7, 8]
    assert np.isfinite(block.centred).all()


def test_names_come_from_a_table_or_by_argument():
    frame = pd.DataFrame(table(m=2), columns=["rs1", "rs2"])
    assert Genotypes(frame).names.tolist() == ["rs1", "rs2"]
    assert Genotypes(table(m=2), ["a", "b"]).names.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="1 SNP names for 2 SNPs"):
        Genotypes(table(m=2), ["a"])


@pytest.mark.parametrize("code", [-9.0, 3.0])
def test_a_value_that_is_no_allele_count_names_the_snp(code):
    g = table().astype(float)
    g[3, 6] = code
    with pytest.raises(ValueError, match=r"'snp7'.*count alleles"):
        next(Genotypes(g).blocks())


@pytest.mark.parametrize("bad", [np.zeros(4), np.array([["A", "C"]])])
def test_a_table_of_another_kind_is_refused(bad):
    with pytest.raises(ValueError, match="table of numbers"):
        Genotypes(bad)


def test_plink_bed_gives_the_same_blocks(tmp_path):
    bed_reader = pytest.importorskip("bed_reader")
    g = table(20, 30).astype(float)
    g[3, 4] = np.nan
    path = tmp_path / "mice.bed"
    bed_reader.to_bed(path, g, properties={"sid": [f"rs{k}" for k in range(30)]})
    rows = np.arange(20) != 7
    from_bed, from_array = Genotypes(path), Genotypes(g)
    assert from_bed.names[2] == "rs2"
    for snps in (from_bed, from_array):
        snps.keep(rows)
    np.testing.assert_allclose(read_all(from_bed)[1], read_all(from_array)[1])
