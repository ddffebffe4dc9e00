"""A training run belongs to one process, and what the file system refuses is one message."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from training_flow import QUICK, short_forecast
from training_small import MICRO

from elasticvit.errors import (
    CheckpointError,
    DataError,
    FileError,
    SettingError,
    SpaceError,
)
from elasticvit.events import Event
from elasticvit.flows.train import train
from elasticvit.flows.train_events import RunFound, TrainProgress
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.run_info import LOCK_FILE, RUN_FILE
from elasticvit.workspace import Workspace

TESTS = Path(__file__).parent
pytestmark = pytest.mark.usefixtures(short_forecast.__name__)


OTHER = """
import sys
from training_small import MICRO
from elasticvit.errors import TrainingError
from elasticvit.flows.train import train
from elasticvit.training import probe
probe.BUDGET_S = 0.0
try:
    train(space=MICRO, epochs=1, batch_size=128, threads=1, **{sys.argv[1]: sys.argv[2]})
except TrainingError as error:
    print(error)
    sys.exit(3)
"""


KILLED = """
import os, signal, sys
from training_small import MICRO
from elasticvit.flows.train import train
from elasticvit.flows.train_events import TrainProgress
from elasticvit.training import loop, probe
probe.BUDGET_S = loop.CHECKPOINT_S = 0.0
loop.CHECKPOINT_SHARE = 1e9
def handle(event):
    if isinstance(event, TrainProgress) and event.done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
train(space=MICRO, epochs=1, batch_size=128, threads=1, out=sys.argv[1], events=handle)
"""


def other_process(name: str, place: Path) -> tuple[int, str]:
    """A training with the same settings in a process of its own: its exit code and output."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER, name, str(place)],
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["workspace", "out"])
def test_two_trainings_of_one_run_exclude_each_other(tmp_path: Path, name: str) -> None:
    place, seen = tmp_path / "here", []

    def handle(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == 3:
            seen.append(other_process(name, place))

    result = train(**{name: place}, **QUICK, events=handle)
    ((code, text),) = seen
    assert code == 3
    assert f"is in use by process {os.getpid()}, which trains it; wait until" in text
    steps = (result.folder / "log.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in steps] == list(range(1, 10))
    assert train(**{name: place}, **QUICK) == result


def test_a_killed_training_leaves_no_lock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out)],
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        timeout=120,
    )
    assert killed.returncode < 0
    assert (out / LOCK_FILE).exists()
    events: list[Event] = []
    train(out=out, **QUICK, events=events.append)
    assert RunFound(folder=out, finished=False) in events


def test_a_folder_with_nothing_but_a_lock_is_trained_in(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("1")
    assert train(out=tmp_path, **QUICK).folder == tmp_path


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A disk that is full when a file is written whose name a pattern matches."""
    put = os.replace

    def guarded(source: Any, target: Any) -> None:
        if Path(target).match(name):
            full_disk()
        put(source, target)

    monkeypatch.setattr(os, "replace", guarded)


@pytest.mark.parametrize(
    "name", [RUN_FILE, "0*.safetensors", "0*.json", "settings.toml", "log.csv"]
)
def test_a_full_disk_before_the_first_checkpoint_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        fails_on(patch, name)
        words = f"{name.replace('*', '[0-9]+')} cannot be written: No space left.*free some"
        with pytest.raises(FileError, match=words):
            train(workspace=tmp_path / "ws", **QUICK)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("os.mkdir", full_disk),
        ("elasticvit.process_lock.os", SimpleNamespace(**{**vars(os), "open": full_disk})),
    ],
)
def test_a_folder_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    (tmp_path / "ws" / "runs").mkdir(parents=True)
    (tmp_path / "ws" / "settings.toml").write_text("schema = 1\n")
    with monkeypatch.context() as patch:
        patch.setattr(name, value)
        with pytest.raises(FileError, match="No space left on device; free some space"):
            train(workspace=tmp_path / "ws", **QUICK)
    assert [p.name for p in (tmp_path / "ws").rglob("*")] == ["settings.toml"]


def test_a_full_disk_at_the_end_keeps_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fails_on(patch, "result.json")
        with pytest.raises(FileError, match=r"result\.json cannot be written"):
            train(workspace=tmp_path / "ws", **QUICK)
    (run,) = Workspace.open(tmp_path / "ws").folders("run")
    assert Checkpoint.load(run).step == 9
    assert train(workspace=tmp_path / "ws", **QUICK).folder == run


def test_a_finished_run_is_reported_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = train(workspace=tmp_path / "ws", **QUICK)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("replace", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr("elasticvit.process_lock.os.open", refuse)
    assert train(workspace=tmp_path / "ws", **QUICK) == result
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    with pytest.raises(FileError, match="Read-only file system; choose a folder"):
        train(workspace=tmp_path / "ws", **{**QUICK, "seed": 3})


def test_a_damaged_result_is_made_again_once_it_is_removed(tmp_path: Path) -> None:
    result = train(workspace=tmp_path / "ws", **QUICK)
    path = result.folder / "result.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(CheckpointError, match=r"result\.json is not .*; remove it, and train"):
        train(workspace=tmp_path / "ws", **QUICK)
    path.unlink()
    assert train(workspace=tmp_path / "ws", **QUICK).subnets == result.subnets


@pytest.mark.parametrize(
    ("changes", "words", "names"),
    [
        ({"batch_size": 1222}, "it must be at most the 1,221 training images", ("batch_size",)),
        ({"lr": 1e-9}, "lr is 1e-09; it must be a number from 5e-06 to 1", ("lr",)),
        ({"out": "x" * 300}, "File name too long; choose a shorter", ()),
        ({"out": "file/run"}, "a part of its path is a file", ()),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    words: str,
    names: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises((SettingError, FileError), match=words) as refused:
        train(workspace=tmp_path / "ws", **{**QUICK, **changes})
    assert refused.value.settings == names
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_space_beyond_all_memory_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Widths of 8192 and expansions of 64 would take terabytes."""
    genes = [(16,), *MICRO.choices[1:5], (8192,), (2,), (64,), (5,), (8192,), (2,), (64,), (3,)]
    huge = replace(MICRO, name="huge", choices=tuple(genes))
    with pytest.raises(SpaceError, match=r"huge: its supernet has [\d,]+ million weights.*smaller"):
        train(workspace=tmp_path / "ws", **{**QUICK, "space": huge})
    assert not (tmp_path / "ws").exists()


def test_each_process_needs_images_for_its_batch_norms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elasticvit.flows.train_plan import TrainPlan
    from elasticvit.flows.train_settings import TrainSettings
    from elasticvit.training.data import open_data
    from elasticvit.training.ranks import Ranks

    with pytest.raises(SettingError, match="batch_size is 6; it must be at least 8"):
        TrainPlan(
            Workspace.open(tmp_path / "ws"),
            TrainSettings(batch_size=6),
            MICRO,
            open_data("digits"),
            Ranks(count=4),
            lambda event: None,
            None,
        )
    with pytest.raises(
        SettingError, match=r"must be at least 24: .* in each of 12 parts"
    ) as refused:
        train(workspace=tmp_path / "ws", space=MICRO, batch_size=6, accumulate=12)
    assert refused.value.settings == ("batch_size", "accumulate")


def photos(root: Path) -> Path:
    """A data set that is decoded while it is trained on, since its images differ in size."""
    for value, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        for i in range(30):
            Image.new("RGB", (16 + i % 2, 16), (90 * value, i, 0)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_in_the_middle_keeps_the_steps_before(
    tmp_path: Path, workers: int
) -> None:
    data = photos(tmp_path / "data")

    def break_images(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == 2:
            for file in data.rglob("*.png"):
                file.write_bytes(b"no picture")

    workspace = Workspace.open(tmp_path / "ws")
    quick = {**QUICK, "data": str(data), "epochs": 4, "batch_size": 8, "workers": workers}
    with pytest.raises(DataError, match=r"\.png cannot be decoded: it is not an image"):
        train(workspace=workspace, **quick, events=break_images)
    (run,) = workspace.folders("run")
    step = Checkpoint.load(run).step  # workers decode some batches ahead
    assert step == 2 if workers == 0 else 2 <= step < 20
