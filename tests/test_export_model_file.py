"""What a TFLite file of any origin says of itself, and what the CPU delegate takes of it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from add_models import FLOAT32, INT8, INT32, add_model

from elasticvit.errors import ExportError
from elasticvit.kernels import FFN, FirstConv, Head, MBConv
from export import delegated
from export.delegated import delegation_apart
from export.kernel_models import kernel_model
from export.model_file import model_facts


@pytest.mark.parametrize(
    "kernel",
    [FirstConv(32, 3, 16), MBConv(8, 16, 16, 3, 5, 1, 0), FFN(4, 48, 3), Head(2, 32, 2, 64, 10)],
    ids=lambda kernel: kernel.kind,
)
def test_multiply_accumulates_counted_from_the_file_are_those_of_the_kernel(kernel: Any) -> None:
    facts = model_facts(kernel_model([kernel]))
    assert facts.macs_m == pytest.approx(kernel.macs / 1e6)
    assert facts.weight_type == "float32"


def test_inputs_are_told_with_types_and_open_dimensions() -> None:
    facts = model_facts(add_model(INT8, INT32, shape=(-1, 4)))
    assert [one.text for one in facts.inputs] == ["int8 ?x4", "int8 ?x4", "int32 ?x4", "int32 ?x4"]
    assert facts.inputs[0].runs_at == (1, 4)
    assert facts.operators == {"ADD": 2}
    assert facts.macs_m == 0
    assert facts.weight_type == ""


def test_several_subgraphs_are_counted_and_the_first_is_described() -> None:
    facts = model_facts(add_model(FLOAT32, subgraphs=3))
    assert (facts.subgraphs, facts.operators) == (3, {"ADD": 1})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x08\x07\x12\x07pytorch", "the identifier TFL3 is missing"),
        (add_model(FLOAT32)[:60], "a damaged TFLite model"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        model_facts(data)


def test_operators_that_stay_behind_are_named() -> None:
    taken = delegation_apart(add_model(FLOAT32, INT32))
    assert not taken.whole
    assert taken.left == {"ADD": 1}
    assert delegation_apart(add_model(FLOAT32)).whole


def test_a_file_that_the_runtime_refuses_is_told_with_its_reason() -> None:
    with pytest.raises(ExportError, match="LiteRT refuses the model: ValueError"):
        delegation_apart(add_model(FLOAT32)[:80])


def test_a_runtime_that_crashes_or_hangs_brings_only_its_own_process_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], -11, b"", b"")

    def hang(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(delegated.subprocess, "run", crash)
    with pytest.raises(ExportError, match="ended with code -11"):
        delegation_apart(b"")
    monkeypatch.setattr(delegated.subprocess, "run", hang)
    with pytest.raises(ExportError, match="does not answer"):
        delegation_apart(b"")
