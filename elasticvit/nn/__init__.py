"""Networks: elastic blocks, the supernet, and static subnets cut out of it."""

from elasticvit.nn.blocks import BlockOptions, build_block
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet

__all__ = ["BlockOptions", "Subnet", "Supernet", "build_block"]
