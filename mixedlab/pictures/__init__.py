"""Pictures of fitted models in matplotlib. Each takes ``ax=`` and returns the Axes it drew on."""

from importlib import import_module
from typing import Any

_HOME_OF = {
    "caterpillar": "effects",
    "ellipse": "effects",
    "shrinkage": "effects",
    "spaghetti": "curves",
    "effect": "fitted_effect",
    "pooling": "small_multiples",
    "profile_zeta": "curves",
    "residual_panels": "residual_plots",
    "residuals": "residual_plots",
    "variance_bar": "shares",
    "qq": "genome",
    "manhattan": "genome",
}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mixedlab.pictures' has no attribute {name!r}")
    value = getattr(import_module(f"mixedlab.pictures.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
