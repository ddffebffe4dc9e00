"""What resumes the interrupted work of a workspace: a flow with all that makes it the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import EvitError, NextStep
from elasticvit.flows.asked import profile_path, read_asked
from elasticvit.flows.search_targets import COSTS
from elasticvit.flows.status_result import DeviceStatus, RunStatus, SearchStatus
from elasticvit.names import HOST
from elasticvit.precisions import FP32
from elasticvit.workspace import Workspace


def profile_again(workspace: Workspace, devices: Sequence[DeviceStatus]) -> tuple[str, NextStep]:
    """The first profile of a workspace, and why: a new one, or that which was interrupted."""
    for device in devices:
        try:
            asked = read_asked(profile_path(workspace, device.name))
        except EvitError:  # damaged: as if there were none
            asked = None
        if asked is not None:
            return f"the profile of {device.name} is not finished", NextStep(
                "profile", asked.settings
            )
    return "no device is profiled yet", NextStep("profile", {"device": HOST})


def train_again(run: RunStatus) -> NextStep:
    """What resumes a training run."""
    if run.asked is not None:
        return NextStep("train", run.asked)
    facts = {"space": run.space, "data": run.data, "epochs": run.epochs, "seed": run.seed}
    return NextStep("train", facts)


def search_again(workspace: Workspace, search: SearchStatus, runs: Sequence[RunStatus]) -> NextStep:
    """What resumes a search, though another device, precision or run, or other threads and cores,
    may be the default by now.

    Args:
        runs: The training runs.
    """
    if search.asked is None:
        return NextStep("search", target_settings(search))
    asked = dict(search.asked)
    searched = asked.pop("run", None)
    latest = next((run.folder.name for run in runs if run.latest), None)
    if searched is not None and Path(searched).name != latest:
        asked["run"] = searched
    names = list(dict.fromkeys(t.device for t in search.targets if t.device is not None))
    if "device" not in asked and names and not set(names) & set(asked.get("target") or {}):
        asked["device"] = names
    if "precision" not in asked and names:
        usual = workspace.precision(names[0])
        if search.precision != FP32 or search.precision != usual:
            asked["precision"] = search.precision
    if names and "device_threads" in asked and "device_cores" in asked:
        cpu = CpuSetting(asked["device_threads"], asked["device_cores"])
        if cpu == workspace.cpu_setting(names[0]):
            del asked["device_threads"], asked["device_cores"]
    return NextStep("search", asked)


def target_settings(search: SearchStatus) -> dict[str, Any]:
    """The targets of a search as settings of the search flow: those of the first latency, or else
    of the first cost."""
    precision = {} if search.precision == FP32 else {"precision": search.precision}
    latencies = [target for target in search.targets if target.device is not None]
    first = next(iter(latencies or search.targets), None)
    if first is None:
        return {}
    same = [t for t in search.targets if (t.device, t.unit) == (first.device, first.unit)]
    limits = ",".join(f"{target.limit:g}" for target in same)
    if first.device is not None:
        return {"device": first.device, "target_ms": limits, **precision}
    name = next((name for name, one in COSTS.items() if one.cost.unit == first.unit), "mmacs")
    target = {"target_mmacs": limits} if name == "mmacs" else {"target": f"{name}={limits}"}
    return {**target, **precision}
