"""Precisions of exported files: size, parity, accuracy, latency and partitions side by side.

    python benchmarks/precision.py [--data CIFAR10] [--images 200] [--rounds 40] [--only NAME]

One JSON line, and a table on the error output. The files are TFLite, written directly, of

- T1, S1, M and L3 of the published architectures and of random subnets of the `mobile` space. There
  are no trained weights for these, so every weight and every statistic of a norm is random (fresh
  networks have norms whose branches vanish). Images are noise, and there is no accuracy; parity is
  what the arithmetic alone does.
- random subnets of the shipped `tiny-cifar10` supernet, with its trained weights, if `--data` is
  given: norms recalibrated, and files held against torch on CIFAR-10 test images.

Calibration of `int8-full` is by 256 images of the same kind, training images for CIFAR-10. All
precisions of an architecture are timed in one process and thread, run by run in turns, so that what
else the machine does hits them alike; latency is the median, with the quartiles beside it. XNNPACK
computes fp16 in fp32 on x86.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ai_edge_litert.interpreter import Interpreter

from devices.host.facts import cpu_model
from elasticvit.arrays import Float32Array
from elasticvit.flows.export_calibration import calibration_images
from elasticvit.nn import Subnet
from elasticvit.nn.judging import recalibrate
from elasticvit.nn.shipped import card_space, load_card, read_supernet
from elasticvit.precisions import FP32, PRECISIONS
from elasticvit.published import published
from elasticvit.space import MOBILE
from elasticvit.testing.export_format import randomised
from elasticvit.training.data import open_data
from export.calibration import IMAGES
from export.direct import DirectBackend
from export.inspect import delegation
from export.litert import LiteRTModel
from export.precision import in_precision

PUBLISHED = ("T1", "S1", "M", "L3")
RANDOM_SUBNETS, TRAINED_SUBNETS = 3, 3
SHIPPED = "tiny-cifar10"
RECALIBRATION_BATCHES = 30
WARM_UP = 3


@dataclass(frozen=True)
class Case:
    """A subnet with images to calibrate by, images to compare on, and their classes, if any."""

    name: str
    subnet: Subnet
    calibration: list[Float32Array]
    images: Float32Array
    labels: npt.NDArray[Any] | None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", help="CIFAR-10, as `evit-train --data` takes it")
    parser.add_argument("--images", type=int, default=200, help="images to compare on")
    parser.add_argument("--accuracy-images", type=int, default=2000, help="CIFAR-10 test images")
    parser.add_argument("--rounds", type=int, default=40, help="runs of each file that are timed")
    parser.add_argument("--only", action="append", help="subnets whose name begins so; repeat")
    options = parser.parse_args()
    only = tuple(options.only or [""])
    torch.set_num_threads(1)
    rows = []
    cases = [random_weights(options.images, only)]
    if options.data is not None:
        cases.append(trained(options.data, options.accuracy_images, only))
    for case in (case for group in cases for case in group):
        rows += measured(case, options.rounds)
    result = {
        "benchmark": "precision",
        "cpu": cpu_model(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "threads": 1,
        "rounds": options.rounds,
        "rows": rows,
        "speed_up": {
            name: summary([row["speed_up"] for row in rows if row["precision"] == name])
            for name in PRECISIONS[1:]
        },
        "size_ratio": {
            name: summary([row["size_ratio"] for row in rows if row["precision"] == name])
            for name in PRECISIONS[1:]
        },
    }
    print(json.dumps(result))


def random_weights(count: int, only: tuple[str, ...]) -> Iterator[Case]:
    """Published and random architectures of the `mobile` space, with random weights and noise."""
    rng = np.random.default_rng(0)
    archs = {name: published(name) for name in PUBLISHED}
    for number, arch in enumerate(MOBILE.sample(RANDOM_SUBNETS, rng), 1):
        archs[f"mobile random {number}"] = arch
    for name, arch in archs.items():
        if not name.startswith(only):
            continue
        side, seed = arch.resolution, np.random.default_rng(1)
        noise = seed.standard_normal((IMAGES + count, 1, side, side, 3), dtype=np.float32)
        subnet = randomised(Subnet(arch, MOBILE.layout))
        assert isinstance(subnet, Subnet)
        yield Case(name, subnet, list(noise[:IMAGES]), noise[IMAGES:], None)


def trained(data: str, count: int, only: tuple[str, ...]) -> Iterator[Case]:
    """Random subnets of the shipped supernet, with CIFAR-10's images."""
    images, card = open_data(data), load_card(SHIPPED)
    space, supernet = card_space(card, SHIPPED), read_supernet(SHIPPED)
    for number, arch in enumerate(space.sample(TRAINED_SUBNETS, np.random.default_rng(0)), 1):
        name, size = f"{SHIPPED} random {number}", arch.resolution
        if not name.startswith(only):
            continue
        loader = images.loader("train", resolution=size, batch_size=64, shuffle=True, seed=1)
        subnet = recalibrate(Subnet.cut(supernet, arch).eval(), loader, RECALIBRATION_BATCHES)
        chosen, _ = calibration_images(images, size)
        test = images.loader("test", resolution=size, batch_size=count, shuffle=True)
        batch, labels = next(iter(test))
        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())[:, None]
        yield Case(name, subnet, chosen, pixels, labels.numpy())


def measured(case: Case, rounds: int) -> list[dict[str, Any]]:
    """A row a precision of one subnet."""
    plain = DirectBackend().convert(case.subnet)
    files, seconds = {}, {}
    for name in PRECISIONS:
        start = time.perf_counter()
        files[name] = in_precision(plain, name, case.calibration)
        seconds[name] = time.perf_counter() - start
    times = timed(files, case.images[0], rounds)
    reference = torch_logits(case)
    rows = []
    for name, data in files.items():
        quarter, middle, three = np.quantile(times[name], (0.25, 0.5, 0.75))
        row = {
            "name": case.name,
            "arch": str(case.subnet.arch),
            "precision": name,
            "mb": round(len(data) / 1e6, 3),
            "size_ratio": round(len(data) / len(plain), 3),
            **parity(reference, data, case),
            "ms": round(float(middle), 3),
            "ms_quartiles": [round(float(quarter), 3), round(float(three), 3)],
            "ms_least": round(float(times[name].min()), 3),
            "speed_up": round(float(np.median(times[FP32] / times[name])), 3),
            "partitions": delegation(data).partitions,
            "quantise_s": round(seconds[name], 2),
        }
        rows.append(row)
        told = {k: v for k, v in row.items() if k not in ("arch", "name")}
        print(f"{case.name}: {told}", file=sys.stderr)
    return rows


def torch_logits(case: Case) -> npt.NDArray[Any]:
    """Logits of torch (n, classes), before the network is fused."""
    found = []
    with torch.inference_mode():
        for image in case.images:
            found.append(case.subnet(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()[0])
    return np.stack(found)


def parity(reference: npt.NDArray[Any], data: bytes, case: Case) -> dict[str, Any]:
    """A file's logits against torch's: differences in standard deviations of torch's logits."""
    model = LiteRTModel(data)
    logits = np.stack([model(image) for image in case.images])
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(reference, axis=1)
    cosines = (logits * reference).sum(axis=1) / lengths
    found = {
        "images": len(logits),
        "max_rel_diff": round(float(np.abs(logits - reference).max() / reference.std()), 6),
        "cosine": round(float(cosines.mean()), 6),
        "least_cosine": round(float(cosines.min()), 6),
        "agreement": round(100 * float((logits.argmax(1) == reference.argmax(1)).mean()), 2),
    }
    if case.labels is not None:
        found["torch_accuracy"] = round(100 * float((reference.argmax(1) == case.labels).mean()), 2)
        found["accuracy"] = round(100 * float((logits.argmax(1) == case.labels).mean()), 2)
    return found


def timed(files: dict[str, bytes], image: Float32Array, rounds: int) -> dict[str, Any]:
    """Milliseconds of each run of each file, run in turns."""
    models = {}
    for name, data in files.items():
        model = Interpreter(model_content=data, num_threads=1)
        model.allocate_tensors()
        model.set_tensor(model.get_input_details()[0]["index"], image)
        models[name] = model
    samples: dict[str, list[float]] = {name: [] for name in files}
    for number in range(WARM_UP + rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.invoke()
            if number >= WARM_UP:
                samples[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in samples.items()}


def summary(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {
        "median": round(float(np.median(values)), 3),
        "least": min(values),
        "most": max(values),
    }


if __name__ == "__main__":
    main()
