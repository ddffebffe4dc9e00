"""The published network: weights by the reference rule give the reference logits."""

import numpy as np
import pytest
import torch
from reference_network import ARCHS, reference_logits, rule_image, rule_weights

from elasticvit.errors import CheckpointError
from elasticvit.nn import Supernet
from elasticvit.nn.authors import load_authors
from elasticvit.nn.blocks import AUTHORS
from elasticvit.published import from_authors
from elasticvit.space import MOBILE


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return rule_weights()


@pytest.fixture(scope="module")
def supernet(state: dict[str, torch.Tensor]) -> Supernet:
    network = Supernet(MOBILE, AUTHORS).eval()
    load_authors(network, state)
    return network


@pytest.mark.parametrize("name", list(ARCHS))
def test_logits_match_the_reference(supernet: Supernet, name: str) -> None:
    arch = from_authors(ARCHS[name]["arch"])
    expected = reference_logits(name)
    with torch.no_grad():
        logits = supernet(rule_image(arch.resolution), arch)[0].numpy()
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()


def test_a_missing_weight_is_named(state: dict[str, torch.Tensor]) -> None:
    partial = {k: v for k, v in state.items() if k != "feature_exactor.3.layers.4.qkv.weight"}
    with pytest.raises(CheckpointError, match=r"feature_exactor\.3\.layers\.4\.qkv\.weight"):
        load_authors(Supernet(MOBILE, AUTHORS), partial)
