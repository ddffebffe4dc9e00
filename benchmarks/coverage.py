"""Do latency bounds hold as often as they promise? Over many random partitions of a real profile.

    python benchmarks/coverage.py [WORKSPACE] [--device host] [--splits 40]

WORKSPACE holds a profile made by `evit-profile` (default: the present folder's). Of all its whole
subnets, those to fit with and those held out, a third is held out at random, the predictor is
fitted to the rest, and its bounds are tried on that third; then again with another third. The
profile's own sixty held-out subnets alone would leave the share uncertain by three points. One
JSON line, in percent.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from elasticvit.kernels import lower
from elasticvit.workspace import Workspace
from lut.dataset import Dataset
from lut.store import Store
from predictors.fit import fit_predictor
from predictors.metrics import error_summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", nargs="?")
    parser.add_argument("--device", default="host")
    parser.add_argument("--splits", type=int, default=40)
    options = parser.parse_args()
    folder = Workspace.open(options.workspace)
    space = folder.space(None)
    with Store(folder.lut_path) as store:
        data = Dataset.of(store, options.device, space)
    subnets = data.fit_subnets | data.held_subnets
    archs = list(subnets)
    covers, errors = [], []
    for seed in range(options.splits):
        rng = np.random.default_rng(seed)
        order = [archs[i] for i in rng.permutation(len(archs))]
        held, fitted = order[: len(order) // 3], order[len(order) // 3 :]
        predictor = fit_predictor(
            data.fit_kernels,
            {arch: subnets[arch] for arch in fitted},
            space,
            device=options.device,
            source=data.series.source,
        )
        predicted = [predictor.subnet_ms(lower(arch, space.layout)) for arch in held]
        measured = [subnets[arch] for arch in held]
        covers.append(predictor.interval.covers(predicted, measured))
        errors.append(error_summary(predicted, measured))

    def mean(values: list[float | None]) -> float:
        return round(float(np.mean([v for v in values if v is not None])), 2)

    print(
        json.dumps(
            {
                "benchmark": "coverage",
                "source": data.series.source,
                "space": space.name,
                "subnets": len(archs),
                "held_out_each_time": len(archs) // 3,
                "splits": options.splits,
                **{name: mean([c[name] for c in covers]) for name in covers[0]},
                "rmspe_pct": mean([e.rmspe_pct for e in errors]),
                "within_5_pct": mean([e.within_5_pct for e in errors]),
                "within_10_pct": mean([e.within_10_pct for e in errors]),
            }
        )
    )


if __name__ == "__main__":
    main()
