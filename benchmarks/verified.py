"""Do winners keep their caps on the device? Verified ones, and the same searches' unverified ones.

    python benchmarks/verified.py [WORKSPACE] [--device host] [--caps 20] [--verify 3]
                                  [--optimism 1.0] [--seed 0]

WORKSPACE holds a profile made by `evit-profile` (default: the present folder's); a copy of it is
searched. For each of some random caps the space is searched twice, by the proxy of the package,
without and with `--verify`, each time with the profile's own predictor. When all searches are done,
every winner is timed once more, in a process of its own, at the speed of the latency table, which
is held against its cap. With `--optimism 1.15` the predictor says 15 % less than it knows, which
shows what verification repairs. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import Arch
from elasticvit.events import Event, Notice
from elasticvit.flows.export_timing import time_export
from elasticvit.flows.search import Measured, search
from elasticvit.kernels import lower
from elasticvit.searching.caps import Cap, reach
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace
from export.kernel_models import kernel_model
from predictors.predictor import Predictor, load_predictor

ENDS = (0.05, 0.9)  # of the range of the bound on the log scale, which the caps are drawn from


@dataclass(frozen=True)
class Found:
    """What one cap brought.

    Attributes:
        cap_ms: The cap.
        unverified, verified: The winners.
        measured: What was timed on the device before the verified one was named.
        kept: Whether the verified one kept its cap as it was measured then.
        seconds: Duration of the verified search.
    """

    cap_ms: float
    unverified: Arch
    verified: Arch
    measured: tuple[Measured, ...]
    kept: bool | None
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", nargs="?")
    parser.add_argument("--device", default="host")
    parser.add_argument("--caps", type=int, default=20)
    parser.add_argument("--verify", type=int, default=3)
    parser.add_argument("--optimism", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    given = Workspace.open(options.workspace)
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(given.root, Path(temporary) / "ws")
        workspace = Workspace.open(Path(temporary) / "ws")
        space, device = workspace.space(), options.device
        predictor = load_predictor(workspace.predictor_path(device))
        says = optimistic(predictor, options.optimism)
        found = [
            run(workspace, space, says, cap_ms, options.verify)
            for cap_ms in random_caps(says, space, options.caps, options.seed)
        ]
        again = [
            [retimed(workspace, device, space, arch) for arch in (one.unverified, one.verified)]
            for one in found
        ]
    unverified, verified = np.array(again).T
    print(
        json.dumps(
            {
                "benchmark": "verified",
                "source": predictor.source,
                "space": space.name,
                "verify": options.verify,
                "optimism": options.optimism,
                "caps": len(found),
                "verified": figures(found, verified),
                "unverified": figures(found, unverified),
                "not_under_but_within_interval": int(sum(map(within, found, verified))),
                "replaced": sum(one.verified != one.unverified for one in found),
                "kept_when_chosen": sum(one.kept is True for one in found),
                "timed_each": round(float(np.mean([len(one.measured) for one in found])), 2),
                "seconds_each": round(float(np.mean([one.seconds for one in found])), 1),
            }
        )
    )


def optimistic(predictor: Predictor, factor: float) -> Predictor:
    """The predictor with all latencies inside a subnet divided by a factor."""
    net, by = predictor.network, 1 / factor
    scaled = replace(
        net,
        overall=(1 + net.overall) * by - 1,
        by_kind={kind: value * by for kind, value in net.by_kind.items()},
        call_ms=net.call_ms * by,
        weight_ms=net.weight_ms * by,
        constant_ms=net.constant_ms * by,
        center_weights=net.center_weights * by,
    )
    return replace(predictor, network=scaled)


def random_caps(predictor: Predictor, space: SearchSpace, count: int, seed: int) -> list[float]:
    """Caps in milliseconds, uniform on the log scale over most of what the space can do."""
    rng = np.random.default_rng(seed)
    cap = Cap(cost=predictor.cost(space), target=1.0, device=predictor.device)
    can = reach(space, cap.bound, np.random.default_rng(0))
    return [float(can.low * (can.high / can.low) ** rng.uniform(*ENDS)) for _ in range(count)]


def run(
    workspace: Workspace, space: SearchSpace, predictor: Predictor, cap_ms: float, verify: int
) -> Found:
    """Search under a cap, without and with verification, both with this predictor."""
    told: list[Event] = []
    settings: dict[str, Any] = {
        "target_ms": cap_ms,
        "device": predictor.device,
        "proxy": "macs",
        "space": space,
        "workspace": workspace,
        "start": (),
        "events": told.append,
    }
    predictor.save(workspace.predictor_path(predictor.device))
    blind = search(verify=0, **settings)
    started_s = time.monotonic()
    seen = search(verify=verify, **settings)
    seconds = time.monotonic() - started_s
    for event in told:
        if isinstance(event, Notice) and event.warning:
            raise SystemExit(event.text)
    (winner,) = seen.result.winners
    return Found(
        cap_ms=cap_ms,
        unverified=blind.result.arch,
        verified=winner.arch,
        measured=winner.measured,
        kept=winner.kept,
        seconds=seconds,
    )


def retimed(workspace: Workspace, device: str, space: SearchSpace, arch: Arch) -> float:
    """Milliseconds of an architecture, timed anew at the speed of the latency table."""
    data = kernel_model(lower(arch, space.layout))
    return time_export(workspace, device, data, space.layout, None).measured_ms


def figures(found: list[Found], again_ms: np.ndarray[Any, Any]) -> dict[str, float]:
    """How many are under their caps as timed anew, and by how much the worst one is over."""
    ratio = again_ms / np.array([one.cap_ms for one in found])
    return {
        "under": int((ratio <= 1).sum()),
        "worst_over_pct": round(float(100 * (ratio.max() - 1)), 2),
        "median_of_cap_pct": round(float(100 * np.median(ratio)), 1),
    }


def within(one: Found, again_ms: float) -> bool:
    """Whether a verified winner that is over its cap as timed anew lies in the interval that was
    stated."""
    own = [m for m in one.measured if m.arch == one.verified]
    return again_ms > one.cap_ms and any(m.low_ms <= again_ms <= m.high_ms for m in own)


if __name__ == "__main__":
    main()
