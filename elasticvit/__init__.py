"""ElasticViT: the most accurate vision transformer that runs in N milliseconds on your phone."""

from elasticvit.arch import Arch, ArchBatch, AttnStage, ConvStage
from elasticvit.cost import CostModel, MacsCost
from elasticvit.kernels import Kernel, Layout, lower
from elasticvit.space import SearchSpace
from elasticvit.version import __version__

__all__ = [
    "Arch",
    "ArchBatch",
    "AttnStage",
    "ConvStage",
    "CostModel",
    "Kernel",
    "Layout",
    "MacsCost",
    "SearchSpace",
    "__version__",
    "lower",
]
