"""Converters that fail: one message with the format, the cause in one line, and another format."""

import errno
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from export_models import SEARCHED

from elasticvit.errors import DataError, ExportError, FileError, NextStep
from elasticvit.nn import Subnet
from elasticvit.precisions import PRECISIONS
from elasticvit.space import TINY
from export.backend import FORMATS, find_backend
from export.conversion import convert, in_precision, inspect, load, precisions_of
from export.parity import compare
from export.quiet import converting


class Odd:
    """A backend whose converter and runtime do what they are told."""

    name, suffix, tflite = "odd", ".odd", False

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def convert(self, subnet: Subnet) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def load(self, data: bytes) -> Any:
        return self.convert(Subnet.__new__(Subnet))

    def versions(self) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module")
def subnet() -> Subnet:
    return Subnet(SEARCHED, TINY.layout).eval()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (KeyError("serving_default"), "KeyError: 'serving_default'"),
        (RuntimeError("\n\nno kernel\nsee above\n"), "RuntimeError: no kernel"),
        (AssertionError(), "AssertionError"),
        (ExportError("somebody failed: no"), "somebody failed: no"),
        (ValueError("x" * 10_000), "ValueError: x+ \\.\\.\\."),
        (None, "its converter gave None instead of a file's content"),
        (b"", "instead of a file's content"),
    ],
    ids=["key", "lines", "assertion", "own", "long", "none", "empty"],
)
def test_whatever_a_converter_raises_is_one_line(subnet: Subnet, answer: Any, cause: str) -> None:
    with pytest.raises(ExportError, match=f"format odd cannot convert .*{cause}; try") as caught:
        convert(Odd(answer), subnet)
    assert "try format tflite" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500
    assert caught.value.settings == ("format",)


def test_errors_that_say_what_to_do_stay_as_they_are(subnet: Subnet) -> None:
    for error in (
        ExportError("use format tflite", settings=["format"]),
        ExportError("train again", next_step=NextStep("train")),
        DataError("gone"),
    ):
        with pytest.raises(type(error)) as caught:
            convert(Odd(error), subnet)
        assert caught.value is error


def test_a_default_format_that_fails_names_another_one(
    subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Odd(RuntimeError("no"))
    monkeypatch.setattr(backend, "name", "tflite", raising=False)
    with pytest.raises(ExportError, match="try format tflite-litert-torch"):
        convert(backend, subnet)


def test_a_format_declares_its_precisions() -> None:
    odd = Odd(b"file")
    assert precisions_of(odd) == ("fp32",)
    assert all(precisions_of(find_backend(name)) == PRECISIONS for name in FORMATS)
    with pytest.raises(ExportError, match="format odd makes fp32 files only, precision is int8"):
        in_precision(odd, b"file", "int8")


def test_a_runtime_that_refuses_the_file_is_told(subnet: Subnet) -> None:
    with pytest.raises(ExportError, match=r"format odd made a file .* refuses: OSError: no; try"):
        load(Odd(OSError("no")), b"model")
    with pytest.raises(ExportError, match="format odd made a file that is not a TFLite model"):
        inspect(SimpleNamespace(name="odd", tflite=True), b"0000TFL3" + bytes(100))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda image: {}[0], "fails on an image: KeyError: 0"),
        (
            lambda image: np.zeros(3, np.float32),
            r"of shape \\(3,\\), torch logits of shape \\(10,\\)",
        ),
        (lambda image: np.zeros(10, np.int8), "gives int8 outputs"),
        (lambda image: "logits", "outputs of shape"),
        (lambda image: None, "outputs of shape"),
    ],
)
def test_a_model_that_gives_no_logits_is_refused(subnet: Subnet, answer: Any, words: str) -> None:
    side = SEARCHED.resolution
    batches = [(torch.zeros(2, 3, side, side), torch.zeros(2, dtype=torch.int64))]
    with pytest.raises(ExportError, match=words.replace("\\\\", "\\")) as caught:
        compare(subnet, answer, batches)
    assert caught.value.settings == ("format",)


def test_a_full_disk_is_not_the_converters_fault() -> None:
    with (
        pytest.raises(FileError, match="/tmp/x cannot be written: No space left on device; free"),
        converting("somebody's converter"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
    with pytest.raises(ExportError, match="FileNotFoundError"), converting("somebody's converter"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "out/model.tflite")


def test_what_a_silent_error_wrote_is_the_cause() -> None:
    def convert_silently() -> None:
        with converting("a converter"):
            print("loading\nerror: op not supported\n")
            raise SystemError

    with pytest.raises(ExportError, match=r"converter failed: error: op not supported$"):
        convert_silently()


@pytest.mark.parametrize("closed", ["1", "2", "1, 2"])
def test_a_closed_terminal_stays_closed(closed: str) -> None:
    code = (
        f"import os\nfor number in ({closed},): os.close(number)\n"
        "from export.quiet import converting\n"
        "with converting('a converter'): print('chatter'); os.write(1, b'more') if 0 else None\n"
        "os._exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (7, b"")
