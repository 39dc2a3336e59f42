"""Where the checkout and its reference values lie, for every test."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "tests" / "reference"
