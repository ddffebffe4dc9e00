"""What timing a kernel on a phone costs besides the timing, over a genuine adbd.

Profiles kernel models through `devices.phone` with a runner that does nothing but answer
(`tests/adbd/benchmark_model_stand_in.sh`), and beside it the way without groups: one push, one
look at the temperature and one command a kernel. The time that the runner's own processes take
on the phone is measured alone and taken off both. Prints one JSON line.

    python benchmarks/adb_overhead.py [--kernels 200] [--delay-ms 0]

`--delay-ms` adds a pause to each direction of the link: a loopback answers at once, a USB cable
in about 1 ms, a wireless network in about 5 ms.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from adbd.harness import STAND_IN, Phone, why_not  # noqa: E402

from devices import Measurement, TimedModel, TimingConfig  # noqa: E402
from devices.adb.connection import AdbConnection  # noqa: E402
from devices.adb.keys import load_signers  # noqa: E402
from devices.adb.link import AdbLink  # noqa: E402
from devices.phone.device import PhoneDevice  # noqa: E402
from devices.phone.facts import read_facts  # noqa: E402
from devices.phone.state import read_state  # noqa: E402
from elasticvit.cost import reachable_kernels  # noqa: E402
from elasticvit.space import find_space  # noqa: E402
from export.kernel_models import kernel_model  # noqa: E402

ONCE = TimingConfig(rounds=1)


def models_of(count: int) -> list[TimedModel]:
    """Kernel models of the mobile space, small and large."""
    kernels = sorted(reachable_kernels(find_space("mobile")), key=lambda kernel: kernel.key)
    chosen = kernels[:: max(1, len(kernels) // count)][:count]
    return [TimedModel(kernel.key, kernel_model([kernel])) for kernel in chosen]


def grouped_s(phone: Phone, key: Path, models: list[TimedModel]) -> float:
    """Seconds of a whole profile, opening and closing the phone left out."""
    with PhoneDevice("phone", address=phone.address, runner=STAND_IN, keys=[key]) as device:
        start = time.perf_counter()
        results = list(device.measure(models, ONCE))
        taken = time.perf_counter() - start
    assert sum(isinstance(result, Measurement) for result in results) == len(models)
    return taken


def one_by_one_s(phone: Phone, key: Path, models: list[TimedModel]) -> float:
    """Seconds with a push, a look and a command a kernel."""
    link = AdbLink(AdbConnection(phone.address, keys=[key]))
    link.connection.connect()
    facts = read_facts(link)
    link.push(STAND_IN.read_bytes(), "/data/local/tmp/runner", 0o755)
    link.run("chmod 755 /data/local/tmp/runner")
    start = time.perf_counter()
    for model in models:
        link.push(model.data, "/data/local/tmp/model")
        read_state(link, facts)
        link.run("/data/local/tmp/runner --graph=/data/local/tmp/model --num_runs=5")
    taken = time.perf_counter() - start
    link.connection.close()
    return taken


def runner_s(phone: Phone, key: Path, count: int) -> float:
    """Seconds that so many processes of the runner take by themselves."""
    link = AdbLink(AdbConnection(phone.address, keys=[key]))
    link.connection.connect()
    loop = f"i=0; while [ $i -lt {count} ]; do /data/local/tmp/runner --graph=/data/local/tmp/model"
    start = time.perf_counter()
    link.run(f"{loop} --num_runs=5 >/dev/null; i=$((i+1)); done", 600)
    taken = time.perf_counter() - start
    link.connection.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=200)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(f"adb_overhead: {reason}")
    models = models_of(options.kernels)
    folder = Path(tempfile.mkdtemp(prefix="evit", dir="/tmp"))
    key = folder / "adbkey"
    load_signers([key])
    try:
        with Phone(folder / "p", data_bytes=1 << 30) as phone:
            phone.front.delay_s = options.delay_ms / 1e3
            alone = one_by_one_s(phone, key, models)
            runner = runner_s(phone, key, len(models))
            grouped = grouped_s(phone, key, models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    count = len(models)
    result = {
        "kernels": count,
        "model_mb": round(sum(len(model.data) for model in models) / 1e6, 1),
        "delay_ms": options.delay_ms,
        "runner_process_ms": round(1e3 * runner / count, 2),
        "overhead_ms_per_kernel": round(1e3 * (grouped - runner) / count, 2),
        "one_by_one_overhead_ms_per_kernel": round(1e3 * (alone - runner) / count, 2),
    }
    result["ratio"] = round(
        result["one_by_one_overhead_ms_per_kernel"] / result["overhead_ms_per_kernel"], 2
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
