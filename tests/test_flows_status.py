"""`status` and `evit-status`: what a workspace holds, what is damaged, and what to do next."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from add_models import FLOAT32, INT32, add_model
from click.testing import CliRunner
from export_models import finished_search
from training_small import MICRO, config, run_info

import elasticvit as ev
from devices.protocol import Measurement
from elasticvit.arch import Arch
from elasticvit.cli.status import main
from elasticvit.errors import NextStep, WorkspaceError
from elasticvit.flows.search_place import LOCK_FILE as SEARCH_LOCK
from elasticvit.flows.status import WorkspaceStatus, status
from elasticvit.flows.timing_summary import SUMMARY_FILE
from elasticvit.flows.train_result import SubnetAccuracy, TrainResult
from elasticvit.process_lock import process_lock
from elasticvit.space import TINY
from elasticvit.training.run_info import LOCK_FILE, LOG_FILE
from elasticvit.workspace import Workspace
from lut.contents import contents
from lut.store import Store


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a profile of the fake device."""
    root = tmp_path_factory.mktemp("profiled") / "ws"
    ev.profile(device="fake", space="tiny", budget_minutes=0.02, rounds=2, workspace=root)
    return root


@pytest.fixture
def workspace(profiled: Path, tmp_path: Path) -> Workspace:
    subprocess.run(["cp", "-a", profiled, tmp_path / "ws"], check=True)
    return Workspace.open(tmp_path / "ws")


def trained(workspace: Workspace, *, finished: bool = True, name: str = "r1") -> Path:
    """A training run, as far as its small files go."""
    run = workspace.root / "runs" / name
    run.mkdir(parents=True)
    run_info(config(epochs=3)).save(run)
    (run / LOG_FILE).write_text("step,epoch\n1,0\n2,0\n17,1\n18")
    if finished:
        subnet = SubnetAccuracy(name="smallest", arch=MICRO.smallest, macs_m=1.0, accuracy=97.5)
        TrainResult(
            folder=run,
            space="micro",
            data="digits",
            seed=0,
            epochs=3,
            subnets=(subnet,),
            images=100,
            expected_s=1.0,
            took_s=1.0,
        ).save()
        workspace.set_latest("run", run)
    return run


def digest(root: Path) -> dict[str, str]:
    """Every file with its content and time of change."""
    return {
        str(path.relative_to(root)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} "
        f"{path.stat().st_mtime_ns}"
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@contextmanager
def unchanged(root: Path) -> Iterator[None]:
    before = digest(root)
    yield
    assert digest(root) == before


def test_an_empty_folder_has_nothing_and_stays_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = status()
    assert found.next_step == NextStep("profile", {"device": "host"})
    assert not [*found.devices, *found.runs, *found.searches, *found.exports, *found.damaged]
    shown = CliRunner().invoke(main, [])
    assert shown.exit_code == 0
    assert "there is nothing in it yet" in shown.stdout
    assert "next: evit-profile --device host" in shown.stdout
    assert not list(tmp_path.iterdir())


def test_a_profiled_device_is_told_with_source_size_age_and_error(workspace: Workspace) -> None:
    with unchanged(workspace.root):
        found = status(workspace)
    (device,) = found.devices
    assert (device.name, device.source, device.predictor) == ("fake", "fake:fake", True)
    assert device.kernels > 20
    assert device.subnets > 5
    assert device.error_pct is not None
    assert 0 < device.error_pct < 100
    assert device.measured_s is not None
    assert device.measured_s <= time.time()
    assert device.latest
    assert found.next_step == NextStep("train")


def test_the_steps_follow_one_another(workspace: Workspace) -> None:
    trained(workspace, finished=False, name="r0")
    found = status(workspace)
    (run,) = found.runs
    assert (run.finished, run.step, run.process, run.latest) == (False, 17, None, False)
    assert (run.space, run.data, run.epochs) == ("micro", "digits", 3)
    assert found.next_step == NextStep(
        "train", {"space": "micro", "data": "digits", "epochs": 3, "seed": 0}
    )
    trained(workspace)
    found = status(workspace)
    assert [(run.finished, run.accuracy, run.latest) for run in found.runs] == [
        (False, None, False),
        (True, 97.5, True),
    ]
    assert found.next_step == NextStep("search", {"target_ms": "N"})  # no predictor of `micro`


def test_a_search_and_an_export_are_told(workspace: Workspace) -> None:
    trained(workspace)
    finished_search(workspace)
    path = workspace.latest("search") / "search.json"
    path.write_text(path.read_text().replace('"a run"', '"runs/r1"'))
    found = status(workspace)
    (search,) = found.searches
    assert search.arch == TINY.smallest
    assert (search.accuracy, search.predicted_ms, search.latest) == (10.0, 1.5, True)
    assert [(t.device, t.unit, t.limit) for t in search.targets] == [("fake", "ms", 2.0)]
    assert found.next_step == NextStep("export", {"format": "tflite"})
    ev.export(workspace=workspace, format="tflite,onnx", images=8)
    with unchanged(workspace.root):
        found = status(workspace)
    (model,) = found.exports
    assert (model.format, model.device, model.latest) == ("tflite", "fake", True)
    assert model.model.stat().st_size == model.bytes
    assert model.measured_ms is not None
    assert found.next_step.flow == "search"
    shown = CliRunner().invoke(main, ["--workspace", str(workspace.root)], env={"COLUMNS": "160"})
    assert shown.exit_code == 0
    for words in ("fake:fake", "3 epochs, finished", "2 ms on fake", str(TINY.smallest), " kB, "):
        assert words in shown.stdout
    said = " ".join(shown.stdout.split())
    assert f"{model.model.name}: {TINY.smallest}, tflite and onnx, fp32, " in said
    assert (model.formats, model.precision) == (("tflite", "onnx"), "fp32")
    for file in model.model.parent.iterdir():  # as `cp -r` changes them
        os.utime(file, (2e9, 2e9))
    (copied,) = status(workspace).exports
    assert copied.changed_s == model.changed_s < time.time() < 2e9
    assert "damaged" not in shown.output


def test_timed_models_are_told_with_their_folder(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    models = []
    for name, kind in (("one", INT32), ("two", FLOAT32)):
        models.append(tmp_path / f"{name}.tflite")
        models[-1].write_bytes(add_model(FLOAT32, kind))
    ev.time_models(model=models, device="fake", rounds=2, workspace=workspace)
    killed = workspace.new_folder("timing")
    damaged = workspace.new_folder("timing")
    (damaged / SUMMARY_FILE).write_text("{")
    with unchanged(workspace.root):
        found = status(workspace)
    whole, cut = found.timings
    assert (whole.device, whole.rounds, whole.complete) == ("fake", 2, True)
    assert list(whole.models) == ["one", "two"]
    assert all(ms is not None and ms > 0 for ms in whole.models.values())
    assert (cut.folder, cut.device, cut.models) == (killed, None, {})
    assert [one.path for one in found.damaged] == [damaged]
    for file in whole.folder.iterdir():  # as `cp -r` changes them
        os.utime(file, (2e9, 2e9))
    assert status(workspace).timings[0].changed_s == whole.changed_s < time.time() < 2e9
    shown = CliRunner().invoke(main, ["--workspace", str(workspace.root)], env={"COLUMNS": "160"})
    for words in (f"{whole.folder.name}: one ", "on fake, 2 rounds, made", "without a summary"):
        assert words in shown.stdout
    assert json.loads(json.dumps(found.to_dict()))["timings"][0]["folder"] == str(whole.folder)


def test_an_interrupted_search_is_told_with_its_target(workspace: Workspace) -> None:
    trained(workspace)
    folder = workspace.new_folder("search")
    state = {
        "schema": 1,
        "settings": {"targets": [["latency on fake", "ms", 4.0], ["MACs", "MMACs", 30.0]]},
        "genes": [[1], [2]],
        "pending": [[[3], 50.0]],
    }
    (folder / "state.json").write_text(json.dumps(state))
    found = status(workspace)
    (search,) = found.searches
    assert (search.finished, search.evaluated, search.arch) == (False, 3, None)
    assert [t.device for t in search.targets] == ["fake", None]
    assert found.next_step == NextStep("search", {"device": "fake", "target_ms": "4"})


def test_a_training_under_way_is_told_with_its_process(workspace: Workspace) -> None:
    run = trained(workspace, finished=False)
    with process_lock(run / LOCK_FILE, WorkspaceError, "taken"):
        found = status(workspace)
        assert found.runs[0].process == str(os.getpid())
        assert "wait for it" in found.reason
    assert status(workspace).runs[0].process is None


def test_a_search_that_goes_on_is_under_way(workspace: Workspace) -> None:
    trained(workspace)
    folder = workspace.new_folder("search")
    (folder / "state.json").write_text('{"schema": 1, "settings": {}, "genes": [], "pending": []}')
    runner = CliRunner(env={"COLUMNS": "300"})
    with process_lock(folder / SEARCH_LOCK, WorkspaceError, "taken"):
        shown = runner.invoke(main, ["--workspace", str(workspace.root)])
    assert f"under way in process {os.getpid()} after 0 architectures" in shown.output
    assert "interrupted" not in shown.output


def test_an_interrupted_run_beside_a_finished_one_names_its_command(workspace: Workspace) -> None:
    trained(workspace)
    trained(workspace, finished=False, name="r2")
    shown = CliRunner(env={"COLUMNS": "300"}).invoke(main, ["--workspace", str(workspace.root)])
    assert "resumed by evit-train --space micro --data digits --epochs 3" in shown.output


def test_what_has_just_begun_is_not_damaged(workspace: Workspace) -> None:
    for folder in ("exports/.unfinished-a1", "runs/r9", "searches/s9"):
        (workspace.root / folder).mkdir(parents=True)
    (workspace.root / "searches" / "s9" / SEARCH_LOCK).touch()
    (workspace.root / "runs" / "r9" / LOCK_FILE).touch()
    found = status(workspace)
    assert not [*found.damaged, *found.runs, *found.searches, *found.exports]


def test_a_search_of_another_supernet_leads_to_its_export(tmp_path: Path) -> None:
    empty = Workspace.open(tmp_path / "ws")
    finished_search(empty)
    found = status(empty)
    assert found.searches[0].finished
    assert found.next_step == NextStep("export", {"format": "tflite"})


@pytest.mark.parametrize(
    "broken",
    [
        "settings.toml",
        "lut.sqlite",
        "predictors/fake/predictor.json",
        "runs/r1/run.json",
        "runs/r1/result.json",
        "searches/s/search.json",
        "searches/s/state.json",
        "exports/e/model.json",
    ],
)
def test_damage_is_named_and_spoils_nothing_else(workspace: Workspace, broken: str) -> None:
    trained(workspace, name="r0")
    trained(workspace)
    path = workspace.root / broken
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff{")
    with unchanged(workspace.root):
        found = status(workspace.root)
        shown = CliRunner().invoke(main, ["--workspace", str(workspace.root)])
    (damage,) = found.damaged
    assert path == damage.path or path.is_relative_to(damage.path)
    assert len(damage.problem.splitlines()) == 1
    assert any(run.folder.name == "r0" for run in found.runs)
    assert shown.exit_code == 0
    assert "warning: damaged: " in shown.stderr


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(WorkspaceError, match="is no workspace"):
        status(tmp_path)


def test_json_tells_everything(workspace: Workspace) -> None:
    trained(workspace)
    finished_search(workspace)
    shown = CliRunner().invoke(main, ["--workspace", str(workspace.root), "--json", "-q"])
    (line,) = shown.stdout.splitlines()
    told = json.loads(line)
    assert told["command"] == "evit-status"
    assert told["devices"][0]["name"] == "fake"
    assert told["runs"][0]["folder"].endswith("r1")
    assert Arch.parse(told["searches"][0]["arch"]) == TINY.smallest
    assert told["next_step"]["flow"] == "search"
    assert isinstance(ev.status(workspace), WorkspaceStatus)


def test_it_loads_neither_torch_nor_pandas(workspace: Workspace) -> None:
    trained(workspace)
    finished_search(workspace)
    code = (
        "import sys\nfrom elasticvit.cli.status import main\n"
        f"try: main(['--workspace', {str(workspace.root)!r}, '-q'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print([m for m in ('torch', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[1:] == ["[]"]
    assert done.stdout.startswith("evit-")
    assert done.stderr == ""


def test_the_log_that_a_killed_profile_leaves_is_read(tmp_path: Path) -> None:
    """The table's last measurements are in the log beside it, with or without its index."""
    code = (
        "import os, sys\nsys.path.insert(0, sys.argv[2])\nfrom test_flows_status import add\n"
        "store = add(sys.argv[1])\nos._exit(0)"
    )
    path = tmp_path / "ws" / "lut.sqlite"
    folder = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", code, str(path), folder], check=True)
    assert path.with_name("lut.sqlite-wal").stat().st_size > 0
    (content,) = contents(path)
    assert (content.kernels, content.subnets, content.measurements) == (1, 0, 2)
    path.with_name("lut.sqlite-shm").unlink()
    with unchanged(path.parent):
        assert contents(path) == (content,)


def add(path: str) -> Store:
    """An open table with two measurements of one kernel."""
    store = Store(path)
    for number in range(2):
        store.add(
            "host",
            Measurement(
                key="ffn size=8 width=64 mlp_ratio=2",
                round=number,
                samples_us=(100.0, 101.0),
                time_s=1e9 + number,
                source="host:test",
                runtime="none",
                runtime_hash="0",
                threads=1,
                cores="0",
            ),
        )
    return store


MEMORY = ["peak memory", "MB of activations", 2.5]


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        (
            [["latency on fake", "ms", 4.0], MEMORY, ["latency on fake", "ms", 6.0], MEMORY],
            {"device": "fake", "target_ms": "4,6"},
        ),
        ([["macs", "MMACs", 30.0]], {"target_mmacs": "30"}),
        ([MEMORY], {"target": "memory=2.5"}),
        ([["parameters", "M parameters", 3], ["macs", "MMACs", 9]], {"target": "params=3"}),
        ([], {}),
    ],
)
def test_an_interrupted_search_is_called_again_by_its_first_targets(
    workspace: Workspace, targets: list, wanted: dict
) -> None:
    trained(workspace)
    state = {"schema": 1, "settings": {"targets": targets}, "genes": [], "pending": []}
    (workspace.new_folder("search") / "state.json").write_text(json.dumps(state))
    found = status(workspace)
    assert len(found.searches[0].targets) == len({tuple(row) for row in targets})
    assert found.next_step == NextStep("search", wanted)
