"""Tables to explore, of the kinds that come: lines, two values, counts, nested, crossed."""

from __future__ import annotations

import numpy as np
import pandas as pd

import mixedlab as ml
from tests import test_messy_tables


def counts() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    plot = np.repeat(np.arange(12), 8)
    effort = rng.uniform(1, 3, plot.size)
    rate = np.exp(0.4 + 0.5 * rng.normal(size=12)[plot]) * effort
    return pd.DataFrame(
        {
            "seen": rng.poisson(rate),
            "log effort": np.log(effort),
            "height": rng.normal(size=plot.size),
            "plot": [f"p{j}" for j in plot],
        }
    )


def binary() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    ward = np.repeat(np.arange(15), 12)
    age = rng.normal(50, 10, ward.size)
    eta = 0.03 * (age - 50) + rng.normal(size=15)[ward]
    well = np.where(rng.random(ward.size) < 1 / (1 + np.exp(-eta)), "yes", "no")
    return pd.DataFrame({"well": well, "age": age, "ward": [f"W{j}" for j in ward]})


def sleepstudy() -> pd.DataFrame:
    return ml.load("sleepstudy")


def pastes() -> pd.DataFrame:
    return ml.load("pastes")[["strength", "batch", "cask"]]


def penicillin() -> pd.DataFrame:
    return ml.load("penicillin")


ALL = {
    "sleepstudy": (sleepstudy, {}),
    "binary": (binary, {"y": "well", "x": "age", "group": "ward"}),
    "counts": (counts, {"y": "seen", "x": "height", "group": "plot"}),
    "pastes": (pastes, {"group": "batch/cask"}),
    "penicillin": (penicillin, {"group": ["plate", "sample"]}),
}


# Four messy tables, each with the wells and settings that its question needs, and its formula.
MESSY = {
    "repeated measures": (
        test_messy_tables.repeated_measures,
        {"y": "pain", "x": "week", "group": "Patient ID"},
        {"slope": True},
        "pain ~ week + (week | `Patient ID`)",
    ),
    "clinics": (
        test_messy_tables.clinics,
        {"y": "cured", "x": "age", "group": "clinic"},
        {},
        "cured ~ age + (1 | clinic)",
    ),
    "traps": (
        test_messy_tables.traps,
        {"y": "moths", "x": "temp", "group": "site"},
        {"offset": "log(trap.hours)"},
        "moths ~ temp + offset(log(trap.hours)) + (1 | site)",
    ),
    "pupils": (
        test_messy_tables.pupils,
        {"y": "score", "x": "ses", "group": "school/class"},
        {},
        "score ~ ses + (1 | school/class)",
    ),
}


def _csv(rows: int = 12, **columns: object) -> bytes:
    return pd.DataFrame(columns, index=range(rows)).to_csv(index=False).encode()


# A file's bytes, and what is said of it.
BAD_FILES = {
    "nothing": (b"  \n", "empty"),
    "no table": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 40, "no text"),
    "a web page": (b"<html>\n<body>\n<p>Hello.</p>\n</body>\n</html>", "1 column"),
    "a sheet of Excel": (b"PK\x03\x04" + b"\0" * 40, "Excel"),
    "one column": (_csv(y=np.arange(12.0)), "1 column"),
    "all text": (
        _csv(a=list("abcabcabcabc"), b=list("uvwxuvwxuvwx")),
        "No column can be an outcome",
    ),
    "duplicate names": (b"y,y,g\n1,2,a\n2,3,a\n3,4,b\n4,3,b\n", "Two columns have one name: 'y'"),
    "500 columns": (_csv(**{f"c{k}": np.arange(12.0) % 7 for k in range(500)}), "500 columns"),
    "a group for each row": (
        _csv(y=np.sqrt(np.arange(12)), g=[f"g{k}" for k in range(12)]),
        "'g' makes a group of each row",
    ),
    "constant outcome": (
        _csv(y=np.ones(12), g=list("aabbccddeeff")),
        "No column can be an outcome",
    ),
    "2 groups": (_csv(y=np.sqrt(np.arange(12)), g=list("aaaaaabbbbbb")), "'g' makes 2 groups"),
    "30 000 groups": (
        _csv(40_000, y=np.sqrt(np.arange(40_000)), g=[f"g{k % 30_000}" for k in range(40_000)]),
        "30000 groups",
    ),
    "all missing": (_csv(y=[None] * 12, g=[None] * 12), "No column can be an outcome"),
}  # fmt: skip
