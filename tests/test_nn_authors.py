"""The published network: weights by the reference rule give the reference logits."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from elasticvit.errors import CheckpointError
from elasticvit.nn import Supernet
from elasticvit.nn.authors import load_authors
from elasticvit.nn.blocks import AUTHORS
from elasticvit.published import from_authors
from elasticvit.space import MOBILE

REFERENCE = Path(__file__).parent / "reference"
ARCHS = json.loads((REFERENCE / "official_archs.json").read_text())
LAYOUT = json.loads((REFERENCE / "official_state_dict_layout.json").read_text())


def rule_weight(name: str, shape: list[int]) -> torch.Tensor:
    """The weights rule of the reference data: a cosine of position and name."""
    n = int(np.prod(shape))
    c = np.cos(0.7390851 * (np.arange(n) + 1) + zlib.crc32(name.encode()) % 10007)
    owner, _, leaf = name.rpartition(".")
    owner = owner.rpartition(".")[2]
    normed = "norm" in owner or "bn" in owner
    if leaf == "running_var":
        value = 1 + 0.5 * c
    elif leaf == "running_mean":
        value = 0.1 * c
    elif normed and leaf == "weight":
        value = 1 + 0.1 * c
    elif leaf == "bias":
        value = 0.1 * c
    elif leaf == "attention_bias":
        value = 0.5 * c
    else:
        value = c * np.sqrt(2 / np.prod(shape[1:])) * 1.4142135
    return torch.from_numpy(value.astype(np.float32).reshape(shape))


def rule_image(resolution: int) -> torch.Tensor:
    i = np.arange(3 * resolution * resolution)
    image = np.sin(0.013 * i + 0.3 * np.cos(0.0007 * i)).astype(np.float32)
    return torch.from_numpy(image.reshape(1, 3, resolution, resolution))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return {name: rule_weight(name, shape) for name, shape in LAYOUT}


@pytest.fixture(scope="module")
def supernet(state: dict[str, torch.Tensor]) -> Supernet:
    network = Supernet(MOBILE, AUTHORS).eval()
    load_authors(network, state)
    return network


@pytest.mark.parametrize("name", list(ARCHS))
def test_logits_match_the_reference(supernet: Supernet, name: str) -> None:
    arch = from_authors(ARCHS[name]["arch"])
    expected = np.load(REFERENCE / "official_logits.npz")[name]
    with torch.no_grad():
        logits = supernet(rule_image(arch.resolution), arch)[0].numpy()
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()


def test_a_missing_weight_is_named(state: dict[str, torch.Tensor]) -> None:
    partial = {k: v for k, v in state.items() if k != "feature_exactor.3.layers.4.qkv.weight"}
    with pytest.raises(CheckpointError, match=r"feature_exactor\.3\.layers\.4\.qkv\.weight"):
        load_authors(Supernet(MOBILE, AUTHORS), partial)
