"""Exported published networks give the logits of the authors' code."""

import numpy as np
import pytest
import torch
from reference_network import ARCHS, reference_logits, rule_image, rule_weights

from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.authors import load_authors
from elasticvit.nn.blocks import AUTHORS
from elasticvit.published import from_authors
from elasticvit.space import MOBILE
from export.backend import find_backend
from export.inspect import delegation

LARGEST_DIFF = 1e-3  # standard deviations of the logits


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    network = Supernet(MOBILE, AUTHORS).eval()
    load_authors(network, rule_weights())
    return network


def exported_logits(supernet: Supernet, name: str, form: str) -> np.ndarray:
    """Logits of the reference image after the round trip through a file of a format."""
    arch = from_authors(ARCHS[name]["arch"])
    backend = find_backend(form)
    data = backend.convert(Subnet.cut(supernet, arch))
    assert not backend.tflite or delegation(data).whole
    image = rule_image(arch.resolution).permute(0, 2, 3, 1).contiguous().numpy()
    return backend.load(data)(image)


@pytest.mark.parametrize("name", list(ARCHS))
def test_files_written_directly_give_the_reference_logits(supernet: Supernet, name: str) -> None:
    expected = reference_logits(name)
    with torch.no_grad():
        found = exported_logits(supernet, name, "tflite")
    assert np.abs(found - expected).max() < LARGEST_DIFF * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tflite-litert-torch", "onnx"])
@pytest.mark.parametrize("name", ["elastic_T1", "elastic_S1"])
def test_converted_files_give_the_reference_logits(
    supernet: Supernet, name: str, form: str
) -> None:
    expected = reference_logits(name)
    found = exported_logits(supernet, name, form)
    assert np.abs(found - expected).max() < LARGEST_DIFF * expected.std()
