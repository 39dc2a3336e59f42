import pytest

from mixedlab.answers import of_chapter

TASKS = of_chapter(6)


def test_the_answers_are_the_book_s():
    """From the published REML fit: variances 612.09 and 35.07, covariance 9.60, residual 654.94."""
    assert TASKS["6.1"].answer() == "near 1"
    assert TASKS["6.2"].answer() == pytest.approx(
        612.09 + 18 * 9.604 + 81 * 35.072 + 654.94, abs=0.1
    )
    assert TASKS["6.3"].answer() == pytest.approx(612.09 + 10 * 9.604 + 16 * 35.072, abs=0.1)
