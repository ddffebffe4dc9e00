"""What is held out, by the rule of every version."""

import numpy as np
import pytest

from elasticvit.errors import ArchError
from elasticvit.kernels import Layout
from elasticvit.space import MOBILE, TINY, SearchSpace
from lut.held_out import HeldOutSplit
from lut.keys import SubnetKey, subnet_key

# of the smallest, the largest and fourteen random subnets, as the first version held them out
OF_OLD = {
    ("tiny", 0): "0100010101100001",
    ("tiny", 7): "0100110101011100",
    ("mobile", 0): "0100011001011000",
    ("mobile", 7): "1111000110011000",
}


def keys(space: SearchSpace) -> list[str]:
    archs = [space.smallest, space.largest, *space.sample(14, np.random.default_rng(1))]
    return [subnet_key(arch, space.layout) for arch in archs]


@pytest.mark.parametrize("space", [TINY, MOBILE], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_held_out_subnets_are_those_of_the_first_version(space: SearchSpace, seed: int) -> None:
    split = HeldOutSplit(seed=seed)
    held = [split.held_out(key) for key in keys(space)]
    assert "".join(str(int(h)) for h in held) == OF_OLD[space.name, seed]
    old = [SubnetKey.parse(key).comma_form for key in keys(space)]
    assert [split.held_out(key) for key in old] == held


def test_the_first_conv_and_heads_of_any_classes_are_never_held_out() -> None:
    for seed in range(50):
        split = HeldOutSplit(seed=seed)
        assert not split.held_out("first_conv size=32 cin=3 cout=8")
        for classes in (2, 10, 100, 1000):
            assert not split.held_out(f"head size=4 width=64 expansion=2 hidden=256 {classes=}")


def test_a_key_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ArchError, match="not the key of a subnet"):
        HeldOutSplit(seed=0).held_out(f"subnet 10 {Layout().classes}")
