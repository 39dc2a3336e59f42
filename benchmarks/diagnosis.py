"""Who is accused by ``ml.diagnose``? ``python benchmarks/diagnosis.py [ordinary tables]``.

500 ordinary tables of five kinds, whose models are right, and one table for each fault.
"""

import sys
import warnings
from pathlib import Path

from side_by_side import write_table

import mixedlab as ml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.diagnosis.tables import HARD, KINDS, ordinary


def main(n: int = 500) -> None:
    warnings.simplefilter("ignore")
    accused = {kind: [] for kind in KINDS}
    for seed in range(n):
        accused[KINDS[seed % len(KINDS)]] += [f.kind for f in ml.diagnose(ordinary(seed))]
    rows = [
        [f"{kind}, right model", n // len(KINDS), "nothing", ", ".join(found) or "nothing"]
        for kind, found in accused.items()
    ]
    for name, (kind, make) in HARD.items():
        found = [f.kind for f in ml.diagnose(make())]
        rows.append([name, 1, kind, ", ".join(dict.fromkeys(found))])
    header = ["tables", "how many", "fault", "what ml.diagnose says"]
    notes = [
        "Ordinary tables: 18 to 40 groups of 8 rows or more, one row in ten missing "
        "(`tests/diagnosis/tables.py`). A table with a fault may have another in consequence: "
        "counts that vary too much have too many zeros, labels that start anew are few."
    ]
    write_table("diagnosis", "What ml.diagnose finds, and whom it accuses", header, rows, notes)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
