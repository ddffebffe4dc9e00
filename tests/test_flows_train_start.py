"""What the train flow starts with: the space it chooses, the recipe, and trained weights."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from training_flow import QUICK, short_forecast
from training_small import MICRO

from elasticvit.errors import CheckpointError, EvitError, SettingError, TargetError
from elasticvit.events import Event, Notice
from elasticvit.flows.train import TrainResult, train
from elasticvit.flows.train_events import SpaceChosen, TrainingPlanned, TrainProgress
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.authors import authors_name
from elasticvit.nn.blocks import AUTHORS
from elasticvit.space import MOBILE, PHOTO, SearchSpace
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.levels import Levels
from elasticvit.training.run_info import RunInfo
from elasticvit.training.start_source import open_source
from elasticvit.workspace import Workspace

pytestmark = pytest.mark.usefixtures(short_forecast.__name__)


def pictures(root: Path, classes: int, count: int = 16, side: int = 64) -> Path:
    rng = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 80, (side, side, 3), dtype=np.uint8)
            pixels[..., label % 3] += 150
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
        return train(workspace=tmp_path_factory.mktemp("trained") / "ws", **QUICK)


@pytest.fixture(scope="module")
def subnet(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("subnet") / "subnet.pt"
    Subnet.cut(trained.supernet(), MICRO.smallest).save(path)
    return path


class Enough(Exception):
    pass


def stop_at_first_step(seen: list[Event]) -> Any:
    def handle(event: Event) -> None:
        seen.append(event)
        if isinstance(event, TrainProgress):
            raise Enough

    return handle


def begin(workspace: Path, **changes: Any) -> list[Event]:
    """The events of a training up to its first step."""
    seen: list[Event] = []
    with pytest.raises(Enough):
        train(workspace=workspace, events=stop_at_first_step(seen), **{"threads": 1, **changes})
    return seen


def initial_loss(workspace: Path, **changes: Any) -> float:
    (progress,) = [e for e in begin(workspace, **changes) if isinstance(e, TrainProgress)]
    return progress.losses.sampled


def test_a_bare_training_on_digits_takes_the_tiny_space(tmp_path: Path) -> None:
    seen = begin(tmp_path / "ws")
    (chosen,) = [e for e in seen if isinstance(e, SpaceChosen)]
    assert (chosen.space, chosen.recipe) == ("tiny", "cpu-minutes")
    assert chosen.reason.startswith("1,221 images of 8 pixels in 10 classes")
    assert Workspace.open(tmp_path / "ws").space().name == "tiny"
    seen = begin(tmp_path / "ws", fresh=True)  # it is remembered
    assert not [e for e in seen if isinstance(e, SpaceChosen)]


def test_few_photographs_get_the_photo_space_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ((64,), *((c[0],) for c in PHOTO.choices[1:-1]), (2, 3))
    monkeypatch.setattr("elasticvit.training.choice.PHOTO", replace(PHOTO, choices=small))
    seen = begin(tmp_path / "ws", data=str(pictures(tmp_path / "data", 3)), batch_size=4)
    (chosen,) = [e for e in seen if isinstance(e, SpaceChosen)]
    assert chosen.space == "photo"
    (advice,) = [e for e in seen if isinstance(e, Notice) and e.warning]
    assert "photographs are few" in advice.text
    (plan,) = [e for e in seen if isinstance(e, TrainingPlanned)]
    assert (plan.recipe, plan.epochs, plan.classes) == ("cpu-minutes", 25, 3)


def test_training_starts_from_the_weights_of_a_subnet(
    tmp_path: Path, trained: TrainResult, subnet: Path
) -> None:
    fresh = initial_loss(tmp_path / "a", **QUICK)
    started = initial_loss(tmp_path / "b", start_from=subnet, **QUICK)
    assert started < fresh
    continued = initial_loss(tmp_path / "c", start_from=trained.folder, **QUICK)
    assert continued < fresh
    runs = [next((tmp_path / name / "runs").iterdir()) for name in "abc"]
    hashes = [RunInfo.load(run).settings.start for run in runs]
    assert hashes[0] == ""
    assert len(set(hashes)) == 3
    assert open_source(subnet, "start_from").identity == hashes[1]


def test_a_started_training_is_resumed_by_the_same_weights_alone(
    tmp_path: Path, trained: TrainResult, subnet: Path
) -> None:
    begin(tmp_path / "ws", start_from=subnet, **QUICK)
    result = train(workspace=tmp_path / "ws", start_from=subnet, resume=True, **QUICK)
    whole = train(workspace=tmp_path / "other", start_from=subnet, **QUICK)
    expected, got = (load_supernet(r.folder).state_dict() for r in (whole, result))
    assert all(torch.equal(expected[name], tensor) for name, tensor in got.items())
    with pytest.raises(CheckpointError, match="no interrupted run with these settings"):
        train(workspace=tmp_path / "ws", start_from=trained.folder, resume=True, **QUICK)


def test_other_classes_start_from_a_supernet_with_a_new_classifier(
    tmp_path: Path, trained: TrainResult
) -> None:
    data = str(pictures(tmp_path / "data", 3, side=16))
    few = {**QUICK, "batch_size": 8, "data": data}
    result = train(workspace=tmp_path / "ws", init=trained.folder, **few)
    assert result.supernet().space.layout.classes == 3
    with pytest.raises(CheckpointError, match=r"tell 10 classes apart.*has 3.*init") as refused:
        train(workspace=tmp_path / "no", start_from=trained.folder, **few)
    assert refused.value.settings == ("start_from", "init")
    assert not (tmp_path / "no").exists()


def authors_checkpoint(path: Path, space: SearchSpace, nested: bool) -> Path:
    """A file in the form of the authors' checkpoint, of small weights."""
    supernet = Supernet(space, AUTHORS)
    state = {authors_name(n, space.layout.n_conv): t for n, t in supernet.state_dict().items()}
    torch.save({"model": state, "epoch": 3} if nested else state, path)
    return path


@pytest.mark.parametrize("nested", [False, True])
def test_the_authors_checkpoint_starts_a_cut_of_mobile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    choices = [(64, 128), *((c[0],) for c in MOBILE.choices[1:-1]), (2, 3)]
    mobile = SearchSpace("mobile", MOBILE.layout, tuple(choices))
    cut = replace(mobile, name="cut", choices=((64,), *mobile.choices[1:]))
    monkeypatch.setattr("elasticvit.nn.authors_file.MOBILE", mobile)
    path = authors_checkpoint(tmp_path / "supernet.pth", mobile, nested)
    data = str(pictures(tmp_path / "data", 2))
    begin(tmp_path / "ws", init=path, space=cut, data=data, batch_size=4)
    (run,) = (tmp_path / "ws" / "runs").iterdir()
    info = RunInfo.load(run)
    assert info.options == AUTHORS
    assert info.space.layout.classes == 2
    with pytest.raises(CheckpointError, match=r"is the authors' checkpoint.*init"):
        train(workspace=tmp_path / "no", start_from=path, space=cut, data=data)
    lacking = torch.load(path)
    (lacking["model"] if nested else lacking).pop("first_conv.weight")
    torch.save(lacking, path)
    with pytest.raises(CheckpointError, match=r"supernet.pth.*lacks first_conv.weight"):
        train(workspace=tmp_path / "no", init=path, space=cut, data=data)
    assert not (tmp_path / "no").exists()


def test_a_space_that_the_weights_do_not_fit_gives_way_to_theirs(
    tmp_path: Path, trained: TrainResult
) -> None:
    seen = begin(tmp_path / "ws", init=trained.folder, epochs=1, batch_size=128)
    (chosen,) = [e for e in seen if isinstance(e, SpaceChosen)]
    assert chosen.space == "micro"
    assert "weights to start from" in chosen.reason


def test_a_first_share_of_the_steps_trains_one_subnet(tmp_path: Path) -> None:
    seen: list[Event] = []
    train(workspace=tmp_path / "ws", events=seen.append, start_share=0.4, **QUICK)
    losses = [e.losses.smallest for e in seen if isinstance(e, TrainProgress)]
    assert [loss == 0 for loss in losses] == [True] * 4 + [False] * 5
    (plan,) = [e for e in seen if isinstance(e, TrainingPlanned)]
    assert (plan.steps, plan.first_steps) == (9, 4)


def damaged(path: Path, subnet: Path) -> Path:
    path.write_bytes(subnet.read_bytes()[:2000])
    return path


def not_finite(path: Path, subnet: Path) -> Path:
    content = torch.load(io.BytesIO(subnet.read_bytes()))
    next(iter(content["weights"].values())).fill_(float("nan"))
    torch.save(content, path)
    return path


@pytest.mark.parametrize("way", ["start_from", "init"])
def test_bad_weights_are_refused_and_leave_nothing(tmp_path: Path, subnet: Path, way: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other.pt"
    Subnet(replace(MICRO.smallest, resolution=32), MICRO.layout).save(other)
    cases: list[tuple[Path, str]] = [
        (tmp_path / "nowhere", "there are no weights at"),
        (empty, "holds no weights to start from"),
        (damaged(tmp_path / "short.pt", subnet), "truncated or not a subnet"),
        (not_finite(tmp_path / "nan.pt", subnet), "not finite"),
        (other, "outside space micro: gene resolution is 32"),
    ]
    for path, words in cases:
        with pytest.raises(CheckpointError, match=words):
            train(workspace=tmp_path / "ws", **{way: path}, **QUICK)
        assert not (tmp_path / "ws").exists()


def test_a_space_of_another_layout_is_named(tmp_path: Path, trained: TrainResult) -> None:
    with pytest.raises(CheckpointError, match=r"another conv_strides.*space tiny") as refused:
        train(workspace=tmp_path / "ws", init=trained.folder, space="tiny")
    assert refused.value.settings == ("init", "space")
    assert not (tmp_path / "ws").exists()


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvitError, match="class"):
        train(workspace=tmp_path / "ws", data=str(pictures(tmp_path / "data", 1)))
    assert not (tmp_path / "ws").exists()


def test_a_level_that_no_architecture_reaches_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> Levels:
        return Levels(unit="MMACs", values=(1e4,), bound=1.0, smallest=(MICRO.smallest,))

    monkeypatch.setattr("elasticvit.flows.train_plan.levels_for", unreachable)
    monkeypatch.setattr("elasticvit.training.sampling.reservoir.TRIES", 2)
    with pytest.raises(TargetError, match="no architecture of space micro with 10000"):
        train(workspace=tmp_path / "ws", **QUICK)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": "fast"}, "recipe is 'fast'; it must be one of cpu-minutes, one-gpu, paper"),
        ({"start_share": 1.0}, "start_share is 1.0; it must be a number from 0 to 0.9"),
        ({"start_from": "a", "init": "b"}, "start_from and init exclude each other"),
        ({"start_from": "a", "start_share": 0.2}, "start_from and start_share exclude"),
        ({"init": "a\0b"}, "init is"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        train(**changes)
