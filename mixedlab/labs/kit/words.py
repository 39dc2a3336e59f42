"""Numbers and averages in words, the same in all labs."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign: −0.32."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "−")


def percent(share: float, digits: int = 0) -> str:
    """Write a share as a percentage: 84 %."""
    return f"{number(100 * share, digits)} %"


def rate(value: float) -> str:
    """Write a rate without its nought: .265."""
    return f"{value:.3f}".removeprefix("0")


def count(n: int, what: str, many: str = "") -> str:
    """Write how many: 1 ward, 5 wards."""
    return f"{n} {what if n == 1 else many or what + 's'}"


def listed(items: Sequence[str]) -> str:
    """Write a list: a, b and c."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"
