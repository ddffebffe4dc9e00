"""Exported files in all formats and precisions: size, parity, latency, partitions, time to load.

    python benchmarks/precision.py [--formats tflite,onnx] [--images 200] [--rounds 40]
                                   [--only NAME] [--trained [--data CIFAR10]]

One JSON line, and a row a file on the error output. The subnets (`precision_cases.py`) are

- T1, S1, M and L3 of the published architectures and random subnets of the `mobile` space. There
  are no trained weights for these, so every weight and every statistic of a norm is random (fresh
  networks have norms whose branches vanish). Images are noise, and there is no accuracy; parity is
  what the arithmetic alone does.
- with `--trained` instead random subnets of the shipped `tiny-cifar10` supernet, with its trained
  weights: norms recalibrated, and files held against torch on CIFAR-10 test images.

Formats are all that there are, those of other packages too, unless `--formats` names some; each in
the precisions that it has. A file that a converter, a quantiser or a runtime refuses is a row with
the reason. Calibration of `int8-full` is by 256 images of the same kind, training images for
CIFAR-10. All precisions of a subnet in a format are timed in one process and thread, run by run in
turns, by the processor time of the process, which neighbours on the machine disturb least; latency
is the median, with the quartiles beside it, and `speed_up` the median of the ratios to fp32 of the
same round. Loading is timed in fresh processes by the clock, as by an export. XNNPACK computes fp16
in fp32 on x86.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from conflict import CIFAR
from precision_cases import Case, random_weights, trained

from devices.host.facts import cpu_model
from elasticvit.errors import ExportError
from elasticvit.precisions import FP32, PRECISIONS
from export.backend import Backend, LoadedModel, find_backend, format_names
from export.conversion import convert, in_precision, inspect, load, precisions_of
from export.fresh_run import run_fresh
from export.parity import logits_of, parity_of

WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--formats", default=",".join(format_names()), help="with commas between")
    parser.add_argument("--trained", action="store_true", help="subnets with trained weights")
    parser.add_argument("--data", default=str(CIFAR), help="CIFAR-10, as `evit-train` takes it")
    parser.add_argument("--images", type=int, default=200, help="images to compare on")
    parser.add_argument("--accuracy-images", type=int, default=2000, help="CIFAR-10 test images")
    parser.add_argument("--rounds", type=int, default=40, help="runs of each file that are timed")
    parser.add_argument("--only", action="append", help="subnets whose name begins so; repeat")
    options = parser.parse_args()
    only = tuple(options.only or [""])
    backends = [find_backend(name) for name in options.formats.split(",")]
    torch.set_num_threads(1)
    if options.trained:
        cases = trained(options.data, options.accuracy_images, only)
    else:
        cases = random_weights(options.images, only)
    rows = []
    for case in cases:
        reference = torch_logits(case)
        for backend in backends:
            for row in measured(case, backend, reference, options.rounds):
                rows.append(row)
                print({k: v for k, v in row.items() if k != "arch"}, file=sys.stderr)
    result = {
        "benchmark": "precision",
        "cpu": cpu_model(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "threads": 1,
        "rounds": options.rounds,
        "rows": rows,
        "speed_up": summaries(rows, "speed_up"),
        "size_ratio": summaries(rows, "size_ratio"),
    }
    print(json.dumps(result))


def measured(
    case: Case, backend: Backend, reference: npt.NDArray[Any], rounds: int
) -> Iterator[dict[str, Any]]:
    """A row a precision of one subnet in one format."""
    files: dict[str, bytes] = {}
    models: dict[str, LoadedModel] = {}
    known: dict[str, dict[str, Any]] = {}
    for precision in precisions_of(backend):
        head = {"name": case.name, "arch": str(case.subnet.arch), "format": backend.name}
        known[precision] = head | {"precision": precision}
        start = time.perf_counter()
        try:
            data = made(case, backend, precision, files.get(FP32))
            seconds = time.perf_counter() - start
            models[precision] = load(backend, data)
            files[precision] = data
            known[precision] |= proofs(case, backend, data, models[precision], reference)
            known[precision]["made_s"] = round(seconds, 2)
        except ExportError as error:
            models.pop(precision, None)
            known[precision]["refused"] = str(error)
            if precision == FP32:
                break
    times = timed(models, case, rounds)
    for precision, row in known.items():
        if precision in models:
            row |= latency(times[precision], times[FP32])
            row["size_ratio"] = round(len(files[precision]) / len(files[FP32]), 3)
        yield row


def made(case: Case, backend: Backend, precision: str, plain: bytes | None) -> bytes:
    """The file in a precision, which is made of the one in fp32."""
    if plain is None:
        return convert(backend, case.subnet)
    return in_precision(backend, plain, precision, case.calibration)


def proofs(
    case: Case, backend: Backend, data: bytes, model: LoadedModel, reference: npt.NDArray[Any]
) -> dict[str, Any]:
    """What an export proves of a file: logits against torch's, partitions, time to load."""
    logits = np.stack([logits_of(model, image, reference.shape[1:]) for image in case.images])
    labels = np.zeros(len(logits), np.int64) if case.labels is None else case.labels
    parity = parity_of(reference, logits, labels)
    fresh = run_fresh(backend, data, case.images[0].shape, cpu_model()).run
    found: dict[str, Any] = {
        "mb": round(len(data) / 1e6, 3),
        "images": parity.images,
        "max_rel_diff": round(parity.max_rel_diff, 6),
        "least_cosine": round(parity.min_cosine or 0.0, 6),
        "agreement": round(parity.agreement, 2),
        "partitions": inspect(backend, data)[1],
        "load_ms": round(fresh.load_ms, 2),
        "memory_mb": round(fresh.memory_bytes / 1e6, 1),
    }
    if case.labels is not None:
        found["torch_accuracy"], found["accuracy"] = parity.torch_accuracy, parity.exported_accuracy
    return found


def torch_logits(case: Case) -> npt.NDArray[Any]:
    """Logits of torch (n, classes), before the network is fused."""
    found = []
    with torch.inference_mode():
        for image in case.images:
            found.append(case.subnet(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()[0])
    return np.stack(found)


def timed(models: Mapping[str, LoadedModel], case: Case, rounds: int) -> dict[str, Any]:
    """Milliseconds of processor time of each run of each model on one image, run in turns."""
    samples: dict[str, list[float]] = {name: [] for name in models}
    for number in range(WARM_UP + rounds):
        for name, model in models.items():
            start = time.process_time()
            model(case.images[0])
            if number >= WARM_UP:
                samples[name].append(1e3 * (time.process_time() - start))
    return {name: np.array(values) for name, values in samples.items()}


def latency(own: npt.NDArray[Any], fp32: npt.NDArray[Any]) -> dict[str, Any]:
    """Latency of a file, by its runs and those of fp32 in the same rounds."""
    quarter, middle, three = np.quantile(own, (0.25, 0.5, 0.75))
    return {
        "ms": round(float(middle), 3),
        "ms_quartiles": [round(float(quarter), 3), round(float(three), 3)],
        "ms_least": round(float(own.min()), 3),
        "speed_up": round(float(np.median(fp32 / own)), 3),
    }


def summaries(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """Median and extremes of a figure over the subnets, by format and precision but fp32."""
    found: dict[str, dict[str, Any]] = {}
    for form in dict.fromkeys(row["format"] for row in rows):
        for precision in PRECISIONS[1:]:
            values = [
                row[name]
                for row in rows
                if (row["format"], row["precision"]) == (form, precision) and name in row
            ]
            if values:
                found.setdefault(form, {})[precision] = {
                    "median": round(float(np.median(values)), 3),
                    "least": min(values),
                    "most": max(values),
                }
    return found


if __name__ == "__main__":
    main()
