"""Formats: a subnet becomes a file whose outputs are torch's."""

import importlib.util
import os
import sys

import numpy as np
import pytest
import torch
from export_models import randomised

from elasticvit.arch import Arch, AttnStage, ConvStage
from elasticvit.errors import ExportError
from elasticvit.kernels import Layout
from elasticvit.nn import BlockOptions, Subnet
from export.backend import FORMATS, find_backend
from export.inspect import delegation
from export.parity import Parity, compare
from export.quiet import converting

# a network of few blocks, as converters take seconds a block; as many tokens as a head has
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


def subnet(options: BlockOptions | None = None) -> Subnet:
    network = randomised(Subnet(ARCH, LAYOUT, options))
    assert isinstance(network, Subnet)
    return network


def batches(count: int = 2, size: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    side = ARCH.resolution
    return [
        (
            torch.randn(size, 3, side, side, generator=generator),
            torch.randint(10, (size,), generator=generator),
        )
        for _ in range(count)
    ]


NO_ONNX2TF = importlib.util.find_spec("onnx2tf") is None
JOINT = BlockOptions(norm="joint")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tflite", BlockOptions()),
        ("tflite-direct", BlockOptions()),
        pytest.param(
            "tflite-onnx2tf",
            BlockOptions(),
            marks=pytest.mark.skipif(NO_ONNX2TF, reason="the extra onnx2tf is not installed"),
        ),
        ("onnx", BlockOptions()),
        ("onnx", JOINT),
    ],
)
def test_an_exported_subnet_says_what_torch_says(name: str, options: BlockOptions) -> None:
    network, backend = subnet(options), find_backend(name)
    data = backend.convert(network)
    parity = compare(network, backend.load(data), batches())
    assert parity.images == 6
    assert parity.max_rel_diff < 1e-4
    assert parity.agreement == 100
    assert parity.torch_accuracy == parity.exported_accuracy
    parity.check(name)
    if backend.tflite:
        assert delegation(data).whole
    assert "torch" in backend.versions()


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ExportError, match=r"no format 'coreml'; formats are tflite, .*onnx"):
        find_backend("coreml")


def test_every_format_has_its_name_and_a_suffix() -> None:
    for name in FORMATS:
        backend = find_backend(name)
        assert backend.name == name
        assert backend.suffix in {".tflite", ".onnx"}


def test_the_direct_format_refuses_a_norm_that_it_does_not_write() -> None:
    with pytest.raises(ExportError, match=r"this subnet's are 'joint'; use --format tflite"):
        find_backend("tflite-direct").convert(subnet(JOINT))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2tf", None)  # what Python does for absent modules
    with pytest.raises(ExportError, match=r'pip install "elasticvit\[onnx2tf\]"'):
        find_backend("tflite-onnx2tf").convert(subnet())


def test_a_converter_that_fails_says_why_and_gives_the_terminal_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def convert() -> None:
        with converting("somebody's converter"):
            print("chatter")
            os.write(1, b"of libraries\n")
            raise RuntimeError("no")

    with pytest.raises(ExportError, match=r"(?s)somebody's converter failed: no\n.*chatter"):
        convert()
    print("after")
    assert capfd.readouterr().out == "after\n"


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_a_file_that_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(ExportError, match="model"):
        find_backend(name).load(b"\0" * 100)


class Echo:
    """A runner that answers like torch, changed by a function."""

    def __init__(self, network: Subnet, change) -> None:
        self.network, self.change = network, change

    def __call__(self, image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = self.network(torch.from_numpy(image).permute(0, 3, 1, 2))
        return self.change(logits[0].numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + 0.1, "logits by up to 0.1"),
        (lambda y: y * np.nan, "logits by up to nan"),
        (np.negative, "logits by up to"),
    ],
)
def test_a_model_that_says_something_else_is_refused(change, message: str) -> None:
    network = subnet()
    parity = compare(network, Echo(network, change), batches())
    with pytest.raises(ExportError, match=message):
        parity.check("this export")


def test_a_lost_half_point_of_accuracy_is_refused() -> None:
    parity = Parity(
        images=1000,
        max_abs_diff=0.0,
        max_rel_diff=0.0,
        agreement=99.0,
        torch_accuracy=90.0,
        exported_accuracy=89.4,
    )
    with pytest.raises(ExportError, match=r"89\.40 % on 1000 images, torch 90\.00 %"):
        parity.check("this export")


def test_the_limit_bounds_the_images_and_none_are_refused() -> None:
    network, seen = subnet(), []
    runner = Echo(network, lambda y: y)
    parity = compare(network, runner, batches(), limit=4, progress=seen.append)
    assert (parity.images, seen) == (4, [1, 2, 3, 4])
    with pytest.raises(ExportError, match="no image"):
        compare(network, runner, [])
