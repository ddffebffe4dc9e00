"""One subnet trained alone: the same logits as in the supernet, and a run like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_small import MICRO

from elasticvit.arch import Arch
from elasticvit.block_options import BlockOptions
from elasticvit.cost import MacsCost
from elasticvit.errors import ArchError, CheckpointError
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.blocks import AUTHORS
from elasticvit.nn.initial import initialise
from elasticvit.training.single import SingleSampler, single_levels, single_space
from elasticvit.training.starting import start_weights

NINE = MICRO.sample(9, np.random.default_rng(3))


def shaken(supernet: Supernet) -> Supernet:
    """The supernet with statistics and biases of a trained one, which are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for tensor in (*supernet.parameters(), *supernet.buffers()):
        tensor.data += 0.1 * torch.rand(tensor.shape, generator=generator)
    return supernet.eval()


@pytest.mark.parametrize("options", [BlockOptions(), AUTHORS])
@pytest.mark.parametrize("arch", [MICRO.smallest, MICRO.largest, *NINE])
def test_the_filled_network_gives_the_logits_of_the_subnet(
    arch: Arch, options: BlockOptions
) -> None:
    torch.manual_seed(0)
    source = shaken(Supernet(MICRO, options))
    alone = initialise(Supernet(single_space(MICRO, arch), options)).eval()
    images = torch.randn(2, 3, 24, 24)
    with torch.no_grad():
        start_weights(alone, Subnet.cut(source, arch))
        assert torch.allclose(alone(images, arch), source(images, arch), atol=1e-5)
        again = Subnet.cut(alone, arch)
        assert torch.allclose(again(images), source(images, arch), atol=1e-5)


def test_with_other_classes_the_classifier_alone_starts_anew() -> None:
    torch.manual_seed(0)
    source, arch = shaken(Supernet(MICRO)), MICRO.largest
    space = single_space(MICRO.with_classes(3), arch)
    alone = initialise(Supernet(space)).eval()
    head = alone.blocks["head_0_block"].classifier
    before = head.weight.clone()
    subnet = Subnet.cut(source, arch)
    start_weights(alone, subnet)
    assert torch.equal(head.weight, before)
    subnet.reset_classifier(3)
    subnet.get_classifier().load_state_dict(head.state_dict())
    images = torch.randn(2, 3, 24, 24)
    with torch.no_grad():
        assert torch.allclose(alone(images, arch), subnet(images), atol=1e-5)


def test_the_space_of_one_architecture_has_one_level() -> None:
    arch = NINE[0]
    space = single_space(MICRO, arch)
    assert (space.size(), space.smallest, space.largest) == (1, arch, arch)
    assert single_space(space, arch) is space
    levels = single_levels(space, MacsCost(space))
    sampler = SingleSampler(arch, levels)
    draw = sampler.draw()
    assert (draw.archs, draw.students, draw.level) == ((arch,), (), 0)
    sampler.restore(sampler.state())
    other = single_space(MICRO, MICRO.largest)
    with pytest.raises(CheckpointError, match="complexity levels"):
        SingleSampler(MICRO.largest, single_levels(other, MacsCost(other))).restore(sampler.state())
    with pytest.raises(ArchError):
        single_space(other, arch)
