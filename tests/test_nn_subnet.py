"""The supernet and the subnets cut out of it."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import archs

from elasticvit.errors import ArchError, CheckpointError
from elasticvit.nn import BlockOptions, Subnet, Supernet
from elasticvit.nn.attention import position_index, qkv_rows, value_rows
from elasticvit.nn.blocks import AUTHORS
from elasticvit.space import MOBILE, TINY, SearchSpace


def lively(space: SearchSpace, options: BlockOptions) -> Supernet:
    """A supernet in which no weight or statistic is at its neutral start."""
    torch.manual_seed(0)
    net = Supernet(space, options)
    for parameter in net.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.2)
    for name, statistic in net.named_buffers():
        torch.nn.init.uniform_(statistic, *((0.5, 1.5) if "var" in name else (-0.3, 0.3)))
    return net.eval()


NETS = {
    (space.name, options): lively(space, options)
    for space in (TINY, MOBILE)
    for options in (BlockOptions(), AUTHORS)
}
cases = st.sampled_from(sorted(NETS, key=str)).flatmap(
    lambda key: st.tuples(st.just(NETS[key]), archs(NETS[key].space))
)


@settings(max_examples=12, deadline=None)
@given(cases)
def test_a_subnet_equals_its_supernet(case) -> None:
    net, arch = case
    images = torch.randn(2, 3, arch.resolution, arch.resolution)
    with torch.no_grad():
        expected, subnet = net(images, arch), Subnet.cut(net, arch)
        assert (subnet(images) - expected).abs().max() <= 1e-5 * expected.std()
    assert sum(p.numel() for p in subnet.parameters()) > 0


@pytest.mark.parametrize("key", sorted(NETS, key=str))
@pytest.mark.parametrize("end", ["smallest", "largest"])
def test_the_ends_of_the_space_too(key, end: str) -> None:
    net = NETS[key]
    arch = getattr(net.space, end)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = net(images, arch)
        assert (Subnet.cut(net, arch)(images) - expected).abs().max() <= 1e-5 * expected.std()


def test_a_forward_leaves_nothing_behind() -> None:
    net = NETS["tiny", BlockOptions()]
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = net(images, TINY.smallest)
        net(images, TINY.largest)
        assert torch.equal(net(images, TINY.smallest), before)


def test_training_updates_only_what_was_active() -> None:
    net = copy.deepcopy(NETS["tiny", BlockOptions()]).train()
    bn = net.blocks["conv2_0_block"].depthwise_bn
    before = bn.running_mean.clone()
    net(torch.randn(4, 3, 32, 32), TINY.smallest).sum().backward()
    active = TINY.smallest.conv[0].width * TINY.smallest.conv[1].expansion
    assert not torch.equal(bn.running_mean[:active], before[:active])
    assert torch.equal(bn.running_mean[active:], before[active:])
    assert bn.weight.grad[active:].abs().sum() == 0 < bn.weight.grad[:active].abs().sum()
    assert net.blocks["attn2_3_ffn"].fc1.weight.grad is None


def test_a_subnet_keeps_its_own_weights() -> None:
    net = copy.deepcopy(NETS["tiny", BlockOptions()])
    subnet = Subnet.cut(net, TINY.smallest)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = subnet(images)
        for parameter in net.parameters():
            parameter.zero_()
        assert torch.equal(subnet(images), before)


def test_an_architecture_outside_the_space_is_refused() -> None:
    with pytest.raises(ArchError):
        Subnet.cut(NETS["tiny", BlockOptions()], MOBILE.smallest)


def test_a_subnet_on_disk(tmp_path) -> None:
    subnet = Subnet.cut(NETS["tiny", BlockOptions()], TINY.largest)
    path = tmp_path / "subnet.pt"
    subnet.save(path)
    again = Subnet.load(path)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(images), subnet(images))
    assert again.arch == subnet.arch

    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated or not a subnet"):
        Subnet.load(path)
    with pytest.raises(CheckpointError, match="search first"):
        Subnet.load(tmp_path / "none.pt")


@pytest.mark.parametrize("options", [BlockOptions(), AUTHORS])
def test_a_network_that_inferred_first_can_be_trained(options: BlockOptions) -> None:
    """What is kept of an architecture in inference mode must not be a tensor of that mode."""
    for kept in (position_index, value_rows, qkv_rows):
        kept.cache_clear()
    net, arch = lively(TINY, options), TINY.sample(1, np.random.default_rng(5))[0]
    images = torch.randn(2, 3, arch.resolution, arch.resolution)
    with torch.inference_mode():
        net(images, arch)
        Subnet.cut(net, arch)(images)
        Subnet(arch, TINY.layout, options)(images)
    for trained in (net.train(), Subnet.cut(net, arch).train()):
        outputs = trained(images, arch) if trained is net else trained(images)
        outputs.sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in trained.parameters())
