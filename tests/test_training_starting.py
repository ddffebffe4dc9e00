"""Spreading the weights of a trained network over a supernet."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_small import MICRO

from elasticvit.arch import Arch
from elasticvit.block_options import BlockOptions
from elasticvit.errors import CheckpointError
from elasticvit.kernels import Layout
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.blocks import AUTHORS
from elasticvit.space import MOBILE, PHOTO, TINY, SearchSpace
from elasticvit.training.starting import start_weights

SMALL_MOBILE = replace(
    PHOTO.with_classes(10),
    name="small",
    choices=((32, 64), *[(c[0], c[-1]) if len(c) > 1 else c for c in PHOTO.choices[1:]]),
)
SPACES = [MICRO, TINY, SMALL_MOBILE]


def lively(network: nn.Module, seed: int) -> nn.Module:
    """Random values in all parameters and statistics, so that nothing is hidden by a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.3 * noise.abs())
            elif tensor.dim() > 1 and not name.endswith("position_bias"):
                fan = tensor[0].numel()
                tensor.copy_(noise * (1.5 / fan) ** 0.5)
            else:
                tensor.copy_(noise * 0.2 + float(name.endswith("weight")))
    return network.eval()


def images(arch: Arch) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn((2, 3, arch.resolution, arch.resolution), generator=generator)


def same(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) < 1e-5 * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("options", [BlockOptions(), AUTHORS], ids=["clean", "authors"])
@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_the_supernet_has_the_logits_of_the_subnet(
    space: SearchSpace, options: BlockOptions
) -> None:
    rng = np.random.default_rng(3)
    archs = [space.smallest, space.largest, *space.sample(4, rng)]
    supernet = Supernet(space, options).eval()
    for i, arch in enumerate(archs):
        subnet = Subnet.cut(lively(supernet, i), arch)
        lively(supernet, 100 + i)
        start_weights(supernet, subnet)
        with torch.no_grad():
            expected = subnet(images(arch))
            assert same(supernet(images(arch), arch), expected)
            assert same(Subnet.cut(supernet, arch)(images(arch)), expected)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_what_only_adds_to_the_subnet_starts_with_its_logits(space: SearchSpace) -> None:
    small, large = space.smallest, space.largest
    deeper = replace(
        small,
        stem=replace(small.stem, depth=large.stem.depth, kernel=large.stem.kernel),
        conv=tuple(
            replace(s, depth=b.depth, expansion=b.expansion, kernel=b.kernel)
            for s, b in zip(small.conv, large.conv, strict=True)
        ),
        attn=tuple(
            replace(s, depth=b.depth, mlp_ratio=b.mlp_ratio, v_scale=b.v_scale)
            for s, b in zip(small.attn, large.attn, strict=True)
        ),
    )
    for start in (small, replace(deeper, resolution=small.resolution)):
        subnet = Subnet.cut(lively(Supernet(space), 0), start)
        supernet = Supernet(space).eval()
        start_weights(supernet, subnet)
        with torch.no_grad():
            assert same(supernet(images(deeper), deeper), subnet(images(start)))


def test_a_wider_subnet_starts_nearer_to_the_subnet_than_one_of_initial_weights() -> None:
    small = TINY.smallest
    wide = replace(small, attn=tuple(replace(s, width=s.width + 16) for s in small.attn))
    subnet = Subnet.cut(lively(Supernet(TINY), 0), small)
    supernet = Supernet(TINY).eval()
    with torch.no_grad():
        expected = subnet(images(small)).flatten()
        before = supernet(images(wide), wide).flatten()
        start_weights(supernet, subnet)
        after = supernet(images(wide), wide).flatten()
    near = torch.cosine_similarity(after, expected, dim=0)
    assert near > 0.8
    assert near > torch.cosine_similarity(before, expected, dim=0)


@pytest.mark.parametrize("options", [BlockOptions(), AUTHORS], ids=["clean", "authors"])
def test_a_cut_of_a_space_starts_from_its_supernet(options: BlockOptions) -> None:
    wide = replace(
        SMALL_MOBILE,
        name="wide",
        choices=tuple(
            tuple(sorted({*own, theirs[-1]})) if i else (*own, 96)
            for i, (own, theirs) in enumerate(
                zip(SMALL_MOBILE.choices, MOBILE.choices, strict=True)
            )
        ),
    )
    source = lively(Supernet(wide, options), 0)
    supernet = Supernet(SMALL_MOBILE, options).eval()
    start_weights(supernet, source)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for arch in (SMALL_MOBILE.smallest, SMALL_MOBILE.largest, *SMALL_MOBILE.sample(3, rng)):
            assert same(supernet(images(arch), arch), source(images(arch), arch))


def test_a_larger_space_starts_from_the_supernet_of_its_cut() -> None:
    cut = replace(TINY, name="cut", choices=tuple(c[:2] for c in TINY.choices))
    source = lively(Supernet(cut), 0)
    supernet = Supernet(TINY).eval()
    start_weights(supernet, source)
    with torch.no_grad():
        for arch in (cut.smallest, cut.largest):
            assert same(supernet(images(arch), arch), source(images(arch), arch))


def test_pairs_of_an_offset_that_differ_start_from_their_mean() -> None:
    subnet = lively(Subnet(MICRO.smallest, MICRO.layout), 0)
    supernet = Supernet(MICRO).eval()
    start_weights(supernet, subnet)
    (dense,) = [t for n, t in subnet.state_dict().items() if n.endswith("position_bias")]
    table = supernet.state_dict()["blocks.attn1_0_attention.core.position_bias"]
    centre = len(table) // 2  # the offset of a token to itself
    assert torch.allclose(table[centre, :2], dense.diagonal(dim1=1, dim2=2).mean(dim=1))


def test_other_classes_get_a_classifier_of_their_own() -> None:
    source = lively(Supernet(MICRO), 0)
    supernet = Supernet(MICRO.with_classes(3)).eval()
    name = "blocks.head_0_block.classifier.weight"
    before = supernet.state_dict()[name].clone()
    start_weights(supernet, source)
    assert torch.equal(supernet.state_dict()[name], before)
    hidden = "blocks.head_0_block.hidden.weight"
    assert torch.equal(supernet.state_dict()[hidden], source.state_dict()[hidden])


def test_networks_that_do_not_fit_are_refused() -> None:
    supernet = Supernet(MICRO)
    with pytest.raises(CheckpointError, match=r"another conv_strides.*\[2, 1\]"):
        start_weights(supernet, Supernet(TINY))
    with pytest.raises(CheckpointError, match="another norm, qkv"):
        start_weights(supernet, Supernet(MICRO, AUTHORS))
    outside = replace(MICRO.smallest, resolution=32)
    with pytest.raises(CheckpointError, match="gene resolution is 32"):
        start_weights(supernet, Subnet(outside, MICRO.layout))
    with pytest.raises(CheckpointError, match="another head_hidden"):
        start_weights(supernet, Subnet(MICRO.smallest, replace(MICRO.layout, head_hidden=32)))


def test_the_layouts_of_these_tests_are_those_of_the_presets() -> None:
    assert replace(SMALL_MOBILE.layout, classes=1000) == Layout() == MOBILE.layout
