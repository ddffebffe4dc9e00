"""Files loaded and run in fresh processes."""

import pytest
from onnx import TensorProto, helper

from elasticvit.errors import ExportError
from elasticvit.testing.export_format import ARCH, LAYOUT, small_subnet
from export import fresh_run
from export.direct import DirectBackend
from export.fresh_run import run_fresh
from export.onnx import OnnxBackend

SHAPE = (1, ARCH.resolution, ARCH.resolution, LAYOUT.in_channels)


def test_a_tflite_file_is_loaded_by_every_process_and_from_a_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fresh_run, "PROCESSES", 2)
    data = DirectBackend().convert(small_subnet())
    made = run_fresh(DirectBackend(), data, SHAPE, "a CPU")
    run = made.run
    assert (run.processes, run.threads, run.computer) == (2, 1, "a CPU")
    assert run.runtime.startswith("LiteRT ")
    assert run.runs == sum(len(samples) for samples in made.samples_us)
    assert len(made.samples_us) == 2
    assert run.low_ms <= run.steady_ms <= run.high_ms
    assert min(run.load_ms, run.first_ms) > 0
    # Python and the runtime hold tens of megabytes, which do not count as the file's
    assert len(data) / 2 < run.memory_bytes < run.baseline_bytes
    assert run.cached_load_ms is not None
    assert run.cached_memory_bytes is not None


def test_an_onnx_file_runs_in_onnxruntime() -> None:
    mean = helper.make_node("ReduceMean", ["image"], ["logits"], axes=[1, 2], keepdims=0)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, SHAPE[-1]))
    graph = helper.make_graph([mean], "mean", [image], [logits])
    opsets = [helper.make_opsetid("", 13)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    run = run_fresh(OnnxBackend(), data, SHAPE, "a CPU").run
    assert run.runtime.startswith("ONNX Runtime 1.")
    assert run.steady_ms > 0
    assert run.cached_load_ms is run.cached_memory_bytes is None


def test_a_format_of_another_package_is_loaded_by_its_own_backend() -> None:
    class Renamed(DirectBackend):
        tflite = False

    run = run_fresh(Renamed(), DirectBackend().convert(small_subnet()), SHAPE, "a CPU").run
    assert "ai-edge-litert" in run.runtime
    assert run.cached_load_ms is None


def test_a_file_that_does_not_load_is_one_message() -> None:
    with pytest.raises(ExportError, match=r"ended with code 1: .*; try another format") as caught:
        run_fresh(DirectBackend(), b"\0" * 100, SHAPE, "a CPU")
    assert caught.value.settings == ("format",)
    assert len(str(caught.value).splitlines()) == 1


def test_a_process_that_does_not_end_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_run, "TIMEOUT_S", 0.01)
    with pytest.raises(ExportError, match=r"did not end within 0\.01 s; close other programs"):
        run_fresh(DirectBackend(), b"\0" * 100, SHAPE, "a CPU")
