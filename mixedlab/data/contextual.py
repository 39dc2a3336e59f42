"""Split a covariate into what differs between groups and what differs within them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedlab.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd


def within_between(df: pd.DataFrame, x: str, g: str) -> pd.DataFrame:
    """Add the group mean of ``x`` and each row's deviation from it.

    ``x = x_mean + x_dev``: in ``y ~ x_dev + x_mean + (1 | g)`` the coefficient of ``x_dev``
    compares rows of one group, that of ``x_mean`` compares groups (Neuhaus, J. M. and
    Kalbfleisch, J. D. (1998), Biometrics 54, 638-645).

    Parameters
    ----------
    df : DataFrame
        Of pandas, or what `ml.lmm` takes besides; the result is pandas'.
    x : str
        Numeric column.
    g : str
        Grouping factor.

    Returns
    -------
    DataFrame
        A copy with two more columns, named ``f"{x}_mean"`` and ``f"{x}_dev"``. The mean is over
        the group's rows where ``x`` is known; a row without ``x`` or ``g`` gets NaN.

    Raises
    ------
    DataError
        If a column is missing or ``x`` is not numeric.

    Examples
    --------
    >>> import mixedlab as ml
    >>> import pandas as pd
    >>> df = pd.DataFrame({"g": ["a", "a", "b", "b"], "x": [1.0, 3.0, 10.0, 12.0]})
    >>> ml.within_between(df, "x", "g")
       g     x  x_mean  x_dev
    0  a   1.0     2.0   -1.0
    1  a   3.0     2.0    1.0
    2  b  10.0    11.0   -1.0
    3  b  12.0    11.0    1.0
    """
    from mixedlab.data.columns import as_frame, numbers_of, refuse_unusable

    df = as_frame(df)
    values = numbers_of(df, x)
    if df[x].dtype == bool:
        raise DataError(
            f"Column {x!r} is not numeric ({df[x].dtype}): only numbers have a group mean. "
            "For a factor, use a 0/1 column for each level but the first."
        )
    if g not in df.columns:
        raise DataError(f"There is no column {g!r}.{nearest(g, df.columns)}")
    refuse_unusable(df, [g])
    mean = values.groupby(df[g].to_numpy(), observed=True).transform("mean")
    return df.assign(**{f"{x}_mean": mean.where(values.notna()), f"{x}_dev": values - mean})
