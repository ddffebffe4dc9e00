"""The pieces of a workspace, read one by one: devices, training runs, searches, exports.

Each function returns what it can read and tells a `Damages` of the rest. Nothing is written, and
torch is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from elasticvit.cpu_setting import DEFAULT_CPU, CpuSetting, matching_settings
from elasticvit.errors import CheckpointError, EvitError, NextStep
from elasticvit.flows.asked import ASKED_FILE, Asked, read_asked
from elasticvit.flows.search_place import LOCK_FILE as SEARCH_LOCK
from elasticvit.flows.status_result import (
    Damage,
    DeviceStatus,
    ExportStatus,
    RunStatus,
    SearchStatus,
    Target,
)
from elasticvit.flows.train_result import RESULT_FILE as TRAIN_RESULT_FILE
from elasticvit.flows.train_result import TrainResult
from elasticvit.precisions import FP32, PRECISIONS, in_words
from elasticvit.process_lock import held_by
from elasticvit.reading import Format
from elasticvit.searching.result import RESULT_FILE, SearchResult
from elasticvit.searching.state import STATE_FILE
from elasticvit.training.run_info import CHECKPOINTS, LOCK_FILE, LOG_FILE, RunInfo
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from predictors.predictor import Predictor


Kind = tuple[str, str, CpuSetting | None]  # device, precision, threads and cores of latencies


@dataclass
class Damages:
    """What could not be read so far."""

    found: list[Damage] = field(default_factory=list)

    @contextmanager
    def of(self, path: Path) -> Iterator[None]:
        """Take note of what fails inside, and go on behind it."""
        try:
            yield
        except EvitError as error:
            self.found.append(Damage(path=path, problem=str(error)))
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}; check its permissions"
            self.found.append(Damage(path=path, problem=problem))


def device_statuses(
    workspace: Workspace, latest: str | None, damages: Damages
) -> list[DeviceStatus]:
    """The devices of the latency table and of the predictors in each precision and with each number
    of threads, by name."""
    from lut.contents import SeriesContent, contents

    series: dict[Kind, SeriesContent] = {}
    if workspace.lut_path.exists():
        with damages.of(workspace.lut_path):
            for content in contents(workspace.lut_path):
                # the latest of a device comes first
                series.setdefault((content.device, content.precision, content.cpu), content)
    predictors = _predictors(workspace, damages)
    known = sorted(series.keys() | predictors.keys(), key=_by_name)
    default = _default(workspace, latest, [one for one in known if one in predictors] or known)
    statuses = []
    for one in known:
        (name, precision, cpu), measured, predictor = one, series.get(one), predictors.get(one)
        source = None if predictor is None else predictor.source
        if measured is not None:
            source = measured.source
        statuses.append(
            DeviceStatus(
                name=name,
                precision=precision,
                threads=None if cpu is None else cpu.threads,
                cores=None if cpu is None else cpu.cores,
                source=source,
                kernels=0 if measured is None else measured.kernels,
                subnets=0 if measured is None else measured.subnets,
                measured_s=None if measured is None else measured.measured_s,
                predictor=predictor is not None,
                error_pct=None if predictor is None else _error_pct(predictor),
                latest=one == default,
            )
        )
    return statuses


def _by_name(one: Kind) -> tuple[str, int, bool, CpuSetting]:
    """Key that orders devices by name, and each one's precisions from fp32 on, by threads."""
    name, precision, cpu = one
    return name, PRECISIONS.index(precision), cpu is not None, cpu or DEFAULT_CPU


def _default(workspace: Workspace, latest: str | None, known: Sequence[Kind]) -> Kind | None:
    """Which of the known latencies searches use by default; None if there are none."""
    if latest is None:
        return None
    try:
        precision, last = workspace.precision(latest), workspace.cpu_setting(latest)
    except EvitError:  # damaged settings are told elsewhere
        precision, last = FP32, None
    own = [cpu for name, of, cpu in known if (name, of) == (latest, precision)]
    return (latest, precision, matching_settings(own, last)[0]) if own else None


def _predictors(workspace: Workspace, damages: Damages) -> dict[Kind, Predictor]:
    """The predictors by device, precision, and threads with cores."""
    from predictors.predictor import load_predictor
    from predictors.workspace_predictors import predictor_folders

    found: dict[Kind, Predictor] = {}
    for folder in folders(workspace.predictors_path, damages):
        places: dict[Kind, Path] = {}
        with damages.of(folder):
            for precision in PRECISIONS:
                own = predictor_folders(workspace, folder.name, precision)
                places |= {(folder.name, precision, cpu): path for cpu, path in own.items()}
        # a folder without any is a damaged one
        for kind, place in (places or {(folder.name, FP32, None): folder}).items():
            with damages.of(place):
                found[kind] = load_predictor(place)
    return found


def _error_pct(predictor: Predictor) -> float | None:
    """The error of a predictor on whole subnets, each predicted by a fit that did not see it."""
    errors = predictor.report.subnets_held_out
    return None if errors is None else errors.rmspe_pct


def run_statuses(workspace: Workspace, latest: Path | None, damages: Damages) -> list[RunStatus]:
    """The training runs, oldest first."""
    statuses = []
    for folder in folders(workspace.root / "runs", damages):
        with damages.of(folder):
            info, asked = RunInfo.load(folder), read_asked(folder / ASKED_FILE)
            finished = (folder / TRAIN_RESULT_FILE).exists()
            accuracy = None
            if finished:
                accuracy = max(one.accuracy for one in TrainResult.load(folder).subnets)
            statuses.append(
                RunStatus(
                    folder=folder,
                    space=info.space.name,
                    data=info.data,
                    epochs=info.settings.epochs,
                    seed=info.seed,
                    finished=finished,
                    step=_last_step(folder / LOG_FILE),
                    checkpoints=_checkpoint_steps(folder / CHECKPOINTS),
                    process=held_by(folder / LOCK_FILE),
                    accuracy=accuracy,
                    changed_s=_ended_s(asked) or changed_s(folder),
                    latest=folder == latest,
                    asked=None if asked is None else asked.settings,
                )
            )
    return statuses


def _checkpoint_steps(folder: Path) -> tuple[int, ...]:
    """The steps of the checkpoints in a folder, rising; the files themselves are not read."""
    named = folder.glob("[0-9]*.json") if folder.is_dir() else ()
    return tuple(sorted(int(path.stem) for path in named if path.stem.isdecimal()))


def _last_step(log: Path) -> int | None:
    """The step in the last whole line of a log."""
    if not log.exists():
        return None
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 4096, 0))
        lines = file.read().decode(errors="replace").split("\n")
    steps = [line.partition(",")[0] for line in lines[1:-1]]
    return next((int(step) for step in reversed(steps) if step.isdecimal()), None)


class InterruptedSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What a search's state tells without its space.

    Attributes:
        settings: Description of the search.
        genes: Architectures of the finished generations.
        pending: Architectures of the generation under way, with their accuracies.
    """

    settings: dict[str, Any]
    genes: list[Any]
    pending: list[Any]


STATE_FORMAT = Format(
    kind=InterruptedSearch,
    what="the state of a search",
    error=CheckpointError,
    mend="move the folder away, and search again",
    next_step=NextStep("search"),
)


def search_statuses(
    workspace: Workspace, latest: Path | None, damages: Damages
) -> list[SearchStatus]:
    """The searches, oldest first."""
    statuses = []
    for folder in folders(workspace.root / "searches", damages):
        with damages.of(folder):
            if (folder / RESULT_FILE).exists() or not (folder / STATE_FILE).exists():
                statuses.append(_finished_search(folder, folder == latest))
            else:
                state = STATE_FORMAT.read_json(folder / STATE_FILE)
                asked = read_asked(folder / ASKED_FILE)
                statuses.append(
                    SearchStatus(
                        folder=folder,
                        finished=False,
                        evaluated=len(state.genes) + len(state.pending),
                        targets=_targets(state.settings),
                        precision=_precision(state.settings),
                        changed_s=changed_s(folder),
                        latest=folder == latest,
                        process=held_by(folder / SEARCH_LOCK),
                        asked=None if asked is None else asked.settings,
                    )
                )
    return statuses


def _finished_search(folder: Path, latest: bool) -> SearchStatus:
    result = SearchResult.load(folder)
    return SearchStatus(
        folder=folder,
        finished=True,
        evaluated=result.evaluations,
        targets=_distinct(
            Target(device=cap.device, precision=cap.precision, unit=cap.unit, limit=cap.target)
            for winner in result.goals
            for cap in winner.caps
        ),
        arch=result.arch,
        accuracy=result.test_accuracy,
        predicted_ms=result.predicted_ms,
        precision=result.precision,
        run=result.run,
        chosen_by=result.accuracy_source,
        changed_s=_ended_s(read_asked(folder / ASKED_FILE)) or changed_s(folder),
        latest=latest,
    )


def _ended_s(asked: Asked | None) -> float | None:
    """Time of the end as it was noted, which a copy of the folder keeps."""
    return None if asked is None else asked.ended_s


def _precision(settings: Mapping[str, Any]) -> str:
    """The precision that a search's state names, or fp32."""
    saved = settings.get("precision")
    return str(saved) if saved in PRECISIONS else FP32


def _targets(settings: Mapping[str, Any]) -> tuple[Target, ...]:
    """The caps that a state names, as far as it does: name of the cost, unit and limit each."""
    saved, precision = settings.get("targets"), _precision(settings)
    rows, end = saved if isinstance(saved, list) else [], in_words(precision)
    return _distinct(
        Target(
            device=str(name).removeprefix("latency on ").removesuffix(end)
            if unit == "ms"
            else None,
            precision=precision,
            unit=str(unit),
            limit=float(limit),
        )
        for name, unit, limit in (row for row in rows if isinstance(row, list) and len(row) == 3)
        if isinstance(limit, (int, float))
    )


def _distinct(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Targets of all goals, each once."""
    return tuple(dict.fromkeys(targets))


def export_statuses(
    workspace: Workspace, latest: Path | None, damages: Damages
) -> list[ExportStatus]:
    """The exported models, oldest first, without those that were rejected."""
    from export.bundle import is_rejected, load_files

    statuses = []
    for folder in folders(workspace.root / "exports", damages):
        if is_rejected(folder):
            continue
        with damages.of(folder):
            cards = [card for _, card in load_files(folder)]
            card = cards[0]
            search, run = card.sources.get("search"), card.sources.get("run")
            statuses.append(
                ExportStatus(
                    model=folder / card.file,
                    arch=card.model if card.arch is None else str(card.arch),
                    formats=tuple(dict.fromkeys(one.format for one in cards)),
                    precision=card.precision,
                    format=card.format,
                    bytes=card.bytes,
                    search=None if search is None else str(search),
                    run=None if run is None else str(run),
                    device=None if card.timing is None else card.timing.device,
                    measured_ms=None if card.timing is None else card.timing.measured_ms,
                    changed_s=_created_s(card.created) or changed_s(folder),
                    latest=folder == latest,
                )
            )
    return statuses


def _created_s(created: str) -> float | None:
    """Seconds since the epoch of the time that a card tells; None if it cannot be read."""
    try:
        return datetime.strptime(created, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None


def folders(base: Path, damages: Damages) -> list[Path]:
    """The folders in a folder, by name; none if it is not there."""
    found: list[Path] = []
    with damages.of(base):
        if base.is_dir():
            found = sorted(path for path in base.iterdir() if path.is_dir())
    return found


def changed_s(folder: Path) -> float:
    """Time of the latest change of a file in a folder, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
