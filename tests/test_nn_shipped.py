"""Supernets in one file, and those that come with the package."""

from importlib.resources import files
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_search import SMALL

import elasticvit as ev
from elasticvit.block_options import BlockOptions
from elasticvit.errors import CheckpointError
from elasticvit.nn.authors_file import read_authors_file
from elasticvit.nn.shipped import (
    JudgedSubnet,
    SupernetCard,
    list_supernets,
    load_card,
    read_supernet,
    save_supernet,
)
from elasticvit.nn.supernet import Supernet


@pytest.fixture
def card() -> SupernetCard:
    return SupernetCard(
        name="small",
        space=SMALL.to_toml(),
        options=BlockOptions(),
        data="digits",
        classes=("a", "b"),
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        training={"steps": 7},
        judged=(JudgedSubnet(architecture="x", macs_m=1.5, test_accuracy=50.0),),
        licence="MIT",
    )


def test_a_supernet_comes_back_within_16_bits(tmp_path: Path, card: SupernetCard) -> None:
    path = tmp_path / "small.safetensors"
    supernet = Supernet(SMALL)
    save_supernet(path, supernet, card)
    found = ev.load_supernet(path)
    assert load_card(path) == card
    assert found.space == SMALL
    assert not found.training
    for name, value in supernet.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_a_weight_too_large_for_16_bits_is_refused(tmp_path: Path, card: SupernetCard) -> None:
    supernet = Supernet(SMALL)
    name, weight = next(iter(supernet.named_parameters()))
    with torch.no_grad():
        weight.fill_(1e6)
    with pytest.raises(CheckpointError, match=f"{name} has values that 16 bits cannot hold"):
        save_supernet(tmp_path / "small.safetensors", supernet, card)
    assert not list(tmp_path.iterdir())


def test_what_is_no_supernet_is_refused(tmp_path: Path, card: SupernetCard) -> None:
    path = tmp_path / "small.safetensors"
    with pytest.raises(CheckpointError, match="no supernet 'tiny-imagenet'; with the package come"):
        read_supernet("tiny-imagenet")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_supernet(path)
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="has no card"):
        read_supernet(path)
    save_supernet(path, Supernet(SMALL), card)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="truncated"):
        read_supernet(path)


@pytest.mark.parametrize("name", list_supernets())
def test_those_that_come_with_the_package_hold_what_their_cards_say(name: str) -> None:
    card = load_card(name)
    supernet = ev.load_supernet(name)
    assert card.name == name
    assert supernet.space.layout.classes == len(card.classes)
    assert len(card.mean) == len(card.std) == supernet.space.layout.in_channels
    assert card.licence
    for subnet in card.judged:
        arch = ev.Arch.parse(subnet.architecture)
        assert supernet.space.valid(ev.ArchBatch.of([arch])).all()
        macs = ev.MacsCost(supernet.space).price(ev.ArchBatch.of([arch]))[0]
        assert subnet.macs_m == pytest.approx(macs)


def test_the_file_is_no_damaged_checkpoint_of_the_authors() -> None:
    path = Path(str(files("elasticvit") / "weights" / "tiny-cifar10.safetensors"))
    with pytest.raises(CheckpointError, match="and it is of a supernet of this project"):
        read_authors_file(path)
