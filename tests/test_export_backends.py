"""Formats: a subnet becomes a file whose outputs are torch's."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from elasticvit.arch import Arch
from elasticvit.errors import ExportError
from elasticvit.nn import BlockOptions, Subnet
from elasticvit.space import TINY
from elasticvit.testing.export_format import (
    FormatContract,
    random_batches,
    randomised,
    small_subnet,
)
from export.backend import FORMATS, Backend, backend_of_card, find_backend, format_of_suffix
from export.inspect import delegation
from export.parity import compare
from export.quiet import converting

NO_ONNX2TF = importlib.util.find_spec("onnx2tf") is None
JOINT = BlockOptions(norm="joint")


class OwnFormat(FormatContract):
    """A format of this project, which the CPU delegate takes in one piece if it is TFLite."""

    name = ""

    @pytest.fixture
    def backend(self) -> Backend:
        return find_backend(self.name)

    def test_the_delegate_takes_all_of_it(self, backend: Backend, data: bytes) -> None:
        if backend.tflite:
            assert delegation(data).whole

    def test_torch_took_part(self, backend: Backend) -> None:
        assert "torch" in backend.versions()


class JointNorm(OwnFormat):
    """A format that is held to the authors' form of layer norm as well."""

    def test_the_joint_norm_is_exported_as_well(self, backend: Backend) -> None:
        network = small_subnet(JOINT)
        data = backend.convert(network)
        parity = compare(network, backend.load(data), random_batches())
        assert parity.max_rel_diff < 1e-4
        assert not backend.tflite or delegation(data).whole
        parity.check(self.name)


@pytest.mark.slow
class TestLiteRT(JointNorm):
    name = "tflite-litert-torch"


class TestDirect(JointNorm):
    name = "tflite"


@pytest.mark.slow
@pytest.mark.skipif(NO_ONNX2TF, reason="the extra onnx2tf is not installed")
class TestOnnx2TF(OwnFormat):
    name = "tflite-onnx2tf"

    def test_as_many_tokens_as_channels_are_not_exchanged(
        self, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]  # with onnx2tf's programs
        monkeypatch.setenv("PATH", os.pathsep.join(path))
        arch = Arch.parse("r64 8x1e1k3 16x1e2k3 24x1e2k3 | 64x1m2v2 64x1m2v2")  # 8 x 8 tokens
        network = randomised(Subnet(arch, TINY.layout))
        file = backend.load(backend.convert(network))
        parity = compare(network, file, random_batches(side=arch.resolution))
        assert parity.max_rel_diff < 1e-4


@pytest.mark.slow
class TestOnnx(JointNorm):
    name = "onnx"


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ExportError, match=r"no format 'coreml'; formats are tflite, .*onnx"):
        find_backend("coreml")


def test_an_earlier_name_is_told_the_present_one_and_still_read() -> None:
    with pytest.raises(ExportError, match="format tflite-direct is called tflite now"):
        find_backend("tflite-direct")
    assert backend_of_card("tflite-direct").name == "tflite"
    assert backend_of_card("onnx").name == "onnx"


def test_every_format_has_its_name_and_a_suffix() -> None:
    for name in FORMATS:
        backend = find_backend(name)
        assert backend.name == name
        assert backend.suffix in {".tflite", ".onnx"}


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2tf", None)  # what Python does for absent modules
    with pytest.raises(ExportError, match=r'pip install "elasticvit\[onnx2tf\]"'):
        find_backend("tflite-onnx2tf").convert(small_subnet())


def test_a_missing_converter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.litert.find_spec", lambda name: None)
    words = r'pip install "elasticvit\[litert-torch\]"` .* use format tflite'
    with pytest.raises(ExportError, match=words):
        find_backend("tflite-litert-torch").convert(small_subnet())


def test_a_converter_that_fails_says_why_and_gives_the_terminal_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def convert() -> None:
        with converting("somebody's converter"):
            print("chatter")
            os.write(1, b"of libraries\n")
            raise RuntimeError("no")

    with pytest.raises(ExportError) as caught:
        convert()
    assert str(caught.value) == "somebody's converter failed: RuntimeError: no"
    print("after")
    assert capfd.readouterr().out == "after\n"


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_a_file_that_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(ExportError, match="model"):
        find_backend(name).load(b"\0" * 100)


@pytest.mark.parametrize(("suffix", "name"), [(".tflite", "tflite"), (".onnx", "onnx")])
def test_a_suffix_tells_the_format(suffix: str, name: str) -> None:
    assert format_of_suffix(suffix) == name


def test_a_suffix_of_no_format_is_refused_with_the_formats() -> None:
    with pytest.raises(ExportError, match=r"no format makes \.h5; name one of tflite, "):
        format_of_suffix(".h5")


class Echo:
    """A model that answers like torch, changed by a function."""

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
    network = small_subnet()
    parity = compare(network, Echo(network, change), random_batches())
    with pytest.raises(ExportError, match=message):
        parity.check("this export")


def test_the_limit_bounds_the_images_and_none_are_refused() -> None:
    network, seen = small_subnet(), []
    runner = Echo(network, lambda y: y)
    parity = compare(network, runner, random_batches(), limit=4, progress=seen.append)
    assert (parity.images, seen) == (4, [1, 2, 3, 4])
    with pytest.raises(ExportError, match="no image"):
        compare(network, runner, [])
