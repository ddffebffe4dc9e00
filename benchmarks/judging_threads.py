"""Judging architectures side by side, and one after the other on all threads of torch.

    python benchmarks/judging_threads.py [--archs 12] [--rounds 5] [--threads N]

Random architectures of space `tiny` are recalibrated on 128 random images and run on 192, as a
search does: side by side, each on one thread (`elasticvit.nn.side_by_side`), and one after the
other on all threads; on the machine as it is, and while another program keeps one core busy.
Interleaved; one JSON line with median seconds, the ratio of the second way to the first, and its
spread over the rounds (largest over smallest).
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from thread_timing import busy, timed
from torch import Tensor

from elasticvit.arch import Arch
from elasticvit.nn.judging import correct, recalibrate
from elasticvit.nn.side_by_side import side_by_side
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.space import TINY

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archs", type=int, default=12, help="Number of architectures.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.manual_seed(0)
    supernet = Supernet(TINY).eval()
    archs = list(TINY.sample(options.archs, np.random.default_rng(1)))
    sides = sorted({arch.resolution for arch in archs})
    labels = torch.zeros(BATCH, dtype=torch.int64)
    batches = {side: [(torch.randn(BATCH, 3, side, side), labels)] for side in sides}

    def judged(arch: Arch) -> Tensor:
        batch = batches[arch.resolution]
        return correct(recalibrate(Subnet.cut(supernet, arch), batch * 2, 2), batch * 3)

    def together() -> None:
        with side_by_side(options.threads) as threads:
            list(threads.map(judged, archs))

    def one_by_one() -> None:
        torch.set_num_threads(options.threads)
        list(map(judged, archs))

    ways = {"side_by_side": together, "one_by_one": one_by_one}
    quiet = timed(ways, options.rounds)
    with busy():
        loaded = timed(ways, options.rounds)
    line = {"benchmark": "judging_threads", "threads": options.threads, "archs": options.archs}
    print(json.dumps(line | {"as_it_is": quiet, "one_core_busy": loaded}))


if __name__ == "__main__":
    main()
