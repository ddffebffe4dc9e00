"""The checkpoints in the folder of a run: the last few, the best one and the last good one.

`checkpoints/00000120.json` and `00000120.safetensors` are the checkpoint of step 120, complete as
soon as the JSON file is there (`checkpoint_pair`). `marks.json` says which one is the best, by the
mean accuracy of a few subnets, and which one is the last from before the loss rose. Old ones are
removed only after a new one is complete, so a run that is killed at any instant keeps the last
complete one.

A run of an earlier version has one file of torch instead, `checkpoint.pt`. It is read, and counts
as the oldest checkpoint; it goes when there are newer ones. This is the one place that knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from elasticvit.errors import CheckpointError, NextStep
from elasticvit.files import write_atomic, writing
from elasticvit.nn.torch_file import read_torch_file
from elasticvit.reading import Count, Format, seal
from elasticvit.training.checkpoint_file import CHECKPOINT_FORMAT, CheckpointFile
from elasticvit.training.checkpoint_pair import check_pair, read_pair, tensor_names, write_pair
from elasticvit.training.policy import KEEP
from elasticvit.training.run_info import CHECKPOINT_FILE, CHECKPOINTS

MARKS_FILE = "marks"  # without its ending, which the files of the checkpoints have, too


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best checkpoint.

    Attributes:
        step: Its step.
        score: What it is chosen by, the higher the better.
    """

    step: Count
    score: float


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Which checkpoints of a run are special.

    Attributes:
        best: The best one; None if none was judged.
        good: Step of the last one from before the loss rose; None if that is the latest one.
    """

    schema: int = 1
    best: Best | None = None
    good: Count | None = None
    sha256: str = ""


MARKS_FORMAT = Format(
    kind=Marks,
    what="the marks of a run's checkpoints",
    error=CheckpointError,
    mend="remove it: the checkpoints stay, and which one is the best is forgotten",
    schema=1,
    sealed=True,
)


class CheckpointStore:
    """The checkpoints of a run. One process at a time may change them (`flows.train_runs.locked`).

    Args:
        run: Folder of the run.
        keep: Number of latest checkpoints that are kept.
    """

    def __init__(self, run: Path, keep: int = KEEP) -> None:
        self.run, self.folder, self.keep = run, run / CHECKPOINTS, keep

    def steps(self) -> list[int]:
        """Steps of the checkpoints, rising; a `checkpoint.pt` is not among them."""
        return sorted(int(p.stem) for p in self.folder.glob("*.json") if p.stem.isdecimal())

    def path(self, step: int) -> Path:
        """The JSON file of the checkpoint of a step."""
        return self.folder / f"{step:08d}.json"

    def save(self, step: int, plain: Mapping[str, Any], *, good: bool = True) -> None:
        """Write the checkpoint of a step, then remove those that are no longer needed.

        Args:
            step: Number of steps done.
            plain: The checkpoint in plain values and tensors.
            good: Whether it is worth going on from; if not, the last one that is stays.

        Raises:
            FileError: It cannot be written; all earlier ones stay.
            CheckpointError: `marks.json` is damaged.
        """
        marks, steps = self.marks(), self.steps()
        self._sweep(steps)
        if not good and marks.good is None and steps:
            marks = self._mark(msgspec.structs.replace(marks, good=steps[-1]))
        write_pair(self.path(step), plain)
        if good and marks.good is not None:
            marks = self._mark(msgspec.structs.replace(marks, good=None))
        steps = self.steps()
        special = {marks.good, marks.best.step if marks.best else None}
        self._remove([s for s in steps[: -self.keep] if s not in special])
        if len(steps) >= self.keep:
            with writing(self.run / CHECKPOINT_FILE):
                (self.run / CHECKPOINT_FILE).unlink(missing_ok=True)

    def latest(self) -> tuple[CheckpointFile, Path]:
        """The latest checkpoint, and its file for messages.

        Raises:
            CheckpointError: There is none, or it cannot be read; a complete one before it is named.
        """
        steps = self.steps()
        if not steps:
            return self._legacy()
        try:
            return self.at(steps[-1])
        except CheckpointError as error:
            earlier = self._complete(steps[:-1])
            if earlier is None:
                raise
            raise CheckpointError(
                f"{error}; the checkpoint of step {earlier} before it is complete, and the "
                "training can go on from there",
                settings=["resume_from"],
                next_step=NextStep("train", {"resume_from": earlier}),
            ) from error

    def at(self, step: int) -> tuple[CheckpointFile, Path]:
        """The checkpoint of a step, and its file for messages.

        Raises:
            CheckpointError: It is not there, or cannot be read.
        """
        path = self.path(step)
        if step in self.steps():
            file = read_pair(path)
            if file.step != step:
                raise CHECKPOINT_FORMAT.failure(
                    f"{path}: step is {file.step}; its name says {step}"
                )
            return file, path
        legacy = self._legacy() if (self.run / CHECKPOINT_FILE).exists() else None
        if legacy is not None and legacy[0].step == step:
            return legacy
        there = [*([legacy[0].step] if legacy else []), *self.steps()]
        raise CheckpointError(
            f"{self.run} has no checkpoint of step {step}; it has those of steps "
            f"{', '.join(map(str, there)) or 'none'}",
            settings=["resume_from"],
        )

    def best(self) -> tuple[CheckpointFile, Path]:
        """The best checkpoint, and its file for messages.

        Raises:
            CheckpointError: None was judged, or it cannot be read.
        """
        best = self.marks().best
        if best is None:
            raise CheckpointError(
                f"no checkpoint of {self.run} is marked as the best one, since no subnets were "
                "judged while it trained; use the latest one",
                next_step=NextStep("train"),
            )
        return self.at(best.step)

    @property
    def good(self) -> int | None:
        """Step of the last checkpoint that is worth going on from; None if there is none."""
        steps, marked = self.steps(), self.marks().good
        if not steps:
            return self._complete([])
        return marked if marked in steps else steps[-1]

    def is_best(self, score: float) -> bool:
        """Whether a score is higher than that of the best checkpoint so far."""
        best = self.marks().best
        return best is None or best.step not in self.steps() or score > best.score

    def mark_best(self, step: int, score: float) -> bool:
        """Keep the checkpoint of a step as the best one, if it is; whether it is.

        Args:
            step: Step of a checkpoint that is there.
            score: What it is chosen by, such as the mean accuracy of a few subnets.

        Raises:
            FileError: The mark cannot be written; it stays as it was.
            CheckpointError: There is no such checkpoint, or `marks.json` is damaged.
        """
        if step not in self.steps():
            raise CheckpointError(
                f"{self.run} has no checkpoint of step {step} to mark as the best"
            )
        if not self.is_best(score):
            return False
        self._mark(msgspec.structs.replace(self.marks(), best=Best(step=step, score=score)))
        return True

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints behind a step, as the training goes on from it.

        Raises:
            FileError: One of them cannot be removed.
            CheckpointError: `marks.json` is damaged.
        """
        marks = self.marks()
        best = None if marks.best is None or marks.best.step > step else marks.best
        good = None if marks.good is None or marks.good >= step else marks.good
        if (best, good) != (marks.best, marks.good):
            self._mark(msgspec.structs.replace(marks, best=best, good=good))
        self._remove([s for s in reversed(self.steps()) if s > step])
        self._sweep(self.steps())

    def marks(self) -> Marks:
        """Which checkpoints are special.

        Raises:
            CheckpointError: `marks.json` is damaged.
        """
        path = self._marks_path
        return MARKS_FORMAT.read_json(path) if path.exists() else Marks()

    @property
    def _marks_path(self) -> Path:
        return self.folder / f"{MARKS_FILE}.json"

    def _mark(self, marks: Marks) -> Marks:
        plain = seal(msgspec.to_builtins(marks))
        write_atomic(self._marks_path, json.dumps(plain, allow_nan=False) + "\n")
        return marks

    def _legacy(self) -> tuple[CheckpointFile, Path]:
        """The checkpoint of an earlier version."""
        path = self.run / CHECKPOINT_FILE
        if not path.exists():
            raise CheckpointError(
                f"no checkpoint in {self.run}; train first", next_step=NextStep("train")
            )
        return read_torch_file(path, CHECKPOINT_FORMAT), path

    def _complete(self, steps: Sequence[int]) -> int | None:
        """The latest of some checkpoints that is whole."""
        for step in reversed(steps):
            try:
                check_pair(self.path(step))
            except CheckpointError:
                continue
            return step
        try:
            return self._legacy()[0].step
        except CheckpointError:
            return None

    def _remove(self, steps: Sequence[int]) -> None:
        """Remove checkpoints; the JSON file first, so that none is there without its tensors."""
        for step in steps:
            path = self.path(step)
            with writing(path):
                path.unlink(missing_ok=True)
                for tensors in tensor_names(path):
                    tensors.unlink(missing_ok=True)

    def _sweep(self, steps: Sequence[int]) -> None:
        """Remove what a killed process left: tensors of no checkpoint and half-written files."""
        names = {self.path(step).stem for step in steps}
        with writing(self.folder):
            for path in self.folder.glob("*"):
                tensors = path.suffix == ".safetensors" and path.stem.rstrip("b") not in names
                if tensors or path.name.startswith("."):
                    path.unlink(missing_ok=True)
