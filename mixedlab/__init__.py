"""mixedlab: teach and explore mixed-effects models.

Public names are loaded when they are first used, so that ``import mixedlab`` costs nothing
and a lab that only simulates arrays never loads pandas or matplotlib.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    # data
    "load": "data.registry",
    "datasets": "data.registry",
    "within_between": "data.contextual",
    # models
    "lmm": "models.linear",
    "glmm": "models.generalized",
    "gee": "models.gee.model",
    "hglm": "models.hglm.entry",
    "kinship": "structures.kinship.relatedness",
    "kinship_lmm": "structures.kinship.relatedness",
    "gwas": "structures.kinship.association",
    "two_stage": "structures.meta_analysis",
    "compare_group_analyses": "structures.meta_analysis",
    "twolevel_factor": "structures.two_level.factor",
    "latent_context": "structures.two_level.context_effect",
    "contamination": "structures.contamination.background",
    # inference
    "pooling": "three_poolings",
    "compare": "comparison",
    "marginal_coefs": "inference.population_averaged",
    "check_separation": "inference.separation",
    "overdispersion": "inference.explained",
    "overdispersion_models": "wider_families",
    "diagnose": "diagnosis",
    "replicate": "inference.replication",
    # labs and exercises
    "lab": "labs.opening",
    "explore": "labs.explorer.opening",
    "check": "answers",
}
_SUBPACKAGES = ("simulate", "pictures")

__all__ = ["__version__", *_HOME_OF, *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(f"mixedlab.{_HOME_OF[name]}"), name)
    elif name in _SUBPACKAGES:
        value = import_module(f"mixedlab.{name}")
    else:
        raise AttributeError(f"module 'mixedlab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
