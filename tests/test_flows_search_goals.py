"""Searches of a supernet with several goals, by an accuracy predictor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_search import SMALL, add_predictor, everything, one_thread, workspace_with_run

from elasticvit.cost import MacsCost
from elasticvit.errors import SettingError
from elasticvit.events import Event, Phase
from elasticvit.flows.search import search
from elasticvit.flows.search_events import SearchPlanned
from elasticvit.nn.subnet import Subnet
from elasticvit.searching.evaluate import SupernetEvaluator
from elasticvit.searching.judgement_store import STORE_FILE
from elasticvit.searching.result import SearchResult, subnet_file
from elasticvit.workspace import Workspace

pytestmark = pytest.mark.usefixtures(one_thread.__name__)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_with_run(tmp_path / "ws")


def test_each_goal_has_a_winner(workspace: Workspace) -> None:
    events: list[Event] = []
    found = search(
        target_mmacs=[0.4, 0.7, 1.2], evaluations=30, workspace=workspace, events=events.append
    )
    result = SearchResult.load(found.folder)
    assert result == found.result
    (planned,) = [event for event in events if isinstance(event, SearchPlanned)]
    assert planned.plan.config.guided
    assert result.evaluations == 30
    assert result.agreement is not None
    assert result.agreement.archs == 30 - planned.plan.config.population
    assert [winner.caps[0].target for winner in result.winners] == [0.4, 0.7, 1.2]
    for number, winner in enumerate(result.winners, 1):
        assert winner.macs_m <= winner.caps[0].target
        assert winner.error > 0
        assert winner.confidence is None or 0 <= winner.confidence <= 1
        assert winner.test_accuracy is not None
        assert Subnet.load(found.folder / subnet_file(number)).arch == winner.arch
    first = result.winners[0]
    assert (result.arch, result.accuracy) == (first.arch, first.accuracy)
    assert not [event for event in events if isinstance(event, Phase) and "timing 3" in event.text]


def test_a_second_search_starts_from_what_the_first_one_judged(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search(target_mmacs=0.7, evaluations=20, workspace=workspace).result
    assert (workspace.root / STORE_FILE).exists()
    cut: list[object] = []
    original = SupernetEvaluator.subnet
    monkeypatch.setattr(
        SupernetEvaluator, "subnet", lambda self, arch: (cut.append(arch), original(self, arch))[1]
    )
    again = search(target_mmacs=0.7, evaluations=20, workspace=workspace).result
    assert again == first
    assert set(cut) == {first.arch}  # for its weights; nothing was judged anew
    free = search(target_mmacs=0.7, evaluations=20, workspace=workspace, start=["searches"]).result
    assert free.evaluations == 20


def test_other_weights_are_judged_anew(workspace: Workspace, tmp_path: Path) -> None:
    from small_search import digits, trained

    from elasticvit.nn import Supernet
    from elasticvit.searching.evaluate import Sizes
    from elasticvit.searching.judgement_store import JudgementStore

    store = JudgementStore(tmp_path / STORE_FILE)
    sizes = Sizes(recalibration_images=64, search_images=64)
    archs = SMALL.sample(2, np.random.default_rng(0))
    SupernetEvaluator(trained(), digits(), sizes, store=store)(archs)
    other = Supernet(SMALL)
    with torch.no_grad():
        other.load_state_dict(trained().state_dict())
        next(iter(other.parameters())).mul_(1.5)
    judge = SupernetEvaluator(other, digits(), sizes, store=store)
    assert judge.known is not None
    assert not len(judge.known.get([archs[0]])[0])


def test_more_is_never_worse_and_goals_stay_in_the_order_that_was_asked(
    workspace: Workspace,
) -> None:
    found = search(
        target={"mmacs": [1.2, 0.4, 0.8], "params": 0.03}, evaluations=24, workspace=workspace
    ).result
    assert [winner.caps[0].target for winner in found.winners] == [1.2, 0.4, 0.8]
    largest, smallest, middle = found.winners
    for tight, loose in ((smallest, middle), (middle, largest)):
        assert tight.accuracy <= loose.accuracy + loose.error
    assert {winner.caps[1].target for winner in found.winners} == {0.03}
    assert all(winner.caps[1].predicted <= 0.03 for winner in found.winners)


def test_the_best_checkpoint_can_be_searched(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def load(run: Path, *, best: bool = False) -> object:
        from small_search import trained

        asked.append(best)
        return trained()

    monkeypatch.setattr("elasticvit.training.checkpoint.load_supernet", load)
    wanted = {"target_mmacs": 0.7, "evaluations": 6, "workspace": workspace}
    search(**wanted)
    search(checkpoint="best", **wanted)
    assert asked == [False, True]
    with pytest.raises(SettingError, match="checkpoint is 'first'; it is one of latest, best"):
        search(checkpoint="first", **wanted)


def test_a_front_has_winners_over_the_whole_range(workspace: Workspace) -> None:
    found = search(front=4, evaluations=30, workspace=workspace).result
    targets = [winner.caps[0].target for winner in found.winners]
    costs = [winner.macs_m for winner in found.winners]
    can = MacsCost(SMALL).price(everything(SMALL))
    assert found.unit == "MMACs"
    assert len(targets) == 4
    assert np.allclose(np.diff(np.log(targets)), np.log(can.max() / can.min()) / 4, rtol=0.05)
    assert can.max() <= targets[-1] <= 1.01 * can.max()
    assert costs == sorted(costs)
    assert costs[0] < 1.6 * can.min()


def test_a_front_ends_at_the_target_and_keeps_the_other_caps(workspace: Workspace) -> None:
    add_predictor(workspace.predictor_path("phone"), "phone", ms_per_mmac=2.0, upper=1.1)
    workspace.remember(device="phone")
    capped = {"target_ms": 3.0, "target_mmacs": 1.0}
    found = search(front=3, evaluations=20, workspace=workspace, verify=0, **capped).result
    assert [winner.caps[0].device for winner in found.winners] == ["phone"] * 3
    assert found.winners[-1].caps[0].target == 3.0
    assert all(winner.macs_m <= 1.0 for winner in found.winners)
    alone = search(front=2, evaluations=20, workspace=workspace, verify=0).result
    assert alone.unit == "ms"
    of_macs = search(front=2, target_mmacs=1.0, evaluations=20, workspace=workspace).result
    assert (of_macs.unit, of_macs.winners[-1].caps[0].target) == ("MMACs", 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front": 1}, "front is 1; it must be a whole number from 2 to 64"),
        ({"front": 4, "target_mmacs": [1.0, 2.0]}, r"front and a list of 2 goals \(target_mmacs\)"),
        ({"front": 4, "device": ["a", "b"]}, "front is named with 2 devices and no latency"),
    ],
)
def test_a_front_that_makes_no_sense(changes: dict, message: str, workspace: Workspace) -> None:
    with pytest.raises(SettingError, match=message) as error:
        search(workspace=workspace, **changes)
    assert "front" in error.value.settings
