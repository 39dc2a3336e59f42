"""Genotypes as blocks of SNPs: read from an array or a PLINK file, cleaned, never all at once.

A genotype counts the copies of one allele: 0, 1 or 2. Dosages between are allowed. A missing
call is NaN, or a negative number in an integer array (readers use -9, -127 and others).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.errors import DataError

# One block of doubles takes about this many bytes, whatever the number of individuals.
BLOCK_BYTES = 32_000_000


@dataclass(frozen=True)
class Block:
    """Some SNPs that vary, centred.

    Attributes
    ----------
    columns : ndarray of int, shape (m,)
        Their places in the whole table.
    centred : ndarray of float, shape (n, m)
        Allele counts less their mean; 0 where the call is missing (imputed by the mean).
    frequency : ndarray of float, shape (m,)
        Frequency of the counted allele among the calls made.
    n_missing : int
        Missing calls in the block, those of SNPs that do not vary included.
    n_monomorphic : int
        SNPs left out because every call is the same.
    """

    columns: NDArray[np.intp]
    centred: NDArray[np.float64]
    frequency: NDArray[np.float64]
    n_missing: int
    n_monomorphic: int


class Genotypes:
    """A table of n individuals by m SNPs that is read a block of SNPs at a time.

    Parameters
    ----------
    source : array_like, shape (n, m), or path
        Allele counts, a DataFrame of them (its columns name the SNPs), or the path of a
        PLINK ``.bed`` file, for which the package ``bed-reader`` must be installed.
    names : array_like of str, shape (m,), optional
        Names of the SNPs.
    """

    def __init__(self, source: ArrayLike | str | PathLike, names: ArrayLike | None = None):
        self._rows: Any = slice(None)
        if isinstance(source, str | PathLike):
            self._bed = _open_bed(source)
            self.shape = tuple(self._bed.shape)
            found = self._bed.sid
        else:
            self._bed = None
            found = getattr(source, "columns", None)
            self._array = np.asarray(source)
            if self._array.ndim != 2 or self._array.dtype.kind not in "iufb":
                raise DataError(
                    "genotype must be a table of numbers, individuals by SNPs; got shape "
                    f"{self._array.shape} of type {self._array.dtype}."
                )
            self.shape = self._array.shape
        if names is not None:
            found = names
        elif found is None:
            found = [f"snp{k + 1}" for k in range(self.shape[1])]
        self.names = np.asarray(found, dtype=str)
        if self.names.shape != (self.shape[1],):
            raise DataError(
                f"{self.names.size} SNP names for {self.shape[1]} SNPs: give one name a column."
            )

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Read only the individuals marked True from now on."""
        if not rows.all():
            self._rows = np.flatnonzero(rows)
            self.shape = (self._rows.size, self.shape[1])

    def blocks(self) -> Iterator[Block]:
        """Yield the SNPs in order, a block at a time; memory does not grow with their number."""
        n, m = self.shape
        width = max(1, BLOCK_BYTES // (8 * max(n, 1)))
        for start in range(0, m, width):
            columns = np.arange(start, min(start + width, m))
            yield self._clean(self._read(columns), columns)

    def _read(self, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        if self._bed is not None:
            return self._bed.read(index=np.s_[self._rows, columns], dtype="float64")
        block = self._array[:, columns[0] : columns[-1] + 1][self._rows]
        values = block.astype(float)
        if block.dtype.kind == "i":
            values[block < 0] = np.nan
        return values

    def _clean(self, values: NDArray[np.float64], columns: NDArray[np.intp]) -> Block:
        lowest, highest = values.min(axis=0), values.max(axis=0)
        n_missing = 0
        if np.isnan(lowest).any():
            missing = np.isnan(values)
            n_missing = int(missing.sum())
            lowest = np.where(missing, np.inf, values).min(axis=0)
            highest = np.where(missing, -np.inf, values).max(axis=0)
            count = np.maximum(len(values) - missing.sum(axis=0), 1)
            mean = np.where(missing, 0.0, values).sum(axis=0) / count
            values = np.where(missing, mean, values)
        else:
            mean = values.mean(axis=0)
        # A SNP without a single call has lowest = inf > highest: it does not vary either.
        outside = np.isfinite(lowest) & ((lowest < 0) | (highest > 2))
        if outside.any():
            bad = int(np.flatnonzero(outside)[0])
            raise DataError(
                f"SNP {self.names[columns[bad]]!r} has values from {lowest[bad]:g} to "
                f"{highest[bad]:g}: genotypes count alleles, 0 to 2. "
                "Code a missing call as NaN."
            )
        varies = highest > lowest
        if not varies.all():
            values, mean, columns = values[:, varies], mean[varies], columns[varies]
        values -= mean
        return Block(columns, values, mean / 2, n_missing, int((~varies).sum()))


def _open_bed(path: str | PathLike) -> Any:
    try:
        from bed_reader import open_bed
    except ImportError as error:
        raise ImportError(
            "Reading PLINK files needs the package bed-reader: pip install 'mixedlab[genetics]'."
        ) from error
    return open_bed(path)
