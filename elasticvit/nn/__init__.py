"""Networks: elastic blocks, the supernet, static subnets cut out of it, and models by name.

With this package and timm imported, `timm.create_model("elastic_s1")` and its eight siblings
work as timm's own models do.
"""

from elasticvit.block_options import BlockOptions
from elasticvit.nn.blocks import build_block
from elasticvit.nn.models import create_model
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.nn.timm_hook import register_in_timm
from elasticvit.published import list_models

__all__ = ["BlockOptions", "Subnet", "Supernet", "build_block", "create_model", "list_models"]

register_in_timm()
