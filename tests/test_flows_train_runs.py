"""Which run a training goes on with, where runs lie, and runs of several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from training_flow import QUICK, Enough, at_step, enough, shapes, short_forecast

from elasticvit.errors import CheckpointError, SettingError
from elasticvit.events import Event, Notice
from elasticvit.flows.train import train
from elasticvit.workspace import Workspace

__all__ = ["shapes"]
pytestmark = pytest.mark.usefixtures(short_forecast.__name__)


def test_a_run_of_an_earlier_version_that_turned_no_photograph_is_not_gone_on_with(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (shapes / "red").iterdir():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 3
        Image.open(file).save(file, exif=exif)
    settings = {**QUICK, "data": str(shapes), "batch_size": 16, "workspace": tmp_path / "ws"}
    with monkeypatch.context() as earlier:
        earlier.setattr("elasticvit.training.decoding.upright", lambda image: image)
        with pytest.raises(Enough):
            train(events=at_step(2, enough), **settings)
    with pytest.raises(CheckpointError, match="no interrupted run with these settings"):
        train(resume=True, **settings)


def test_other_learning_rates_are_recorded_and_the_run_is_the_same(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Enough):
        train(out=out, events=at_step(2, enough), **QUICK)
    result = train(out=out, lr_scale=0.5, **QUICK)
    assert (result.folder, result.lr_scale) == (out, 0.5)
    assert train(out=out, **QUICK) == result


def test_other_settings_start_anew_and_say_so(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with pytest.raises(Enough):
        train(workspace=workspace, events=at_step(1, enough), **QUICK)
    (old,) = workspace.folders("run")
    other = {**QUICK, "seed": 1}
    with pytest.raises(CheckpointError, match="no interrupted run with these settings") as refused:
        train(workspace=workspace, resume=True, **other)
    assert refused.value.settings == ("resume",)
    events: list[Event] = []

    def stop_at_notice(event: Event) -> None:
        events.append(event)
        if isinstance(event, Notice):
            raise Enough

    with pytest.raises(Enough):
        train(workspace=workspace, events=stop_at_notice, **other)
    assert events[-1] == Notice(text=f"starting anew: the interrupted {old} has other settings")
    assert workspace.folders("run") == [old]


def test_a_run_in_a_folder_of_ones_own_needs_no_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "here"
    with pytest.raises(Enough):
        train(out=out, events=at_step(3, enough), **QUICK)
    result = train(out=out, **QUICK)
    assert result.folder == out
    assert [p.name for p in tmp_path.iterdir()] == ["here"]
    assert train(out=out, **QUICK) == result
    for changes, words in (
        ({"seed": 1}, "holds a training run with other settings"),
        ({"fresh": True}, "holds a training run already"),
    ):
        with pytest.raises(SettingError, match=words):
            train(out=out, **{**QUICK, **changes})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").touch()
    with pytest.raises(SettingError, match="is not a training run; name a new folder"):
        train(out=tmp_path / "full", **QUICK)
    assert (tmp_path / "full" / "photo.jpg").exists()


RANK_CODE = """
import sys
from pathlib import Path
from training_small import MICRO
from elasticvit.flows.train import train
seen = []
result = train(space=MICRO, epochs=1, batch_size=128, threads=1, events=seen.append,
               workspace=sys.argv[1])
import os
facts = f"{len(seen) > 0} {result.folder.name} {result.subnets[0].accuracy}"
(Path(sys.argv[0]).parent / f"rank{os.environ['RANK']}").write_text(facts)
"""


def test_two_processes_return_the_same_result_and_the_first_reports(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    script = tmp_path / "ranks.py"
    script.write_text(RANK_CODE)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "ws")],
        env=os.environ
        | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # A file a process: two processes that print to one pipe can share a line.
    reports, *facts = (tmp_path / "rank0").read_text().split()
    silent, *same = (tmp_path / "rank1").read_text().split()
    assert (reports, silent) == ("True", "False")
    assert facts == same
    assert len(Workspace.open(tmp_path / "ws").folders("run")) == 1
