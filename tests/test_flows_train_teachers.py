"""Teachers and single subnets through the train flow: one run teaches the next one."""

from __future__ import annotations

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from training_flow import Enough, at_step, enough, shapes, short_forecast
from training_small import DATA, MICRO

from elasticvit.cli.app import command_line
from elasticvit.cli.train import main
from elasticvit.cli.train_report import next_command
from elasticvit.errors import (
    ArchError,
    CheckpointError,
    EvitError,
    ModelError,
    NextStep,
    SettingError,
)
from elasticvit.events import Event, ignore
from elasticvit.flows.export import ExportSettings, export
from elasticvit.flows.search import search
from elasticvit.flows.soft_labels import SoftLabelsProgress, write_soft_labels
from elasticvit.flows.status import status
from elasticvit.flows.train import TrainResult, TrainSettings, train
from elasticvit.flows.train_single import named_space, open_single
from elasticvit.flows.train_teachers import find_teacher
from elasticvit.nn import Subnet
from elasticvit.nn.shipped import load_card, read_supernet
from elasticvit.training.checkpoint import Checkpoint, load_supernet
from elasticvit.training.data import open_data
from elasticvit.training.run_info import RunInfo
from elasticvit.training.soft_labels import SoftLabels
from elasticvit.training.start_source import open_source
from elasticvit.training.teacher import weights_of
from elasticvit.workspace import Workspace

__all__ = ["shapes"]
pytestmark = pytest.mark.usefixtures(short_forecast.__name__)
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 400, "threads": 1}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A supernet trained on digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
        out = tmp_path_factory.mktemp("first") / "run"
        return train(space=MICRO, data="digits", out=out, **QUICK)


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = Checkpoint.load(run)
    assert checkpoint.ema is not None
    return {**checkpoint.weights, **{f"ema {k}": v for k, v in checkpoint.ema.items()}}


def test_a_run_teaches_the_next_one_itself_or_by_soft_labels(
    first: TrainResult, tmp_path: Path
) -> None:
    events: list[Event] = []
    workspace = tmp_path / "ws"
    file = tmp_path / "soft"
    made = write_soft_labels(
        file=file,
        teacher=str(first.folder),
        space=MICRO,
        data="digits",
        threads=1,
        workspace=workspace,
        events=events.append,
    )
    assert not workspace.exists()
    assert (made.images, made.classes, made.teachers) == (1221, 10, (str(MICRO.largest),))
    assert [e.done for e in events if isinstance(e, SoftLabelsProgress)][-1] == 1221
    assert SoftLabels.load(file).info.resolution == 24
    for changes in (
        {"soft_labels": file},
        {"teacher": str(first.folder)},
        {"teacher": [str(first.folder), f"{first.folder}@smallest"]},
    ):
        with pytest.raises(Enough):
            train(space=MICRO, workspace=workspace, events=at_step(1, enough), **QUICK, **changes)
    runs = Workspace.open(workspace).folders("run")
    infos = [RunInfo.load(run).settings.distillation for run in runs]
    assert infos[0].teachers == infos[1].teachers != infos[2].teachers
    assert [info.share for info in infos] == [0.5, 0.5, 1.0]
    assert infos[0].soft_labels == SoftLabels.load(file).info.content
    resumed = train(space=MICRO, workspace=workspace, soft_labels=file, resume=True, **QUICK)
    assert resumed.folder == runs[0]
    with pytest.raises(SettingError, match="exists; name a new file"):
        write_soft_labels(file=file, teacher=str(first.folder), workspace=workspace)


def test_a_teacher_of_ours_is_recalibrated_and_found_by_its_file(
    first: TrainResult, tmp_path: Path
) -> None:
    teacher = find_teacher(f"{first.folder}@smallest", DATA)
    cut = Subnet.cut(first.supernet(), MICRO.smallest)
    name = "blocks.0.bn.running_mean"
    assert not torch.equal(teacher.network.state_dict()[name], cut.state_dict()[name])
    assert (teacher.side, teacher.mean) == (16, DATA.mean)
    cut.save(tmp_path / "subnet.pt")
    again = find_teacher(str(tmp_path / "subnet.pt"), DATA)
    assert again.info == teacher.info
    assert (again.side, again.mean) == (16, DATA.mean)


SHIPPED = "tiny-cifar10"
SHIPPED_FILE = str(files("elasticvit") / "weights" / f"{SHIPPED}.safetensors")


@pytest.mark.parametrize("name", [SHIPPED, SHIPPED_FILE])
def test_the_supernet_that_comes_with_the_package_is_trained_from(
    tmp_path: Path, name: str
) -> None:
    supernet = read_supernet(SHIPPED)
    for way in ("init", "start_from"):
        source = open_source(name, way)
        assert source.space == supernet.space
        assert source.identity == open_source(SHIPPED, way).identity
    settings = TrainSettings(subnet="smallest", start_from=name)
    space = named_space(settings, Workspace(tmp_path), ignore)
    assert space == supernet.space
    single = open_single(settings, space.with_classes(3), ignore)
    assert single is not None
    assert single.subnet is not None
    cut = Subnet.cut(supernet, space.smallest)
    assert weights_of(single.subnet) == weights_of(cut)


@pytest.mark.parametrize("name", [SHIPPED, SHIPPED_FILE])
def test_the_supernet_that_comes_with_the_package_teaches(tmp_path: Path, name: str) -> None:
    card = load_card(SHIPPED)
    rng = np.random.default_rng(0)
    for label in card.classes:
        (tmp_path / label).mkdir()
        for i in range(8):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    data = open_data(str(tmp_path))
    teacher = find_teacher(f"{name}@smallest", data)
    assert (teacher.side, teacher.mean) == (32, card.mean)
    with pytest.raises(ArchError, match="no architecture 'none'"):
        find_teacher(f"{name}@none", data)
    (tmp_path / card.classes[0]).rename(tmp_path / "zebra")
    with pytest.raises(
        ModelError, match=rf"teacher .*{SHIPPED}.*: data set .*, or another teacher"
    ):
        find_teacher(name, open_data(str(tmp_path)))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"teacher": "none.safetensors"}, CheckpointError, r"none\.safetensors does not exist"),
        ({"init": "none"}, CheckpointError, rf"no weights at none; .*supernet \({SHIPPED}, or a"),
        ({"init": "none.safetensors"}, CheckpointError, r"none\.safetensors does not exist"),
        ({"teacher": "resnet81"}, SettingError, "timm has no network 'resnet81'; close names"),
        ({"teacher": "resnet18"}, ModelError, "tells 1,000 classes apart, the data set has 10"),
        ({"teacher": "test_vit:none.pth"}, CheckpointError, r"none\.pth does not exist"),
        ({"teacher": "none.pt"}, CheckpointError, r"no subnet at none\.pt"),
        ({"teacher": "runs/none"}, ModelError, "there is no training run"),
        ({"teacher": "RUN@r9 1"}, ArchError, "no architecture 'r9 1'"),
        ({"soft_labels": "none"}, EvitError, "none does not exist; it should be soft labels"),
        ({"subnet": "huge"}, ArchError, "subnet: no architecture 'huge'"),
        ({"subnet": "smallest", "start_from": "none"}, CheckpointError, "does not exist"),
        ({"subnet": "smallest", "start_from": "."}, CheckpointError, "without a training run"),
    ],
)
def test_what_cannot_be_used_is_refused_and_leaves_nothing_behind(
    first: TrainResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    error: type[EvitError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {k: v.replace("RUN", str(first.folder)) for k, v in settings.items()}
    space = None if "start_from" in settings else MICRO
    with pytest.raises(error, match=words) as refused:
        train(space=space, data="digits", **QUICK, **settings)
    assert "\n" not in str(refused.value)
    assert set(refused.value.settings) <= {*settings, "data"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"teacher": "a", "soft_labels": "b"}, "exclude each other"),
        ({"teacher": ["a", "a"]}, "one is named twice"),
        ({"init": "a", "subnet": "smallest"}, "subnet and init exclude each other"),
        ({"start_from": "", "subnet": "smallest"}, "start_from is ''"),
        ({"soft_labels": "a\0"}, "soft_labels is"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError, match=words) as refused:
        TrainSettings(**settings)
    assert set(refused.value.settings) <= {"teacher", "soft_labels", "start_from", "init", "subnet"}


def test_a_subnet_is_fine_tuned_on_other_data_and_is_a_run_like_any_other(
    first: TrainResult, tmp_path: Path, shapes: Path
) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    tune: dict[str, Any] = {
        "subnet": str(MICRO.largest),
        "start_from": first.folder,
        "data": str(shapes),
        "epochs": 3,
        "batch_size": 32,
        "threads": 1,
    }
    with pytest.raises(Enough):
        train(workspace=workspace, events=at_step(3, enough), **tune)
    tuned = train(workspace=workspace, resume=True, **tune)
    whole = train(out=tmp_path / "whole", **tune)
    expected, got = weights(whole.folder), weights(tuned.folder)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert [s.name for s in tuned.subnets] == ["subnet"]
    assert tuned.subnets[0].arch == MICRO.largest
    assert tuned.subnets[0].accuracy > 60
    info = RunInfo.load(tuned.folder)
    assert (info.space.size(), info.space.layout.classes) == (1, 3)
    scratch = {**tune, "start_from": None, "space": MICRO}
    with pytest.raises(Enough):
        train(out=tmp_path / "scratch", events=at_step(1, enough), **scratch)
    other = RunInfo.load(tmp_path / "scratch")
    assert (other.space, other.settings.start) == (info.space, "")
    assert other.settings.lr == info.settings.lr
    assert workspace.settings().space is None  # what follows does not train this space

    assert tuned.single
    words = f"one architecture that was trained alone, {re.escape(str(MICRO.largest))}: there"
    for where in ({}, {"supernet": tuned.folder}, {"run": tuned.folder}):
        with pytest.raises(SettingError, match=words) as refused:
            search(workspace=workspace, target_mmacs=50, **where)
        settings = {"supernet": str(tuned.folder), "arch": "largest"}
        assert refused.value.next_step == NextStep("export", settings)
    assert status(workspace).next_step == NextStep("export", settings)
    assert next_command(tuned, "host") == command_line(NextStep("export", settings))
    exported = export(settings=ExportSettings(images=8, **settings), workspace=workspace)
    assert exported.card.arch == MICRO.largest
    assert exported.card.parity.torch_accuracy is not None  # on the run's own data set
    assert status(workspace).next_step == NextStep("train")
    file = tmp_path / "subnet.pt"
    Subnet.cut(load_supernet(tuned.folder), MICRO.largest).save(file)
    again = {**tune, "start_from": file, "epochs": 1}
    once_more = train(out=tmp_path / "more", space=MICRO, **{**again, "subnet": "largest"})
    assert RunInfo.load(once_more.folder).space.name == "subnet"
    largest = re.escape(str(MICRO.largest))
    for named, space, words in (
        (
            str(MICRO.smallest),
            None,
            rf"subnet is {re.escape(str(MICRO.smallest))}, but .*{largest}",
        ),
        ("smallest", MICRO, rf"smallest of space micro, r16 .*, but .*{largest}; name that one"),
        ("smallest", None, rf"subnet is smallest, of a space that is not known, and .*{largest}"),
        ("none", None, "subnet: no architecture 'none'"),
    ):
        with pytest.raises(ArchError, match=words) as differs:
            train(out=tmp_path / "no", space=space, **{**again, "subnet": named})
        assert differs.value.settings[0] == "subnet"
    (tmp_path / "search").mkdir()  # a winner lies there as such a file
    shutil.copy(file, tmp_path / "search" / "subnet.pt")
    of_search = train(out=tmp_path / "of_search", **{**again, "start_from": tmp_path / "search"})
    assert RunInfo.load(of_search.folder).space.name == "subnet"
    for wanted, message in ((tune, f"is of space {MICRO.name}; leave"), (again, "another layout")):
        with pytest.raises(SettingError, match=message):
            train(out=tmp_path / "no", space="tiny", **wanted)
    assert not (tmp_path / "no").exists()


def test_fine_tuning_starts_from_what_the_supernet_says(first: TrainResult, tmp_path: Path) -> None:
    """With a learning rate of next to nothing the weights stay those of the supernet."""
    tuned = train(
        subnet="smallest",
        start_from=first.folder,
        data="digits",
        out=tmp_path / "run",
        lr=5e-6,
        **QUICK,
    )
    before, after = load_supernet(first.folder), load_supernet(tuned.folder)
    images = torch.randn(4, 3, 16, 16)
    cut = [Subnet.cut(supernet, MICRO.smallest) for supernet in (before, after)]
    with torch.no_grad():
        for subnet in cut:
            subnet.train()  # statistics of the images themselves
        one, two = (subnet(images) for subnet in cut)
    assert torch.allclose(one, two, atol=0.02)


def test_the_command_writes_soft_labels_and_trains_nothing(
    first: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "micro.toml").write_text(MICRO.to_toml())
    common = ["--space", "micro.toml", "--data", "digits", "--teacher", str(first.folder)]
    result = CliRunner().invoke(main, [*common, "--write-soft-labels", "soft", "--json"])
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["images"] == 1221
    assert "next: evit-train --soft-labels soft" in result.stderr
    refused = CliRunner().invoke(main, [*common, "--write-soft-labels", "b", "--epochs", "2"])
    assert refused.exit_code == 2
    assert "--epochs: not with --write-soft-labels" in refused.stderr
    alone = CliRunner().invoke(main, ["--write-soft-labels", "b"])
    assert "there is no teacher" in alone.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["micro.toml", "soft"]
