"""Finalists that are timed before one is named, on the computed device `fake`."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_search import SMALL, one_thread, trained, workspace_with_run

import elasticvit as ev
from devices import DeviceInfo, TimedModel
from devices.fake import FakeDevice, latency_of_bytes_us
from elasticvit.arch import ArchBatch
from elasticvit.cli.search import main
from elasticvit.errors import SettingError
from elasticvit.events import Event, Notice, Phase
from elasticvit.flows import search_timer
from elasticvit.flows.search import search
from elasticvit.flows.search_events import FinalistMeasured, SearchPlanned
from elasticvit.searching import evaluate, judges
from elasticvit.searching.result import SearchResult
from elasticvit.workspace import Workspace
from lut.frames import DRIFT_ROUND
from lut.interval import interval
from lut.store import Store
from predictors.predictor import load_predictor

pytestmark = pytest.mark.usefixtures(one_thread.__name__)
QUICK = {"proxy": "macs", "population": 12, "generations": 4}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("profiled") / "ws"
    ev.profile(device="fake", space="tiny", budget_minutes=0.02, rounds=2, workspace=root)
    return root


@pytest.fixture
def workspace(profiled: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(profiled, tmp_path / "ws")
    return Workspace.open(tmp_path / "ws")


def middle_ms(workspace: Workspace) -> float:
    predictor = load_predictor(workspace.predictor_path("fake"))
    space = workspace.space()
    drawn = space.sample(200, np.random.default_rng(0))
    return float(np.median(predictor.cost(space).price(drawn)))


def subnets(workspace: Workspace) -> dict[str, int]:
    """Number of rounds of each subnet in the table."""
    with Store(workspace.lut_path, read_only=True) as store:
        frame = store.measurements("fake", kind="subnet")
    return dict(frame["key"].value_counts())


def rows(workspace: Workspace) -> list[tuple[str, int]]:
    """Key and round of each subnet's measurements, in order."""
    with Store(workspace.lut_path, read_only=True) as store:
        frame = store.measurements("fake", kind="subnet")
    frame = frame[frame["round"] < DRIFT_ROUND]
    return list(zip(frame["key"], frame["round"], strict=True))


def command(workspace: Workspace, *options: str) -> Result:
    sizes = ("--proxy", "macs", "--population", "12", "--generations", "4")
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(main, ["--workspace", str(workspace.root), *sizes, "--json", *options])


def run(workspace: Workspace, **changes: Any) -> tuple[SearchResult, list[Event]]:
    events: list[Event] = []
    target = changes.pop("target_ms", middle_ms(workspace))
    watch = changes.pop("watch", lambda event: None)

    def handle(event: Event) -> None:
        events.append(event)
        watch(event)

    found = search(target_ms=target, workspace=workspace, events=handle, **{**QUICK, **changes})
    return SearchResult.load(found.folder), events


def test_the_best_ones_are_timed_and_stay_in_the_table(workspace: Workspace) -> None:
    before = subnets(workspace)
    result, events = run(workspace)
    (winner,) = result.winners
    told = [event.measured for event in events if isinstance(event, FinalistMeasured)]
    assert tuple(told) == winner.measured
    assert {one.device for one in told} == {"fake"}
    assert len(told) >= 3
    (own,) = [one for one in told if one.arch == winner.arch]
    assert own.kept
    assert own.measured_ms <= own.target_ms
    assert own.low_ms <= own.measured_ms <= own.high_ms
    new = {key: rounds for key, rounds in subnets(workspace).items() if key not in before}
    assert len(new) == len(told)
    assert set(new.values()) <= {search_timer.ROUNDS, search_timer.MORE_ROUNDS}
    again, _ = run(workspace)  # from the table
    assert {**before, **new} == subnets(workspace)
    assert again.arch == result.arch


def test_a_winner_that_breaks_its_cap_is_replaced(workspace: Workspace) -> None:
    path = workspace.predictor_path("fake")
    honest = load_predictor(path)
    target = middle_ms(workspace)
    network = replace(honest.network, overall=honest.network.overall - 0.5)
    hopeful = replace(honest, network=network)
    hopeful.save(path)
    assert middle_ms(workspace) < 0.8 * target
    blind, _ = run(workspace, target_ms=target, verify=0)
    assert blind.winners[0].measured == ()
    result, _ = run(workspace, target_ms=target)
    (winner,) = result.winners
    missed = [one for one in winner.measured if not one.kept]
    assert missed
    assert blind.arch in {one.arch for one in missed}
    assert winner.arch not in {one.arch for one in missed}
    assert load_predictor(path).network.overall != network.overall  # it has learnt


def test_a_predictor_that_was_made_meanwhile_is_not_replaced(workspace: Workspace) -> None:
    path = workspace.predictor_path("fake")
    honest, target = load_predictor(path), middle_ms(workspace)
    network = replace(honest.network, overall=honest.network.overall - 0.5)
    replace(honest, network=network).save(path)
    newer = replace(honest, network=replace(honest.network, overall=honest.network.overall + 0.1))

    def profiled_anew(event: Event) -> None:
        if isinstance(event, FinalistMeasured):
            newer.save(path)

    result, told = run(workspace, target_ms=target, watch=profiled_anew)
    assert any(not one.kept for one in result.winners[0].measured)
    assert load_predictor(path).network.overall == newer.network.overall
    notices = [one.text for one in told if isinstance(one, Notice)]
    assert any("made anew while this search ran" in text for text in notices)


def test_all_goals_are_told_by_what_was_learnt_last(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bent(model: TimedModel) -> float:  # one correction does not suit small and large ones
        return latency_of_bytes_us(model) * (0.3 + len(model.data) / 4e6)

    monkeypatch.setattr("devices.open_device", lambda *_: FakeDevice(bent))
    target = middle_ms(workspace)
    result, _ = run(workspace, target_ms=[[0.6 * target, target, 2 * target]])
    cost = load_predictor(workspace.predictor_path("fake")).cost(workspace.space())
    for winner in result.winners:
        (known,) = cost.price(ArchBatch.of([winner.arch]))
        assert winner.caps[0].predicted == pytest.approx(known)


def test_a_far_too_hopeful_predictor_has_the_space_searched_again(workspace: Workspace) -> None:
    path = workspace.predictor_path("fake")
    honest, target = load_predictor(path), 0.8 * middle_ms(workspace)
    replace(honest, network=replace(honest.network, overall=honest.network.overall - 0.7)).save(
        path
    )
    result, _ = run(workspace, target_ms=target)
    (winner,) = result.winners
    assert winner.kept
    assert {one.kept for one in winner.measured} == {True, False}
    cap = winner.caps[0]
    (own,) = [one for one in winner.measured if one.arch == winner.arch]
    assert cap.predicted == pytest.approx(own.measured_ms, rel=0.25)  # as corrected
    assert winner.runner_up not in {one.arch for one in winner.measured if not one.kept}
    assert all(p.predicted_ms <= target or p.arch == winner.arch for p in result.front)


def test_where_nothing_keeps_it_the_nearest_is_named_and_that_is_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = FakeDevice(lambda model: 1e6 + len(model.data))
    monkeypatch.setattr("devices.open_device", lambda *_: slow)
    done = command(workspace, "--target-ms", f"{middle_ms(workspace):.4g}")
    assert done.exit_code == 0, done.output
    assert "finalists that were timed keeps the target" in " ".join(done.stderr.split())
    (winner,) = SearchResult.load(workspace.latest("search")).winners
    assert winner.kept is False


def test_a_device_that_goes_away_leaves_the_search_unverified(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(workspace)
    monkeypatch.setattr("devices.open_device", lambda *_: FakeDevice(unreachable_after=2))
    done = command(workspace, "--target-ms", f"{middle_ms(workspace):.4g}", "--verify", "4")
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "the search ends unverified on fake: device 'fake' went away" in said
    assert "what was measured is kept" in said
    (winner,) = SearchResult.load(workspace.latest("search")).winners
    assert (winner.measured, winner.kept) == ((), None)
    assert "went away" in winner.untimed["fake"]
    assert len(rows(workspace)) == len(before) + 2


def by_size_us(model: TimedModel) -> float:
    """A latency in microseconds that a network model can learn."""
    return 20.0 + len(model.data) / 1e3


class Killed(Exception):
    """In place of the end of the process."""


def test_a_search_that_is_killed_while_timing_goes_on_and_times_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barely = trained(2)
    monkeypatch.setattr("small_search.trained", lambda: barely)
    workspace = workspace_with_run(tmp_path / "ws")
    monkeypatch.setattr("devices.open_device", lambda *_, **__: FakeDevice(by_size_us))
    ev.profile(device="fake", space=SMALL, budget_minutes=0.02, rounds=2, workspace=workspace)
    path = workspace.predictor_path("fake")
    before = load_predictor(path)
    drawn = SMALL.sample(200, np.random.default_rng(0))
    target = float(np.median(before.cost(SMALL).price(drawn)))
    # everything misses its cap now, so that it learns before it is killed
    slow = FakeDevice(lambda model: 4 * by_size_us(model))
    monkeypatch.setattr("devices.open_device", lambda *_: slow)
    settings: dict[str, Any] = {"target_ms": target, "population": 4, "generations": 1}
    monkeypatch.setitem(evaluate.QUICK_GMACS, "cpu", 0.1)
    monkeypatch.setattr(judges, "THOROUGH_FACTOR", 1.0)
    told: list[str] = []

    def kill(event: Event) -> None:
        if told and "fitting the network model" in told[-1]:
            raise Killed
        told.append(event.text if isinstance(event, Phase) else "")

    with pytest.raises(Killed):
        search(workspace=workspace, events=kill, **settings)
    kept = rows(workspace)
    assert load_predictor(path).network.overall == before.network.overall
    events: list[Event] = []
    found = search(workspace=workspace, events=events.append, **settings)
    (planned,) = [event for event in events if isinstance(event, SearchPlanned)]
    assert planned.resumes == found.folder
    assert planned.evaluated == found.result.evaluations
    assert found.result.winners[0].measured
    after = rows(workspace)
    assert after[: len(kept)] == kept
    assert len(after) == len(set(after))
    assert load_predictor(path).network.overall != before.network.overall


def test_more_may_be_asked_for_than_there_are(workspace: Workspace) -> None:
    result, _ = run(workspace, verify=64, population=2, generations=1)
    (winner,) = result.winners
    assert winner.kept
    assert 2 <= len({one.arch for one in winner.measured}) <= 2 + 8


class TogetherDevice(FakeDevice):
    """Gives its first result when another device gives one, too."""

    together: threading.Barrier | None = None
    waited = False

    def measure(self, models: Any, config: Any) -> Iterator[Any]:
        if self.together is not None and not self.waited:
            self.together.wait(20)
            self.waited = True
        yield from super().measure(models, config)


def test_several_devices_are_timed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that goes away leaves the other's measurements; it alone is unverified."""
    workspace, names = Workspace.open(tmp_path / "ws"), ("one", "two")
    flaws: dict[str, Any] = {}

    def opened(name: str, *_: Any, **__: Any) -> FakeDevice:
        return TogetherDevice(by_size_us, name=name, **flaws.get(name, {}))

    monkeypatch.setattr("devices.open_device", opened)
    ev.profile(device=names, space="tiny", budget_minutes=0.02, rounds=2, workspace=workspace)
    predictor = load_predictor(workspace.predictor_path("one"))
    drawn = workspace.space().sample(200, np.random.default_rng(0))
    target = float(np.median(predictor.cost(workspace.space()).price(drawn)))
    wanted: dict[str, Any] = {"device": names, "workspace": workspace, **QUICK}

    monkeypatch.setattr(TogetherDevice, "together", threading.Barrier(2))
    (winner,) = search(target_ms=target, **wanted).result.winners
    timed = {(one.device, one.arch) for one in winner.measured}
    assert {device for device, _ in timed} == set(names)
    assert len(timed) >= 6
    assert winner.kept

    monkeypatch.setattr(TogetherDevice, "together", None)
    flaws["two"] = {"unreachable_after": 1}
    (winner,) = search(target_ms=0.9 * target, **wanted).result.winners
    assert "one" in {one.device for one in winner.measured}
    assert "went away" in winner.untimed["two"]
    assert "one" not in winner.untimed


def test_a_device_that_is_not_at_hand_does_not_keep_another_from_being_asked(
    workspace: Workspace,
) -> None:
    shutil.copytree(workspace.predictor_path("fake"), workspace.predictor_path("board"))
    path = workspace.predictor_path("board")
    replace(load_predictor(path), device="board").save(path)
    target = middle_ms(workspace)
    result, _ = run(workspace, target_ms=target, device=("fake", "board"))
    (winner,) = result.winners
    assert {one.device for one in winner.measured} == {"fake"}
    assert set(winner.untimed) == {"board"}
    with pytest.raises(SettingError, match="cannot be timed on board: board was not profiled here"):
        run(workspace, target_ms=target, device=("fake", "board"), verify=1)


def test_what_is_not_at_hand_is_told_or_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.open_device", lambda *_: FakeDevice(unreachable=True))
    result, events = run(workspace)
    assert result.winners[0].measured == ()
    assert "does not answer" in result.winners[0].untimed["fake"]
    assert any("not timed on fake" in e.text for e in events if isinstance(e, Notice))
    before = workspace.folders("search")
    with pytest.raises(SettingError, match="finalists cannot be timed on fake") as caught:
        run(workspace, verify=2)
    assert caught.value.settings == ("verify",)
    assert workspace.folders("search") == before


def test_another_runtime_is_not_the_one_that_was_profiled(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Newer(FakeDevice):
        @property
        def info(self) -> DeviceInfo:
            return replace(super().info, runtime="fake 2")

    monkeypatch.setattr("devices.open_device", lambda *_: Newer())
    with pytest.raises(SettingError, match="it has fake 2 on fake:fake now, and was profiled"):
        run(workspace, verify=1)


def test_finalists_cannot_be_timed_against_operations(workspace: Workspace) -> None:
    with pytest.raises(SettingError, match="no latency is capped") as caught:
        search(target_mmacs=5, verify=2, workspace=workspace, **QUICK)
    assert "verify" in caught.value.settings


def test_an_interval_narrows_with_the_rounds() -> None:
    rounds = np.random.default_rng(0).normal(10, 0.1, 400)
    few, many = interval(rounds[:8]), interval(rounds)
    assert few[2] - few[0] > 4 * (many[2] - many[0])
    assert many[0] < 10 < many[2]
    assert interval(np.array([3.0])) == (3.0, 3.0, 3.0)
