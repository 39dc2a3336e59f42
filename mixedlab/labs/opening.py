"""``ml.lab``: a lab as a widget, or the table of labs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixedlab.labs import catalogue
from mixedlab.labs.kit.lab import Lab

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.labs.kit.widget import LabWidget


def lab(name: str | Lab | None = None, **state: Any) -> LabWidget | pd.DataFrame:
    """Show a lab in a notebook; without a name, list the labs.

    Parameters
    ----------
    name : str or Lab, optional
        ``"three-poolings"``, or a `Lab` of your own.
    **state
        Controls to set, as ``dial=0.4``; values are moved into the control's range.

    Returns
    -------
    LabWidget or DataFrame
        The live lab, whose controls are traits (``widget.dial``); or the table of labs.

    Raises
    ------
    ValueError
        Where there is no such lab.
    TypeError
        Where the lab has no such control.

    Examples
    --------
    >>> import mixedlab as ml
    >>> "three-poolings" in ml.lab().index
    True
    >>> lab = ml.lab("three-poolings", dial=0.4)
    >>> lab.dial
    0.4
    """
    if name is None:
        import pandas as pd

        titles = {known: catalogue.get(known).title for known in catalogue.names()}
        return pd.DataFrame({"title": titles}).rename_axis("lab")
    from mixedlab.labs.kit.widget import make_widget

    return make_widget(name if isinstance(name, Lab) else catalogue.get(name), **state)
