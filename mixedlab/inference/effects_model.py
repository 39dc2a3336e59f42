"""What the marginaleffects package asks of a fit, where that package is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit

if TYPE_CHECKING:
    from mixedlab.inference.effects_adapter import EffectsModel


def effects_model(
    fit: Fit,
    kind: Literal["population", "marginal"] = "population",
    scale: Literal["response", "link"] = "response",
) -> EffectsModel:
    """The fit as the marginaleffects package takes it (``pip install mixedlab[effects]``).

    Give it to ``marginaleffects.predictions``, ``comparisons``, ``slopes``, ``hypotheses`` or
    their plots. It is that package's ``ModelAbstract``.

    Parameters
    ----------
    fit : Fit
    kind : {"population", "marginal"}
        Of a group whose effects are zero, or averaged over the groups. Under a logit they are
        different things. Hypotheses about coefficients are for ``"population"``.
    scale : {"response", "link"}
        Of the predictions that are compared.

    Returns
    -------
    EffectsModel
        A model of that package.

    Raises
    ------
    MixedlabError
        Where the package is not installed, or the fit has no such prediction.

    Examples
    --------
    >>> import mixedlab as ml
    >>> import marginaleffects as me
    >>> fit = ml.lmm("score ~ Machine + (1 | Worker)", ml.load("machines"))
    >>> means = me.avg_predictions(fit.effects_model(), by="Machine")
    >>> means["estimate"].round(2).to_list()
    [52.36, 60.32, 66.27]
    """
    try:
        from mixedlab.inference.effects_adapter import EffectsModel
    except ModuleNotFoundError as error:
        raise MixedlabError(
            f"There is no package {error.name}: install marginaleffects, for example by "
            "pip install 'mixedlab[effects]'."
        ) from None
    return EffectsModel(fit, kind, scale)
