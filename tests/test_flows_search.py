"""The search as a library: settings, events and plain folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_search import (
    SMALL,
    add_predictor,
    few_images,
    one_thread,
    same,
    save_run,
    workspace_with_devices,
    workspace_with_run,
)

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import (
    NextStep,
    PredictorError,
    SettingError,
    TargetError,
    WorkspaceError,
)
from elasticvit.events import Event, Notice, Phase
from elasticvit.flows.search import SearchSettings, search
from elasticvit.flows.search_events import (
    CapsResolved,
    SearchPlanned,
    SearchProgress,
    SearchStarted,
)
from elasticvit.searching.plan import DEFAULT_BUDGET_S, SOUND_BUDGET_S
from elasticvit.searching.result import SearchResult
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from predictors.predictor import load_predictor

pytestmark = pytest.mark.usefixtures(one_thread.__name__, few_images.__name__)
SIZES: dict[str, Any] = {"population": 3, "generations": 1}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_with_devices(tmp_path / "ws")


def test_a_target_and_a_workspace_are_enough(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = search(target_ms=4, workspace=str(workspace.root), **SIZES)
    assert found.folder == workspace.latest("search")
    assert SearchResult.load(found.folder) == found.result
    assert found.result.upper_ms is not None
    assert found.result.upper_ms <= 4.0
    subnet = found.subnet()
    assert subnet.arch == found.result.arch
    side = subnet.arch.resolution
    assert subnet(torch.zeros(1, 3, side, side)).shape == (1, 10)
    assert capsys.readouterr() == ("", "")


def test_events_tell_the_caps_the_plan_and_the_progress(workspace: Workspace) -> None:
    events: list[Event] = []
    settings = SearchSettings(target_ms=4, target_mmacs=1000, **SIZES)
    search(settings, workspace=workspace, events=events.append)
    phases = [event.text for event in events if isinstance(event, Phase)]
    assert "reading the training run" in phases[0]
    assert phases[-1].startswith("testing the chosen subnet on ")
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert [text.partition(":")[0] for text in notices] == ["finalists are not timed on phone"]
    started, caps, planned, *rest = [e for e in events if not isinstance(e, Phase | Notice)]
    assert started == SearchStarted(
        run=str(workspace.latest("run")), budget_s=DEFAULT_BUDGET_S, longest_s=SOUND_BUDGET_S
    )
    assert {type(event) for event in rest} == {SearchProgress}
    assert isinstance(caps, CapsResolved)
    assert isinstance(planned, SearchPlanned)
    assert caps.space == "small"
    latency, macs = caps.caps
    assert (latency.cap.device, latency.cap.target, latency.coverage) == ("phone", 4.0, 0.95)
    assert latency.origin == "fake:phone, threads and cores not recorded"
    assert latency.binds
    assert (macs.cap.device, macs.origin, macs.coverage) == (None, None, None)
    assert macs.reach.high == MacsCost(SMALL).price(ArchBatch.of([SMALL.largest]))[0]
    assert not macs.binds
    assert planned.resumes is None
    assert (planned.plan.config.population, planned.plan.config.generations) == (3, 1)
    progress = [event for event in events if isinstance(event, SearchProgress)]
    assert [event.done for event in progress] == [3, 11, 15]
    last = progress[-1]
    assert (last.total, last.generation, last.generations) == (15, 1, 1)
    best = ArchBatch.of([last.best])
    prices = [float(resolved.cap.cost.price(best)[0]) for resolved in caps.caps]
    assert last.best_costs == pytest.approx(prices)


def test_plain_folders_need_no_workspace(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    save_run(tmp_path / "run")
    folder = workspace.predictor_path("phone")
    expected = search(target_ms=4, workspace=workspace, seed=2, **SIZES)
    for number, predictor in enumerate((folder, str(folder), load_predictor(folder))):
        out = tmp_path / f"out{number}"
        found = search(
            target_ms=4, run=tmp_path / "run", predictor={"phone": predictor}, out=out, seed=2,
            **SIZES,
        )  # fmt: skip
        assert found.folder == out
        assert found.result.run == str(tmp_path / "run")
        same(found, expected)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_search_into_a_folder_leaves_the_workspace_as_it_is(
    workspace: Workspace, tmp_path: Path
) -> None:
    before = workspace.settings()
    search(target_mmacs=2, workspace=workspace, out=tmp_path / "out", **SIZES)
    assert workspace.settings() == before
    assert not workspace.folders("search")


def test_every_device_has_its_cap(workspace: Workspace) -> None:
    both = ("phone", "board")
    one = search(target_ms=6, device=both, workspace=workspace, **SIZES).result
    assert [(cap.device, cap.source, cap.target) for cap in one.caps] == [
        ("phone", "fake:phone", 6),
        ("board", "fake:board", 6),
    ]
    assert one.caps[0].upper is not None
    assert max(one.caps[0].upper, one.caps[1].predicted) <= 6
    extra = add_predictor(workspace.root / "watch", "watch", ms_per_mmac=30.0, upper=1.0)
    two = search(
        target_ms=[3.0, np.float32(40.0)],
        device=["phone", "watch"],  # one of the workspace and one that is brought along
        predictor={"watch": extra},
        workspace=workspace,
        **SIZES,
    ).result
    assert [cap.target for cap in two.caps] == [3.0, 40.0]
    assert two.caps[1].predicted <= 40.0
    brought = search(target_ms=40, predictor={"watch": extra}, workspace=workspace, **SIZES)
    assert brought.result.device == "watch"  # rather than the device profiled last


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"target_ms": 0.0}, "target_ms", r"target_ms is 0\.0; it must be a number from 1e-06 to"),
        (
            {"target_ms": (3.0, float("nan"))},
            "target_ms",
            "target_ms is nan; it must be a number",
        ),
        ({"target_ms": float("inf")}, "target_ms", "target_ms is inf"),
        ({"target_ms": "30"}, "target_ms", "target_ms is '30'"),
        ({"target_ms": [3.0, None]}, "target_ms", "target_ms is None"),
        ({"target_ms": 1e300}, "target_ms", r"target_ms is 1e\+300; .* milliseconds"),
        ({"target_ms": True}, "target_ms", "target_ms is True"),
        ({"target_mmacs": 1e300}, "target_mmacs", r"target_mmacs is 1e\+300"),
        ({"budget_minutes": float("nan")}, "budget_minutes", "budget_minutes is nan"),
        ({"budget_minutes": 1e6}, "budget_minutes", r"is 1000000\.0; .* to 10,080 minutes"),
        ({"population": 10**9}, "population", "population is 1000000000; .* to 4,096"),
        ({"generations": 10**9}, "generations", "generations is 1000000000; .* to 4,096"),
        ({"device": "../../x"}, "device", r"device is '\.\./\.\./x'; it must be"),
        ({"device": ["a", 5]}, "device", "device is 5"),
        ({"run": ""}, "run", "run is ''; it must be a path"),
        ({"out": "a\0b"}, "out", "out is .*; it must be a path"),
        ({"torch_device": 5}, "torch_device", "torch_device is 5; it must be a text"),
        ({"target_mmacs": -5.0}, "target_mmacs", r"target_mmacs is -5\.0"),
        ({"device": ""}, "device", "device is ''"),
        ({"device": ("a", "b", "a")}, "device", "device is a, b, a: one is named twice"),
        ({"population": 1}, "population", "population is 1; .* from 2 to"),
        ({"population": 2.5}, "population", r"population is 2\.5; .* a whole number"),
        ({"generations": 0}, "generations", "generations is 0; .* from 1 to"),
        ({"budget_minutes": 0.01}, "budget_minutes", r"budget_minutes is 0\.01; .* from 0\.05"),
        ({"budget_minutes": "5"}, "budget_minutes", "budget_minutes is '5'"),
        ({"budget_minutes": float("inf")}, "budget_minutes", "budget_minutes is inf"),
        ({"seed": -1}, "seed", "seed is -1; .* from 0"),
        ({"seed": None}, "seed", "seed is None"),
        ({"threads": 0}, "threads", "threads is 0; .* from 1 to 256"),
        ({"target": "host=0.3"}, "target", "target is 'host=0.3'; it must be a mapping"),
        ({"keep": "resolution=32"}, "keep", "keep is 'resolution=32'; it must be a mapping"),
    ],
)
def test_settings_are_checked_when_they_are_made(
    changes: dict[str, Any], name: str, message: str
) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        SearchSettings(**{"target_ms": 3.0, **changes})
    assert caught.value.settings == (name,)


def test_sizes_together_are_bounded() -> None:
    words = "population 4,096 and 4,096 generations of 16,384 children: .* at most 100,000"
    with pytest.raises(SettingError, match=words) as caught:
        SearchSettings(target_ms=3, population=4096, generations=4096)
    assert caught.value.settings == ("population", "generations")
    assert SearchSettings(target_ms=3, population=64, generations=40).population == 64


def test_whole_numbers_may_be_those_of_numpy() -> None:
    settings = SearchSettings(target_ms=np.float32(3), seed=np.int64(5), population=np.int16(4))
    assert (settings.seed, settings.population) == (5, 4)
    assert (type(settings.seed), type(settings.population)) == (int, int)


def test_settings_that_need_the_workspace_are_checked_before_the_work(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=r"2 entries, .* for 1 device \(phone\)") as caught:
        search(target_ms=(3.0, 4.0), workspace=workspace)
    assert caught.value.settings == ("target_ms", "device")
    for name in ("pear", "meta", "cuda:99", "cuda:" + "9" * 30, ""):
        with pytest.raises(SettingError, match=f"torch_device is '{name}'") as caught:
            search(target_ms=4, torch_device=name, workspace=workspace)
        assert caught.value.settings == ("torch_device",)
    with pytest.raises(PredictorError, match="nokia"):
        search(target_ms=3, device="nokia", workspace=workspace)
    with pytest.raises(TargetError, match=r"an upper bound of latency on phone .* the lowest is"):
        search(target_ms=0.001, workspace=workspace)
    with pytest.raises(TargetError, match=r"has latency on board of .* the lowest is"):
        search(target_ms=0.001, device="board", workspace=workspace)
    with pytest.raises(TypeError, match="target_s"):
        search(target_s=4, workspace=workspace)
    assert not workspace.folders("search")
    assert not (workspace.root / "searches").exists()


def test_what_the_space_can_do_is_in_the_error_without_a_target(workspace: Workspace) -> None:
    with pytest.raises(TargetError, match=r"no target.*Space small has latency on phone fast") as e:
        search(workspace=workspace)
    assert e.value.settings == ("target_ms", "target", "target_mmacs", "front")
    assert e.value.next_step is None
    with pytest.raises(TargetError, match=r"latency on board fastest"):
        search(workspace=workspace, device="board", target_mmacs=2)


def test_before_a_training_there_is_no_search(tmp_path: Path) -> None:
    empty = Workspace.open(tmp_path / "empty")
    with pytest.raises(WorkspaceError, match="no training run in workspace") as caught:
        search(target_mmacs=3, workspace=empty)
    assert caught.value.next_step == NextStep("train")
    with pytest.raises(WorkspaceError, match="no training run in workspace"):
        search(workspace=empty)  # no space to say anything about either
    empty.remember(space=TINY)
    with pytest.raises(TargetError, match=r"Space tiny has macs fastest 2\.45") as target:
        search(workspace=empty)
    assert target.value.next_step == NextStep("profile", {"device": "host"})


def test_a_latency_needs_a_profiled_device(tmp_path: Path) -> None:
    bare = workspace_with_run(tmp_path / "bare")
    with pytest.raises(WorkspaceError, match="no profiled device") as caught:
        search(target_ms=3, workspace=bare)
    assert caught.value.settings == ("target_mmacs",)
    assert caught.value.next_step == NextStep("profile", {"device": "host"})


def test_macs_alone_do_without_a_predictor_of_the_space(workspace: Workspace) -> None:
    add_predictor(workspace.predictor_path("phone"), "phone", 2.0, 1.1, kernels=3)
    events: list[Event] = []
    found = search(target_mmacs=2, workspace=workspace, events=events.append, **SIZES)
    assert found.result.predicted_ms is None
    assert next(e.text for e in events if isinstance(e, Notice) and e.warning).startswith(
        "the result shows no latency: "
    )
