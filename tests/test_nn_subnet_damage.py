"""A damaged subnet file is refused with its file and field, in words of ours, and at once."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.errors import CheckpointError, NextStep
from elasticvit.nn import Subnet
from elasticvit.space import TINY

WEIGHT = "blocks.0.conv.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("subnet") / "subnet.pt"
    torch.manual_seed(0)
    Subnet(TINY.smallest, TINY.layout).save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        Subnet.load(path)
    text = str(refused.value)
    assert str(path) in text
    assert "weights_only" not in text
    assert "\n" not in text
    assert refused.value.next_step == NextStep("search")
    return text


@pytest.mark.parametrize("value", ["removed", None, -1, "text", [], {}, torch.zeros(2)])
@pytest.mark.parametrize("name", ["schema", "arch", "layout", "options", "weights"])
def test_no_entry_can_be_lacking_or_of_another_type(
    whole: Path, tmp_path: Path, name: str, value: Any
) -> None:
    data = torch.load(whole, weights_only=True)
    data[name] = value
    if isinstance(value, str) and value == "removed":
        del data[name]
    path = tmp_path / "subnet.pt"
    torch.save(data, path)
    if name in ("options", "layout") and value == {}:  # the defaults of all fields
        if name == "options":
            assert Subnet.load(path).options == Subnet.load(whole).options
            return
        name = "architecture"  # it has other stages than the default layout
    assert name in refusal(path)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("arch", "resolution"), 0, "gene resolution is 0"),
        (("arch", "resolution"), "32", "arch.resolution is '32'"),
        (("arch", "stem", "depth"), 30_000, "weights are of another network"),
        (("arch", "conv"), [], "architecture with 0 convolutional"),
        (("arch", "conv", 0, "width"), 30_000, "must be 30000"),
        (("arch", "resolution"), 30_000, "position_bias is"),
        (("layout", "head_hidden"), 65_536, "it must be 65536 x"),
        (("layout", "head_hidden"), -1, "head_hidden is -1"),
        (("layout", "attn_strides"), [9, 1], "attn_strides is [9, 1]"),
        (("options", "norm"), "none", "options.norm is 'none'"),
        (("options", "head_dropout"), 1.0, "options.head_dropout is 1.0"),
        (("weights", WEIGHT), torch.full((8, 3, 3, 3), float("nan")), "not finite"),
        (("weights", WEIGHT), torch.zeros(8, 3, 3, 3, dtype=torch.float16), "of float16"),
        (("weights", WEIGHT), torch.zeros(1).expand(10**9), "is 1000000000 of float32"),
    ],
)
def test_values_that_cannot_be_are_named(
    whole: Path, tmp_path: Path, place: tuple[Any, ...], value: Any, words: str
) -> None:
    data = deepcopy(torch.load(whole, weights_only=True))
    part = data
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    torch.save(data, tmp_path / "subnet.pt")
    assert words in refusal(tmp_path / "subnet.pt")


def test_a_program_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "subnet.pt"
    torch.save(torch.nn.Linear(1, 1), path)
    assert "holds things other than tensors, numbers and texts" in refusal(path)
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    assert "torch.save did not write it" in refusal(path)
    torch.save({"schema": 1}, path, _use_new_zipfile_serialization=False)
    assert "the form that torch had before 1.6" in refusal(path)


@given(start=st.floats(0, 1), length=st.integers(0, 200), fill=st.binary(max_size=200))
@settings(max_examples=40, deadline=None)
def test_garbled_bytes_are_refused_or_change_nothing(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, start: float, length: int, fill: bytes
) -> None:
    raw = whole.read_bytes()
    at = int(start * len(raw))
    path = tmp_path_factory.mktemp("garbled") / "subnet.pt"
    path.write_bytes(raw[:at] + fill + raw[at + length :])
    expected = Subnet.load(whole)
    try:
        found = Subnet.load(path)
    except CheckpointError:
        refusal(path)
    else:
        assert found.arch == expected.arch
        for name, tensor in expected.state_dict().items():
            assert torch.equal(found.state_dict()[name], tensor)
