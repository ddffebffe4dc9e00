"""Fused networks compute what the networks do that they were made of."""

import pytest
import torch
from export_models import example, kernels, randomised
from hypothesis import given, settings
from strategies import seeds

from elasticvit.kernels import Kernel
from elasticvit.nn import BlockOptions, Subnet, Supernet, build_block
from elasticvit.nn.blocks import AUTHORS
from elasticvit.nn.fuse import fused
from elasticvit.nn.layers import ElasticBatchNorm, ElasticLayerNorm
from elasticvit.space import TINY


@settings(max_examples=60, deadline=None)
@given(kernels, seeds)
def test_a_fused_block_gives_the_same_outputs(kernel: Kernel, seed: int) -> None:
    block, x = randomised(build_block(kernel), seed), example(kernel, batch=3, seed=seed)
    before = block(x)
    result = fused(block)
    assert torch.equal(block(x), before), "the original changed"
    for batch in (x, x[:1]):
        assert torch.allclose(result(batch), block(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [BlockOptions(), AUTHORS])
def test_a_fused_subnet_has_no_norm_left_and_the_same_logits(options: BlockOptions) -> None:
    supernet = randomised(Supernet(TINY, options))
    assert isinstance(supernet, Supernet)
    subnet = Subnet.cut(supernet, TINY.smallest)
    result = fused(subnet)
    assert isinstance(result, Subnet)
    assert not [m for m in result.modules() if isinstance(m, (ElasticBatchNorm, ElasticLayerNorm))]
    images = torch.randn(2, 3, TINY.smallest.resolution, TINY.smallest.resolution)
    assert torch.allclose(result(images), subnet(images), rtol=1e-5, atol=1e-5)


def test_an_elastic_block_is_refused() -> None:
    with pytest.raises(ValueError, match=r"FirstConv is elastic; cut it first"):
        fused(Supernet(TINY))
