"""The first convolution of int8 files in float32 against 8 bits: latency and agreement with fp32.

    python benchmarks/first_convolution.py [--images 10] [--loads 6] [--only NAME]

One JSON line. T1, S1, M, L3 of the published architectures and random subnets of the `mobile`
space, with random weights and noise images (see `precision_cases.py`), each in fp32 and in int8 as
it is exported (`float`), and with the first convolution in 8 bits as well (`narrow`). The files are
timed in turns on one thread, by the thread's processor time, and loaded anew, in another order,
`--loads` times; `ratio` is the time over that of `narrow`, the median of the ratios of the same
round with quartiles. Differences are from the logits of fp32, in their standard deviations.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from formulations import load, milliseconds
from precision_cases import Case, random_weights

from devices.host.facts import cpu_model
from elasticvit.precisions import FP32, INT8
from export import precision, precision_check
from export.direct import DirectBackend
from export.float_layers import stays_float
from export.litert import LiteRTModel
from export.precision import in_precision

ROUNDS = 8  # of each load
NARROW, FLOAT = "narrow", "float"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10, help="images to compare on")
    parser.add_argument("--loads", type=int, default=6, help="times that all files are loaded")
    parser.add_argument("--only", action="append", help="subnets whose name begins so; repeat")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in random_weights(options.images, tuple(options.only or [""])):
        rows.append(compared(case, options.loads))
        print(rows[-1], file=sys.stderr)
    print(
        json.dumps(
            {
                "benchmark": "first_convolution",
                "cpu": cpu_model(),
                "threads": 1,
                "loads": options.loads,
                "rows": rows,
            }
        )
    )


def compared(case: Case, loads: int) -> dict[str, Any]:
    """All three files of one subnet."""
    plain = DirectBackend().convert(case.subnet)
    files = {FP32: plain, FLOAT: in_precision(plain, INT8), NARROW: all_in_8_bits(plain)}
    logits = {}
    for name, data in files.items():
        model = LiteRTModel(data)
        logits[name] = np.stack([model(image) for image in case.images])
    found: dict[str, Any] = {"name": case.name, "images": len(case.images)}
    times = timed(files, loads)
    for name in files:
        ratio = times[name] / times[NARROW]
        difference = np.abs(logits[name] - logits[FP32]) / logits[FP32].std()
        found[name] = {
            "ms": round(float(np.median(times[name])), 3),
            "ratio": round(float(np.median(ratio)), 3),
            "quartiles": [round(float(q), 3) for q in np.quantile(ratio, (0.25, 0.75))],
            "max_rel_diff": round(float(difference.max()), 4),
            "mean_rel_diff": round(float(difference.mean()), 5),
            "bytes": len(files[name]),
        }
    return found


def all_in_8_bits(plain: bytes) -> bytes:
    """The file in int8 with none but the depthwise convolutions in float32."""

    def depthwise(name: str, weights: Any) -> bool:
        return name == "DEPTHWISE_CONV_2D" and stays_float(name, weights)

    with (
        patch.object(precision, "stays_float", depthwise),
        patch.object(precision_check, "stays_float", depthwise),
    ):
        return in_precision(plain, INT8)


def timed(files: Mapping[str, bytes], loads: int) -> dict[str, Any]:
    """Milliseconds of each file in each round."""
    names, rng = list(files), np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(loads):
        loaded = {names[i]: load(files[names[i]]) for i in rng.permutation(len(names))}
        for _ in range(ROUNDS):
            for i in rng.permutation(len(names)):
                times[names[i]].append(milliseconds(loaded[names[i]]))
    return {name: np.array(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
