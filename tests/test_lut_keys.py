"""Keys of subnets."""

import pytest
from hypothesis import given
from strategies import archs

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.kernels import Layout
from elasticvit.space import MOBILE, TINY
from lut.keys import SubnetKey, canonical, kind_of, layout_hash, modernised, subnet_key


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
        "subnet 10 abc r32 8x1e1k3",
        "subnet 10 abc r32 8x1e1k3 16x1e2k3 | 48x1m2",
        "ffn size=8 width=1",
    ],
)
def test_what_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(ArchError, match="not the key of a subnet"):
        SubnetKey.parse(text)


@given(archs(TINY))
def test_keys_of_earlier_versions_are_read_and_brought_to_the_present_form(arch: Arch) -> None:
    layout = TINY.with_classes(7).layout
    key = subnet_key(arch, layout)
    old = f"subnet 7 {layout_hash(layout)} {','.join(map(str, arch.genes))}"
    assert SubnetKey.parse(old) == SubnetKey.parse(key)
    assert SubnetKey.parse(old).arch(layout) == arch
    assert SubnetKey.parse(key).comma_form == old
    assert canonical(old) == canonical(key) == old
    for form in (old, key):
        assert modernised(form, [MOBILE.layout, TINY.layout]) == key  # whatever the classes
        assert modernised(form, [MOBILE.layout]) == form


def test_a_subnets_key_ends_in_the_text_form_of_its_architecture() -> None:
    key = subnet_key(TINY.smallest, TINY.layout)
    assert key == "subnet 10 1451c0b0 r32 8x1e1k3 16x1e2k3 24x1e2k3 | 48x1m2v2 64x1m2v2"


def test_a_kernels_key_has_one_form() -> None:
    key = "ffn size=8 width=96 mlp_ratio=2"
    assert canonical(key) == modernised(key, [TINY.layout]) == key
