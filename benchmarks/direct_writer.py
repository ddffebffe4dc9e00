"""TFLite files written directly against those of litert-torch: the same operators and outputs?

    python benchmarks/direct_writer.py [--images 4] [--only NAME]

One JSON line. The networks are T1, S1, M and L3 of the published architectures and random subnets
of the `mobile` space, with random weights and noise images (see `precision_cases.py`); both files
of each run in LiteRT with XNNPACK on one thread. `same_outputs` counts the networks whose logits
are equal to the last bit on every image, `same_operators` those whose files hold the same
operators, in the same order, on the same shapes and with the same options.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import torch
from precision_cases import Case, random_weights

from export.backend import Backend, find_backend
from export.inspect import operators
from export.litert import LiteRTModel

DIRECT, CONVERTER = "tflite", "tflite-litert-torch"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=4, help="images to compare on")
    parser.add_argument("--only", action="append", help="subnets whose name begins so; repeat")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in random_weights(options.images, tuple(options.only or [""])):
        rows.append(compared(case))
        print(rows[-1], file=sys.stderr)
    result: dict[str, Any] = {
        "benchmark": "direct_writer",
        "networks": len(rows),
        "images": options.images,
        "same_operators": sum(row["same_operators"] for row in rows),
        "same_outputs": sum(row["max_abs_diff"] == 0 for row in rows),
        "direct_s": round(float(np.median([row["direct_s"] for row in rows])), 2),
        "converter_s": round(float(np.median([row["converter_s"] for row in rows])), 1),
        "rows": rows,
        "threads": 1,
    }
    print(json.dumps(result))


def compared(case: Case) -> dict[str, Any]:
    """Both files of one subnet."""
    direct, direct_s = converted(find_backend(DIRECT), case)
    other, converter_s = converted(find_backend(CONVERTER), case)
    models = [LiteRTModel(data) for data in (direct, other)]
    logits = [np.stack([model(image) for image in case.images]) for model in models]
    return {
        "name": case.name,
        "arch": str(case.subnet.arch),
        "operators": len(operators(direct)),
        "same_operators": operators(direct) == operators(other),
        "max_abs_diff": float(np.abs(logits[0] - logits[1]).max()),
        "direct_s": round(direct_s, 3),
        "converter_s": round(converter_s, 1),
    }


def converted(backend: Backend, case: Case) -> tuple[bytes, float]:
    """The file of a format, and the seconds that it took."""
    start = time.perf_counter()
    data = backend.convert(case.subnet)
    return data, time.perf_counter() - start


if __name__ == "__main__":
    main()
