"""Tables that all results share: coefficients, intervals, variances, random effects, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm, lower_triangle
from mixedlab.errors import MixedlabError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def by_name(names: Sequence[str], values: Array, label: str) -> pd.Series:
    """A number for each coefficient."""
    import pandas as pd

    return pd.Series(values, index=list(names), name=label)


def names_by_names(names: Sequence[str], values: Array) -> pd.DataFrame:
    """A square matrix over coefficients."""
    import pandas as pd

    return pd.DataFrame(values, index=list(names), columns=list(names))


def ends_by_name(ends: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """Intervals by name, columns ``lower, upper``."""
    import pandas as pd

    return pd.DataFrame.from_dict(ends, orient="index", columns=["lower", "upper"])


def on_rows(values: Array | Mapping[str, Array], index: Any, label: str | None = None) -> Any:
    """A Series, or a table of several columns, on the index of a table's rows."""
    import pandas as pd

    if label is not None:
        return pd.Series(values, index=index, name=label)
    return pd.DataFrame(values, index=index)


def normal_quantile(level: float) -> float:
    """Half the width of a normal interval in standard errors: 1.96 at level 0.95."""
    from scipy.special import ndtri

    if not 0.0 < level < 1.0:
        raise MixedlabError(f"level lies between 0 and 1, for example 0.95, not {level}.")
    return float(ndtri(0.5 + level / 2.0))


def t_quantile(level: float, df: Array) -> Array:
    """As `normal_quantile`, of t with degrees of freedom ``df``, which may be infinite."""
    from scipy.special import stdtrit

    finite = np.isfinite(df)
    t = stdtrit(np.where(finite, df, 1.0), 0.5 + level / 2.0)
    return np.where(finite, t, normal_quantile(level))


def two_sided_p(t: Array, df: Array) -> Array:
    """Probability beyond -+t under t with ``df``, which may be infinite: then the normal's."""
    from scipy.special import ndtr, stdtr

    finite, lower = np.isfinite(df), -np.abs(t)
    return 2.0 * np.where(finite, stdtr(np.where(finite, df, 1.0), lower), ndtr(lower))


def variances_and_correlations(
    terms: Sequence[RandomTerm], covariances: Sequence[Array], sigma: float | None
) -> pd.DataFrame:
    """Variances, then covariances, of each term; the residual variance last.

    Columns ``group, var1, var2, vcov, sdcor``; ``sdcor`` is NaN for the correlation of a variance
    of zero.
    """
    import pandas as pd

    rows: list[tuple] = []
    for term, cov in zip(terms, covariances, strict=True):
        sd = np.sqrt(np.diag(cov))
        rows += [(term.group, name, None, cov[k, k], sd[k]) for k, name in enumerate(term.names)]
        for i, k in zip(*lower_triangle(term.n_coefs), strict=True):
            if i > k:
                scale = sd[i] * sd[k]
                cor = cov[i, k] / scale if scale > 0 else np.nan
                rows.append((term.group, term.names[k], term.names[i], cov[i, k], cor))
    if sigma is not None:
        rows.append(("Residual", None, None, sigma**2, sigma))
    group, var1, var2, vcov, sdcor = zip(*rows, strict=True) if rows else ((),) * 5
    # As strings the missing names would turn into NaN.
    names = {
        name: pd.Series(values, dtype=object)
        for name, values in {"group": group, "var1": var1, "var2": var2}.items()
    }
    return pd.DataFrame({**names, "vcov": np.array(vcov), "sdcor": np.array(sdcor)})


def effects_by_group(
    terms: Sequence[RandomTerm], values: Sequence[Array]
) -> dict[str, pd.DataFrame]:
    """For each grouping factor a table of levels by coefficients, from (J, q) arrays a term."""
    import pandas as pd

    tables: dict[str, list[pd.DataFrame]] = {}
    for term, effects in zip(terms, values, strict=True):
        # A label that is a tuple stays one label, not one for each of several levels.
        index = pd.Index(term.levels, name=term.group, tupleize_cols=False)
        table = pd.DataFrame(effects, index=index, columns=list(term.names))
        tables.setdefault(term.group, []).append(table)
    return {
        group: parts[0] if len(parts) == 1 else pd.concat(parts, axis=1)
        for group, parts in tables.items()
    }
