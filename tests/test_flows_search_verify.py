"""Finalists that are timed before one is named, on the computed device `fake`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elasticvit as ev
from devices.fake import FakeDevice
from elasticvit.errors import SettingError
from elasticvit.events import Event, Notice
from elasticvit.flows import search_timer
from elasticvit.flows.search import search
from elasticvit.flows.search_events import FinalistMeasured
from elasticvit.flows.search_timer import interval
from elasticvit.searching.result import SearchResult
from elasticvit.workspace import Workspace
from lut.store import Store
from predictors.predictor import load_predictor

QUICK = {"proxy": "macs", "population": 12, "generations": 4}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("profiled") / "ws"
    ev.profile(device="fake", space="tiny", budget_minutes=0.02, rounds=2, workspace=root)
    return root


@pytest.fixture
def workspace(profiled: Path, tmp_path: Path) -> Workspace:
    import shutil

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


def run(workspace: Workspace, **changes: Any) -> tuple[SearchResult, list[Event]]:
    events: list[Event] = []
    target = changes.pop("target_ms", middle_ms(workspace))
    found = search(
        target_ms=target, workspace=workspace, events=events.append, **{**QUICK, **changes}
    )
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


def test_a_device_that_goes_away_leaves_the_search_unverified(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str, *_: object) -> FakeDevice:
        return FakeDevice(unreachable_after=2)

    monkeypatch.setattr("devices.open_device", broken)
    result, events = run(workspace)
    assert result.winners[0].measured == ()
    warnings = [e.text for e in events if isinstance(e, Notice) and e.warning]
    assert any("the search ends unverified" in text for text in warnings)


def test_what_is_not_at_hand_is_told_or_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.open_device", lambda *_: FakeDevice(unreachable=True))
    result, events = run(workspace)
    assert result.winners[0].measured == ()
    assert any("finalists are not timed on fake" in e.text for e in events if isinstance(e, Notice))
    with pytest.raises(SettingError, match="finalists cannot be timed on fake") as caught:
        run(workspace, verify=2)
    assert caught.value.settings == ("verify",)


def test_an_interval_narrows_with_the_rounds() -> None:
    rounds = np.random.default_rng(0).normal(10, 0.1, 400)
    few, many = interval(rounds[:8]), interval(rounds)
    assert few[2] - few[0] > 4 * (many[2] - many[0])
    assert many[0] < 10 < many[2]
    assert interval(np.array([3.0])) == (3.0, 3.0, 3.0)
