"""Genome scan of 10 000 SNPs x 1 400 individuals against GEMMA (Debian's package ``gemma``).

Run: ``OMP_NUM_THREADS=1 python benchmarks/kinship.py``: GEMMA's search runs in one thread too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import alternate, peak_memory, write_table

import mixedlab as ml
from mixedlab.structures.kinship.association import Scan

N, M = 1400, 10_000


def families(n: int = N, m: int = M, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Seven half-siblings a family; a trait that is half polygenic, with one large effect."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.5, m)
    parent = rng.random((n // 7, m, 2)) < p[None, :, None]
    family = np.repeat(np.arange(n // 7), 7)
    shared = np.where(rng.random((n, m)) < 0.5, parent[family, :, 0], parent[family, :, 1])
    genotype = (shared + (rng.random((n, m)) < p).astype(np.int8)).astype(np.int8)
    u = (genotype[:, :500] - genotype[:, :500].mean(axis=0)) @ rng.normal(size=500)
    y = u / u.std() + rng.normal(size=n) + 0.3 * (genotype[:, m // 2] - genotype[:, m // 2].mean())
    return genotype, y


def write_bimbam(folder: Path, genotype: np.ndarray, y: np.ndarray) -> None:
    """GEMMA's text files of genotypes (SNPs by individuals) and phenotypes."""
    with open(folder / "genotype.txt", "w") as out:
        for j, column in enumerate(genotype.T):
            out.write(f"s{j}, A, C, " + ", ".join(map(str, column)) + "\n")
    np.savetxt(folder / "phenotype.txt", y)


def gemma(folder: Path, *arguments: str) -> None:
    """Run GEMMA."""
    command = ["gemma", "-g", "genotype.txt", "-p", "phenotype.txt", "-maf", "0", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of this process and of those it waits for."""
    before = os.times()
    work()
    return sum(os.times()[:4]) - sum(before[:4])


def compared(scan: Scan, path: Path) -> str:
    """Largest relative differences from GEMMA's table."""
    theirs = pd.read_csv(path, sep="\t")
    names = {"beta": "beta", "se": "se", "ratio_reml": "l_remle"}
    names |= {p: p for p in ("p_wald", "p_lrt", "p_score")}
    apart = {
        mine: float(np.abs(getattr(scan, mine) / theirs[other] - 1).max())
        for mine, other in names.items()
    }
    listed = ", ".join(f"{name} {value:.0e}" for name, value in apart.items())
    return f"Largest relative difference from GEMMA over all SNPs: {listed}."


def scan_memory(folder: Path, m: int) -> float:
    """Megabytes that a scan of ``m`` SNPs adds to numpy, scipy, the genotypes and K."""
    path = folder / f"genotype{m}.npy"
    np.save(path, families(m=m)[0])
    load = (
        "import numpy as np, scipy.linalg, scipy.special, mixedlab as ml; scan = ml.gwas\n"
        f"g = np.load({str(path)!r}); K = np.eye({N}) + 0.1; y = np.arange({N}) % 7.0\n"
    )
    return peak_memory(load + "scan(y, g, K)") - peak_memory(load)


def main() -> None:
    genotype, y = families()
    K = ml.kinship(genotype)
    scans = {}

    def exact() -> None:
        scans["exact"] = ml.gwas(y, genotype, K)

    contestants: dict[str, Callable[[], object]] = {
        "mixedlab, ratio for each SNP": exact,
        "mixedlab, ratio of the null model": lambda: ml.gwas(y, genotype, K, ratio="null"),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.which("gemma"):
            write_bimbam(folder, genotype, y)
            gemma(folder, "-gk", "1", "-o", "k")
            contestants["GEMMA -lmm 4"] = lambda: gemma(
                folder, "-k", "output/k.cXX.txt", "-lmm", "4", "-o", "scan"
            )
        seconds = alternate(contestants, repeats=3)
        cpu = {name: cpu_seconds(work) for name, work in contestants.items()}
        if "GEMMA -lmm 4" in contestants:
            note = compared(scans["exact"], folder / "output" / "scan.assoc.txt")
        else:
            note = "GEMMA is not installed here (Debian: `apt-get install gemma`)."
        memory = {m: scan_memory(folder, m) for m in (M // 2, 2 * M)}
    first = "mixedlab, ratio for each SNP"
    rows = [
        [
            name,
            f"{seconds[name]:.2f}",
            f"{seconds[name] / seconds[first]:.1f}",
            f"{cpu[name]:.2f}",
            f"{cpu[name] / cpu[first]:.1f}",
        ]
        for name in contestants
    ]
    notes = [
        f"{N} individuals x {M} SNPs; Wald, likelihood-ratio and score tests for each; the "
        "eigen-decomposition of K is included, making K is not; GEMMA's time includes reading its "
        "text files. Median of 3 rounds; processor time of one.",
        note,
        "Memory that the scan adds to data, K and libraries: "
        + ", ".join(f"{megabytes:.0f} MB for {m} SNPs" for m, megabytes in memory.items())
        + ".",
    ]
    header = ["program", "seconds", "ratio", "processor seconds", "ratio"]
    write_table("kinship", "Genome-wide scan with relatives", header, rows, notes)


if __name__ == "__main__":
    main()
