"""Soft labels: what teachers say of the images of a training part, written to one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticvit.errors import SettingError
from elasticvit.events import EventHandler, Phase, Progress, ignore
from elasticvit.flows.places import check_parent, check_path, check_writable
from elasticvit.flows.settings import (
    WorkspaceLike,
    check_ranges,
    settings_of,
    space_of,
    workspace_of,
)
from elasticvit.space import SearchSpace

BATCH = 64  # images that the teachers are given at a time


@dataclass(frozen=True, kw_only=True)
class SoftLabelsSettings:
    """Settings of writing soft labels.

    Attributes:
        file: File to write; it must not exist yet.
        teacher: The teachers, one or several, as in `TrainSettings`.
        data: Spec of the data set, as in `TrainSettings`.
        space: Search space that will be trained; the teachers are given images of its largest
            resolution.
        threads: Number of CPU threads. None: all cores.

    Raises:
        SettingError: A value is out of range, or there is no teacher.
    """

    file: Path | str
    teacher: str | Sequence[str]
    data: str | None = None
    space: str | SearchSpace | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_ranges(self, {"threads": (1, 256)})
        check_path("file", self.file)
        teachers = (self.teacher,) if isinstance(self.teacher, str) else tuple(self.teacher)
        object.__setattr__(self, "teacher", teachers)
        if not teachers:
            raise SettingError(
                "there is no teacher to write soft labels of; name one or several",
                settings=["teacher"],
            )


@dataclass(frozen=True, kw_only=True)
class SoftLabelsProgress(Progress):
    """Teachers have judged some more images; `done` and `total` count images."""


@dataclass(frozen=True, kw_only=True)
class SoftLabelsResult:
    """Soft labels that were written.

    Attributes:
        path: Their file.
        data: Canonical spec of the data set.
        images: Number of images.
        classes: Number of classes.
        teachers: Names of the teachers.
        agreement: Share of the images whose most probable class is their label, in percent.
    """

    path: Path
    data: str
    images: int
    classes: int
    teachers: tuple[str, ...]
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        path = str(self.path).encode(errors="surrogateescape").decode(errors="replace")
        teachers = list(self.teachers)
        return {"command": "evit-train", **vars(self), "path": path, "teachers": teachers}


def write_soft_labels(
    settings: SoftLabelsSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> SoftLabelsResult:
    """Let teachers judge each image of a training part once, as it is, and write what they say.

    Nothing is written to the workspace, and nothing at all if the work fails.

    Args:
        settings: Settings.
        workspace: Workspace or its folder, for the space and data set that were used last.
        events: Receives a `Phase` where another part of the work begins, and `SoftLabelsProgress`;
            what it raises ends the work.
        changes: Single settings by name.

    Raises:
        SettingError: A setting makes no sense, or there is no such teacher.
        SpaceError: There is no such search space.
        DataError: The data set is unknown, unreadable or too small.
        ModelError, CheckpointError: A teacher cannot be used (see
            `elasticvit.flows.train_teachers.find_teacher`).
        FileError: The file cannot be written.
    """
    settings = settings_of(SoftLabelsSettings, settings, changes)
    folder, out = workspace_of(workspace), Path(settings.file)
    check_parent("file", out)
    check_writable(out)
    if out.exists():
        raise SettingError(f"{out} exists; name a new file", settings=["file"])
    space = space_of(folder, settings.space, events)
    data = folder.data(settings.data)
    events(Phase(text=f"opening data set {data}"))

    import torch

    from elasticvit.flows.train_teachers import open_teaching
    from elasticvit.nn.side_by_side import side_by_side_on
    from elasticvit.training.data import open_data
    from elasticvit.training.soft_label_maker import made_soft_labels
    from elasticvit.training.teacher import Teachers

    images = open_data(data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with side_by_side_on(device, settings.threads) as threads:
        distillation, teachers = open_teaching(settings.teacher, None, images, device, events)
        assert isinstance(teachers, Teachers)
        total = images.info.train_images
        events(Phase(text=f"asking the teachers about {total:,} images"))
        made, agreement = made_soft_labels(
            teachers,
            images,
            distillation,
            resolution=max(space.choices[0]),
            batch_size=BATCH,
            device=device,
            progress=lambda done: events(SoftLabelsProgress(done=done, total=total)),
            threads=threads,
        )
    made.save(out)
    return SoftLabelsResult(
        path=out,
        data=images.info.spec,
        images=total,
        classes=images.info.classes,
        teachers=tuple(teacher.name for teacher in distillation.teachers),
        agreement=round(agreement, 2),
    )
