"""What the calibration models bring: one profile's measurements, read with and without them.

    python benchmarks/calibration.py [WORKSPACE] [--device host]

WORKSPACE holds a profile made by `evit-profile` (default: the present folder's). The rounds of
every model are taken as they were measured and as `lut.steady` corrects them; each time the
predictor is fitted to the models to fit with and judged on the held-out subnets, whose latencies
are read the same way. One JSON line, in percent: how far rounds of one model scatter, how well
subnets timed twice agree, and the predictor's error.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd

from elasticvit.arch import Arch
from elasticvit.kernels import Kernel, lower
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace
from lut.dataset import Dataset
from lut.estimate import latency_ms
from lut.frames import DRIFT_ROUND
from lut.keys import subnet_key
from lut.quality import timed_twice
from lut.store import Store
from predictors.fit import fit_predictor
from predictors.metrics import error_summary


def judged(table: pd.DataFrame, data: Dataset, space: SearchSpace) -> dict[str, float]:
    """Figures of a table by its column `steady_ms`."""
    rounds = table[table["round"] < DRIFT_ROUND].groupby("key")["steady_ms"]
    ms = rounds.agg(latency_ms).to_dict()
    scatter = (rounds.std(ddof=1) / rounds.mean()).dropna()

    def key(thing: Arch | Kernel) -> str:
        return thing.key if isinstance(thing, Kernel) else subnet_key(thing, space.layout)

    predictor = fit_predictor(
        {k: ms[key(k)] for k in data.fit_kernels},
        {a: ms[key(a)] for a in data.fit_subnets},
        space,
        device=data.series.device,
        source=data.series.source,
    )
    held = list(data.held_subnets)
    lowered = [lower(arch, space.layout) for arch in held]
    predicted = [predictor.subnet_ms(kernels) for kernels in lowered]
    errors = error_summary(predicted, [ms[key(arch)] for arch in held])
    twice = error_summary(*timed_twice(table, {key(arch) for arch in held}))
    return {
        "scatter_of_rounds_pct": round(100 * float(np.sqrt((scatter**2).mean())), 2),
        "twice_rmspe_pct": round(twice.rmspe_pct, 2),
        "rmspe_pct": round(errors.rmspe_pct, 2),
        "within_5_pct": round(errors.within_5_pct, 1),
        "within_10_pct": round(errors.within_10_pct, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", nargs="?")
    parser.add_argument("--device", default="host")
    options = parser.parse_args()
    folder = Workspace.open(options.workspace)
    space = folder.space(None)
    with Store(folder.lut_path) as store:
        data = Dataset.of(store, options.device, space)
        table = store.measurements(options.device, series=data.series)
    calibrated = judged(table, data, space)
    without = judged(table.assign(steady_ms=table["round_ms"]), data, space)
    ratio = round(without["rmspe_pct"] / calibrated["rmspe_pct"], 2)
    line = {
        "benchmark": "calibration",
        "source": data.series.source,
        "subnets": len(data.held_subnets),
    }
    print(json.dumps(line | {"with": calibrated, "without": without, "error_ratio": ratio}))


if __name__ == "__main__":
    main()
