"""The searches of a workspace, ended and interrupted: what `status` tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from elasticvit.errors import CheckpointError, NextStep
from elasticvit.flows.asked import ASKED_FILE, read_asked
from elasticvit.flows.search_place import LOCK_FILE as SEARCH_LOCK
from elasticvit.flows.status_parts import Damages, changed_s, ended_s, folders, holds_work
from elasticvit.flows.status_result import (
    SearchStatus,
    Target,
)
from elasticvit.precisions import FP32, PRECISIONS, in_words
from elasticvit.process_lock import held_by
from elasticvit.reading import Format
from elasticvit.searching.result import RESULT_FILE, SearchResult
from elasticvit.searching.state import STATE_FILE
from elasticvit.workspace import Workspace


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
            if not holds_work(folder, SEARCH_LOCK, ASKED_FILE):
                continue  # one by scores has no state
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
        changed_s=ended_s(read_asked(folder / ASKED_FILE)) or changed_s(folder),
        latest=latest,
    )


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
