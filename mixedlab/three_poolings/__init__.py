"""Complete, no and partial pooling of one formula, side by side."""

from mixedlab.three_poolings.fits import pooling
from mixedlab.three_poolings.result import Pooled, ThreePoolings

__all__ = ["Pooled", "ThreePoolings", "pooling"]
