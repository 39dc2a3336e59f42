"""Many cells from few donors: the pseudoreplication of single-cell studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Share, Simulated, rows_of, scenario


@scenario
def cells(
    n_donors: Annotated[int, Parameter("donors, half of them treated", low=2)] = 6,
    n_cells: Annotated[int | Sequence[int], Parameter("cells a donor", low=1)] = 50,
    icc: Share = 0.1,
    effect: Annotated[float, Parameter("log expression, treated minus control")] = 0.0,
    mean: Annotated[float, Parameter("log expression")] = 5.0,
    sd: Annotated[float, Parameter("log expression", low=0)] = 1.0,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate the expression of one gene in cells of treated and of control donors.

    ``y_ij = mean + effect * treated_j + sd * (sqrt(icc) d_j + sqrt(1 - icc) c_ij)`` with standard
    normal donors ``d`` and cells ``c``: the total variance stays ``sd**2`` whatever the ICC. Odd
    donors are treated.

    Returns
    -------
    Simulated
        Columns ``donor``, ``treated``, ``expression``. Truth: ``fixef``, ``b`` (donor effects),
        ``sd_donor``, ``sd_cell``, ``icc``, and with equal numbers n of cells ``design_effect`` =
        1 + (n - 1) icc and ``n_effective`` = J n / design effect (with unequal ones, Kish's n =
        sum n_j^2 / sum n_j in their place).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.cells(seed=1).to_frame().head(3).round(2)
       donor  treated  expression
    0      0        0        6.35
    1      0        0        2.49
    2      0        0        6.33
    """
    draws = Draws(seed)
    donor, number = rows_of(n_cells, n_donors, "sizes in `n_cells`")
    treated = donor % 2
    sd_donor, sd_cell = sd * np.sqrt(icc), sd * np.sqrt(1 - icc)
    b = sd_donor * draws.normal("donor", np.arange(n_donors))
    y = mean + effect * treated + b[donor] + sd_cell * draws.normal("cell", donor, number)
    sizes = np.bincount(donor)
    design_effect = 1 + (np.sum(sizes**2) / sizes.sum() - 1) * icc
    return Simulated(
        "cells",
        {"donor": donor, "treated": treated, "expression": y},
        truth={
            "fixef": {"(Intercept)": mean, "treated": effect},
            "b": b,
            "sd_donor": float(sd_donor),
            "sd_cell": float(sd_cell),
            "icc": icc,
            "design_effect": float(design_effect),
            "n_effective": float(donor.size / design_effect),
        },
        units={"treated": "0 or 1", "expression": "log counts per million"},
    )
