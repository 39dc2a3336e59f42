"""``ml.explore``: a table of one's own as a lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mixedlab.labs.explorer.widget import Explorer


def explore(
    df: pd.DataFrame,
    y: str | None = None,
    x: str | None = None,
    group: str | Sequence[str] | None = None,
    family: str | None = None,
    offset: str | None = None,
) -> Explorer:
    """Explore a table: choose outcome, predictor and group, bet on the ICC, pool the groups.

    Parameters
    ----------
    df : DataFrame
    y, x : str, optional
        Outcome and predictor; guessed where not given. ``x=""`` is no predictor.
    group : str or two str, optional
        A column; or two, nested or crossed as they stand in the table.
    family : str, optional
        Guessed from the outcome where not given: two values binomial, counts from 0 Poisson,
        else Gaussian.
    offset : str, optional
        A column, the known part of the linear predictor.

    Returns
    -------
    Explorer
        A live lab. Its settings are traits (``widget.y``, ``widget.pooling``, ...); ``.fit``,
        ``.code``, ``.report``, ``.figure()``, ``.check``; give ``widget.df`` a new table and it
        follows.

    Raises
    ------
    DataError
        For a table that cannot be explored, or a column that is not there; in words.

    Examples
    --------
    >>> import mixedlab as ml
    >>> explorer = ml.explore(ml.load("sleepstudy"), y="Reaction", x="Days", group="Subject")
    >>> explorer.fit.fixef.round(2).to_dict()
    {'(Intercept)': 251.41, 'Days': 10.47}
    """
    from mixedlab.labs.explorer.widget import Explorer

    return Explorer(df, y=y, x=x, group=group, family=family, offset=offset)
