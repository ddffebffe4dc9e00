"""The published network with weights by a rule, and what the authors' code answers with them."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

REFERENCE = Path(__file__).parent / "reference"
ARCHS = json.loads((REFERENCE / "official_archs.json").read_text())
LAYOUT = json.loads((REFERENCE / "official_state_dict_layout.json").read_text())


def reference_logits(name: str) -> np.ndarray:
    """Logits (1000,) of the authors' code for `rule_image`, of one of `ARCHS`."""
    logits: np.ndarray = np.load(REFERENCE / "official_logits.npz")[name]
    return logits


def rule_weights() -> dict[str, torch.Tensor]:
    """The weights of the whole supernet by the authors' names."""
    return {name: rule_weight(name, shape) for name, shape in LAYOUT}


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
