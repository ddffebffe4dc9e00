"""What a workspace holds, piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elasticvit.arch import Arch
from elasticvit.errors import NextStep
from elasticvit.precisions import FP32


@dataclass(frozen=True, kw_only=True)
class DeviceStatus:
    """A device that was measured in a precision, or whose table was imported.

    Attributes:
        name: Name of the device.
        precision: Precision of the measurements and of the predictor.
        threads, cores: Threads and cores of both; None if nobody recorded them.
        source: Where the measurements come from, such as `host:CPU model`; None if not known.
        kernels: Number of different kernels that were measured.
        subnets: Number of different whole subnets that were measured.
        measured_s: Time of the latest measurement, in seconds since the epoch; None without any.
        predictor: Whether a predictor is fitted.
        error_pct: Root mean square error of the predictor in percent, on whole subnets that it was
            not fitted to (cross-validated); None if no subnet was measured.
        latest: Whether searches use it by default.
    """

    name: str
    precision: str = FP32
    threads: int | None = None
    cores: str | None = None
    source: str | None
    kernels: int
    subnets: int
    measured_s: float | None
    predictor: bool
    error_pct: float | None
    latest: bool


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A training run.

    Attributes:
        folder: Its folder.
        space: Name of the search space.
        data: Canonical spec of the data set.
        epochs: Number of passes over the training images.
        seed: Random seed.
        finished: Whether it has trained to the end.
        step: Number of steps in its log; None if it has none.
        checkpoints: Steps of the checkpoints that are kept, rising.
        process: Number of the process that trains it now; None if none does.
        accuracy: Highest accuracy in percent of the subnets that were judged; None before the end.
        changed_s: Time of the latest change, in seconds since the epoch.
        latest: Whether searches use it by default.
        asked: The settings that resume it; None if an earlier version began it.
    """

    folder: Path
    space: str
    data: str
    epochs: int
    seed: int
    finished: bool
    step: int | None
    checkpoints: tuple[int, ...]
    process: str | None
    accuracy: float | None
    changed_s: float
    latest: bool
    asked: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """A cap of a search.

    Attributes:
        device: Name of the device whose latency is capped; None for other costs.
        precision: Precision of the model whose cost it is.
        unit: Unit of the cost, such as `ms` or `MMACs`.
        limit: Largest value allowed.
    """

    device: str | None
    precision: str = FP32
    unit: str
    limit: float


@dataclass(frozen=True, kw_only=True)
class SearchStatus:
    """A search.

    Attributes:
        folder: Its folder.
        finished: Whether it has chosen an architecture.
        evaluated: Number of architectures that were evaluated.
        targets: The caps of all its goals.
        precision: Precision that the architectures are to be deployed in.
        arch: The architecture that was chosen for the first goal; None before the end, as are all
            below.
        accuracy: Its accuracy in percent on test images; None also without a supernet.
        predicted_ms: Its predicted latency; None also without a predictor.
        run: Folder of the training run.
        chosen_by: What architectures were ordered by (`SearchResult.accuracy_source`).
        changed_s: Time of the latest change, in seconds since the epoch.
        latest: Whether exports use it by default.
        process: Number of the process that searches now; None if none does.
        asked: The settings that resume it; None if an earlier version began it.
    """

    folder: Path
    finished: bool
    evaluated: int
    targets: tuple[Target, ...]
    precision: str = FP32
    arch: Arch | None = None
    accuracy: float | None = None
    predicted_ms: float | None = None
    run: str | None = None
    chosen_by: str | None = None
    changed_s: float
    latest: bool
    process: str | None = None
    asked: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ExportStatus:
    """An exported model.

    Attributes:
        model: Path of the model's file.
        arch: Its architecture, or the name of the network; None if its card tells neither.
        format: Name of the export format.
        formats: The formats of all files of the export, this one's first.
        precision: Precision of the file.
        bytes: Size of the file.
        search: Folder of the search that it comes from; None if it comes from none.
        run: Training run or supernet that it comes from; None if that is not known.
        device: Name of the device that it was timed on; None if it was not timed.
        measured_ms: Measured latency; None if it was not timed.
        changed_s: Time of the latest change, in seconds since the epoch.
        latest: Whether it is the latest one.
    """

    model: Path
    arch: str | None = None
    format: str
    formats: tuple[str, ...] = ()
    precision: str = FP32
    bytes: int
    search: str | None
    run: str | None
    device: str | None
    measured_ms: float | None
    changed_s: float
    latest: bool


@dataclass(frozen=True, kw_only=True)
class TimingStatus:
    """A session in which model files were timed or compared.

    Attributes:
        folder: Its folder, with the raw rounds.
        device: Name of the device; None without a summary: the session is under way, or was killed.
        rounds: Rounds that were asked for; None without a summary.
        complete: Whether all rounds were made.
        models: Latency of each model in milliseconds by its name; None for one that was refused,
            or not reached.
        changed_s: Time of the latest change, in seconds since the epoch.
    """

    folder: Path
    device: str | None = None
    rounds: int | None = None
    complete: bool = False
    models: Mapping[str, float | None] = field(default_factory=dict)
    changed_s: float


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Something that cannot be read.

    Attributes:
        path: The file or folder.
        problem: What is wrong with it, and what to do about it.
    """

    path: Path
    problem: str


@dataclass(frozen=True, kw_only=True)
class WorkspaceStatus:
    """What a workspace holds, each kind from the oldest to the latest.

    Attributes:
        root: Folder of the workspace.
        space: Name of the search space that was used last; None if none was.
        data: Canonical spec of the data set that was used last; None if none was.
        devices: Devices by name.
        runs: Training runs.
        searches: Searches.
        exports: Exported models.
        timings: Sessions in which model files were timed.
        damaged: What cannot be read.
        reason: Why `next_step` is what to do next.
        next_step: The flow to run next.
    """

    root: Path
    space: str | None
    data: str | None
    devices: Sequence[DeviceStatus]
    runs: Sequence[RunStatus]
    searches: Sequence[SearchStatus]
    exports: Sequence[ExportStatus]
    timings: Sequence[TimingStatus]
    damaged: Sequence[Damage]
    reason: str
    next_step: NextStep

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "command": "evit-status",
            "workspace": str(self.root),
            "space": self.space,
            "data": self.data,
            "devices": [asdict(device) for device in self.devices],
            "runs": [{**asdict(run), "folder": str(run.folder)} for run in self.runs],
            "searches": [_search_dict(search) for search in self.searches],
            "exports": [{**asdict(one), "model": str(one.model)} for one in self.exports],
            "timings": [{**asdict(one), "folder": str(one.folder)} for one in self.timings],
            "damaged": [{"path": str(d.path), "problem": d.problem} for d in self.damaged],
            "reason": self.reason,
            "next_step": {"flow": self.next_step.flow, "settings": dict(self.next_step.settings)},
        }


def _search_dict(search: SearchStatus) -> dict[str, Any]:
    arch = None if search.arch is None else str(search.arch)
    return {**asdict(search), "folder": str(search.folder), "arch": arch}
