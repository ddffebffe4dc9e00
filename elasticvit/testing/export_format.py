"""What every export format must do, whatever it is.

Subclass `FormatContract` in a test file and provide the backend:

    class TestCoreML(FormatContract):
        @pytest.fixture
        def backend(self) -> Backend:
            return CoreMLBackend()
"""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from elasticvit.arch import Arch, AttnStage, ConvStage
from elasticvit.errors import ExportError
from elasticvit.kernels import Layout
from elasticvit.nn import BlockOptions, Subnet
from elasticvit.precisions import FP32, PRECISIONS
from export.backend import Backend, PreciseBackend
from export.inspect import operators
from export.parity import compare

# a network of few blocks, since converters take seconds a block; as many tokens as a head has
# channels (16), which converters that guess axes by their lengths get wrong
LAYOUT = Layout(
    conv_strides=(2,),
    conv_se=(True,),
    attn_strides=(2,),
    head_expansion=2,
    head_hidden=32,
    classes=10,
)
ARCH = Arch(32, ConvStage(8, 1, 1, 3), (ConvStage(16, 1, 2, 5),), (AttnStage(48, 1, 2, 2),))
MAX_REL_DIFF = 1e-4  # standard deviations of the logits
MAX_PRECISE_DIFF = 0.3  # the same in 8 bits
_FILES: dict[type[Backend], bytes] = {}
RESERVED_SUFFIXES = (".json", ".txt")  # card and class names lie beside the model


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with every weight and statistic random, in place, in evaluation mode and with
    activations of about unit scale.

    Fresh networks hold zeros and ones (biases, batch norms) that would hide a wrong fold.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=generator) - 0.5

    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if value.dim() > 1:
                value.copy_(uniform(value.shape) * (12 / value[0].numel()) ** 0.5)
            elif name.endswith(("weight", "running_var")):
                value.copy_(1 + uniform(value.shape))
            else:
                value.copy_(uniform(value.shape))
    return network.eval()


def small_subnet(options: BlockOptions | None = None) -> Subnet:
    """A subnet of a few blocks with random weights, in evaluation mode."""
    network = randomised(Subnet(ARCH, LAYOUT, options))
    assert isinstance(network, Subnet)
    return network


def random_batches(
    count: int = 2, size: int = 3, side: int = ARCH.resolution
) -> list[tuple[Tensor, Tensor]]:
    """Batches: random images (size, 3, side, side), by default as `small_subnet` takes them, and
    labels (size,)."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, 3, side, side, generator=generator),
            torch.randint(LAYOUT.classes, (size,), generator=generator),
        )
        for _ in range(count)
    ]


class FormatContract:
    """Fixture to provide: `backend`, the backend under test."""

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("provide the backend under test")

    @pytest.fixture
    def data(self, backend: Backend) -> bytes:
        """The file of `small_subnet`; a slow converter runs once for all tests."""
        if type(backend) not in _FILES:
            _FILES[type(backend)] = backend.convert(small_subnet())
        return _FILES[type(backend)]

    def test_name_and_suffix_can_be_used(self, backend: Backend) -> None:
        assert backend.name
        assert backend.name == backend.name.strip().lower()
        assert backend.suffix.startswith(".")
        assert len(backend.suffix) > 1
        assert backend.suffix not in RESERVED_SUFFIXES
        assert isinstance(backend.tflite, bool)

    def test_versions_name_libraries(self, backend: Backend) -> None:
        versions = backend.versions()
        assert versions
        assert all(isinstance(v, str) and v for item in versions.items() for v in item)

    def test_the_file_answers_as_torch_does(self, backend: Backend, data: bytes) -> None:
        parity = compare(small_subnet(), backend.load(data), random_batches())
        assert parity.images == 6
        assert parity.max_rel_diff < MAX_REL_DIFF
        assert parity.agreement == 100
        assert parity.torch_accuracy == parity.exported_accuracy
        parity.check(backend.name)

    def test_one_image_gives_one_row_of_logits(self, backend: Backend, data: bytes) -> None:
        image = np.zeros((1, ARCH.resolution, ARCH.resolution, LAYOUT.in_channels), np.float32)
        before = image.copy()
        logits = backend.load(data)(image)
        assert logits.shape == (LAYOUT.classes,)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        assert np.array_equal(image, before)

    def test_logits_are_kept_from_the_next_image(self, backend: Backend, data: bytes) -> None:
        model = backend.load(data)
        side = ARCH.resolution
        one, two = np.random.default_rng(0).normal(size=(2, 1, side, side, LAYOUT.in_channels))
        first = model(one.astype(np.float32))
        kept = first.copy()
        assert not np.array_equal(model(two.astype(np.float32)), kept)
        assert np.array_equal(first, kept)
        assert np.array_equal(model(one.astype(np.float32)), kept)

    def test_it_takes_all_precisions_or_none(self, backend: Backend, data: bytes) -> None:
        if not hasattr(backend, "in_precision"):
            return
        precise = cast("PreciseBackend", backend)
        calibration = [
            np.ascontiguousarray(images[i : i + 1].permute(0, 2, 3, 1).numpy())
            for images, _ in random_batches(count=8)
            for i in range(len(images))
        ]
        assert isinstance(precise.quantiser, str)
        plain = precise.tensor_types(data)
        for precision in (name for name in PRECISIONS if name != FP32):
            file = precise.in_precision(data, precision, calibration)
            assert len(file) < len(data)
            assert precise.tensor_types(file) != plain
            parity = compare(small_subnet(), backend.load(file), random_batches())
            assert 0 < parity.max_rel_diff < MAX_PRECISE_DIFF

    def test_a_conversion_leaves_the_subnet_as_it_was(self, backend: Backend) -> None:
        subnet = small_subnet()
        backend.convert(subnet)
        assert not subnet.training
        before = small_subnet().state_dict()
        after = subnet.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_a_file_that_is_no_model_is_refused(self, backend: Backend) -> None:
        with pytest.raises(ExportError):
            backend.load(b"\0" * 100)

    def test_a_tflite_file_is_one(self, backend: Backend, data: bytes) -> None:
        if backend.tflite:
            assert len(operators(data)) > 10
        else:
            with pytest.raises(ExportError):
                operators(data)
