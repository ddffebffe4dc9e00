"""Keys of subnets."""

import pytest
from hypothesis import given
from strategies import archs

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.kernels import Layout
from elasticvit.space import MOBILE, TINY
from lut.keys import SubnetKey, kind_of, layout_hash, subnet_key


@given(archs(TINY))
def test_a_subnets_key_gives_the_subnet_back(arch: Arch) -> None:
    key = subnet_key(arch, TINY.layout)
    assert SubnetKey.parse(key).arch(TINY.layout) == arch
    assert kind_of(key) == "subnet"


def test_a_subnets_key_tells_layouts_apart() -> None:
    arch = TINY.smallest
    others = [
        Layout(**{**vars(TINY.layout), name: value})
        for name, value in (
            ("classes", 11),
            ("head_hidden", 128),
            ("head_expansion", 3),
            ("conv_strides", (1, 2)),
            ("conv_se", (True, True)),
            ("in_channels", 1),
        )
    ]
    keys = {subnet_key(arch, layout) for layout in [TINY.layout, *others]}
    assert len(keys) == 7
    assert len({layout_hash(layout) for layout in others}) == 6


def test_a_subnet_of_another_layout_is_refused() -> None:
    key = SubnetKey.parse(subnet_key(TINY.smallest, TINY.layout))
    with pytest.raises(ArchError, match="other strides, another head or other classes"):
        key.arch(MOBILE.layout)
    with pytest.raises(ArchError):
        key.arch(TINY.with_classes(3).layout)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "subnet",
        "subnet 10 abc",
        "subnet ten abc 1,2",
        "subnet 10 abc 1,x",
        "ffn size=8 width=1",
    ],
)
def test_what_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(ArchError, match="not the key of a subnet"):
        SubnetKey.parse(text)
