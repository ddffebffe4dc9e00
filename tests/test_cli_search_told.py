"""What `evit-search` tells: the plan, the front, scores, the reach of a space, and mistakes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from checkpoint_forms import files_of, plain_of, put
from search_command import SIZES, closing, search, workspace
from small_search import few_images, one_thread, workspace_with_run

from elasticvit.cli.report import Report
from elasticvit.cli.search_report import SearchReport
from elasticvit.flows.search_events import ScoresChosen, SearchPlanned, SearchProgress
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.plan import SearchPlan
from elasticvit.searching.result import SearchResult
from elasticvit.space import TINY
from elasticvit.workspace import Workspace

__all__ = ["workspace"]
pytestmark = pytest.mark.usefixtures(one_thread.__name__, few_images.__name__)


def test_the_front_is_shown_with_the_chosen_one_marked(workspace: Workspace) -> None:
    done = search(workspace, "--target-ms", "4", *SIZES)
    assert done.exit_code == 0, done.output
    assert "(ms as predicted)" in done.stdout
    assert "bound ms" in done.stdout
    result = SearchResult.load(workspace.latest("search"))
    (row,) = [r for r in done.stdout.splitlines() if "│ * │" in r]
    assert str(result.arch) in row
    assert f"{result.predicted_ms:.3f}" in row
    assert f"{result.test_accuracy:.2f} % on 360 test images" in done.stdout


def test_without_a_target_the_reach_of_the_space_is_told(workspace: Workspace) -> None:
    done = search(workspace)
    assert done.exit_code == 2
    assert "error: no target" in done.stderr
    assert "--target-ms: Latency cap in ms per image" in done.stderr
    assert "latency on phone fastest" in done.stderr
    assert "median" in done.stderr
    assert "slowest" in done.stderr
    both = search(workspace, "--device", "phone", "--device", "board")
    assert "latency on board fastest" in both.stderr


def test_the_reach_of_the_space_is_told_before_it_is_trained(tmp_path: Path) -> None:
    untrained = Workspace.open(tmp_path / "untrained")
    untrained.remember(space=TINY, data="digits")
    done = search(untrained)
    assert "Space tiny has macs fastest 2.45" in done.stderr
    assert "run: evit-profile --device host" in done.stderr
    done = search(untrained, "--target-mmacs", "5", "--json")
    assert done.exit_code == 0, done.output
    assert "there is no supernet: architectures are ordered by proxy macs" in done.stderr
    assert "next: evit-train --space tiny --data FOLDER --subnet" in done.stderr
    line = closing(done)
    assert line["accuracy_source"] == "proxy macs"
    assert line["test_accuracy"] is None
    assert line["macs_m"] <= 5


def test_a_target_beyond_the_slowest_is_said_to_limit_nothing(workspace: Workspace) -> None:
    done = search(workspace, "--target-ms", "1000", *SIZES)
    assert done.exit_code == 0, done.output
    assert "keeps this target: it limits nothing" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target-ms", "0.001"), "the lowest is"),
        (("--target-ms", "-3"), "it must be a number from"),
        (("--target-ms", "nan"), "it must be a number from"),
        (("--target-ms", "3", "--device", "nokia"), "evit-profile --device nokia"),
        (("--target-ms", "3", "--device", "phone", "--device", "phone"), "named twice"),
        (("--target-ms", "3", "--target-ms", "4"), "for 1 device (phone)"),
        (("--target-mmacs", "1", "--device", "phone"), "no target"),
        (("--target-ms", "3", "--run", "nowhere"), "there is no nowhere/run.json"),
        (("--target-ms", "many"), "many"),
        (("--target-ms", "3", "--population", "0"), "--population"),
        (("--target-ms", "3", "--torch-device", "pear"), "torch_device is 'pear'"),
        (("--target-ms", "3", "--torch-device", "meta"), "torch_device is 'meta'"),
    ],
)
def test_mistakes_are_answered_in_one_message(
    workspace: Workspace, options: tuple[str, ...], message: str
) -> None:
    done = search(workspace, *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not workspace.folders("search")


def test_a_workspace_without_a_device_names_the_next_command(tmp_path: Path) -> None:
    made = workspace_with_run(tmp_path / "bare")
    done = search(made, "--target-ms", "3")
    assert done.exit_code == 2
    assert "evit-profile --device host" in done.stderr
    assert "--target-mmacs" in search(made).stderr


def test_a_truncated_checkpoint_is_refused(workspace: Workspace) -> None:
    path = files_of(workspace.latest("run"))[1]
    path.write_bytes(path.read_bytes()[:2000])
    done = search(workspace, "--target-ms", "4", *SIZES)
    assert done.exit_code == 2
    assert f"{path.name} is truncated" in done.stderr


def test_a_diverged_supernet_is_refused(workspace: Workspace) -> None:
    data = plain_of(workspace.latest("run"))
    for value in data["weights"].values():
        value.fill_(float("nan"))
    put(workspace.latest("run"), data)
    done = search(workspace, "--target-ms", "4", *SIZES)
    assert done.exit_code == 2
    assert "numbers that are not finite" in done.stderr
    assert "run: evit-train --fresh" in done.stderr
    assert not workspace.folders("search")


@pytest.mark.parametrize(
    ("evaluated", "words"),
    [
        (None, "102 to go (the time budget ends them after 27 s), then 7.0 s"),
        (90, "90 of which are evaluated: 2.1 s each, 12 to go, then 7.0 s"),
    ],
)
def test_the_plan_says_what_is_counted_and_adds_up(
    capsys: pytest.CaptureFixture[str], evaluated: int | None, words: str
) -> None:
    plan = SearchPlan(
        config=EvolutionConfig.of(6, 4),
        finalists=4,
        evaluation_s=2.1,
        after_s=7.0,
        deadline_s=27.0,
    )
    planned = SearchPlanned(
        plan=plan,
        recalibration_images=64,
        search_images=216,
        resumes=None if evaluated is None else Path("searches/s"),
        evaluated=evaluated or 0,
    )
    SearchReport(Report(False))(planned)
    told = " ".join(capsys.readouterr().out.split())
    assert "up to 102 architectures (6 first ones and 4 generations)" in told
    assert words in told
    assert f"about {34 if evaluated is None else 32} s in all" in told  # 27 + 7, 12 * 2.1 + 7


@pytest.mark.parametrize(("scored", "best"), [(False, "best 58.29 % at"), (True, "best 58.29 at")])
def test_a_score_is_not_told_in_percent(scored: bool, best: str) -> None:
    told: list[tuple[object, ...]] = []
    activity = SimpleNamespace(progress=lambda *line: told.append(line))
    shown = SearchReport(SimpleNamespace(activity=activity, say=lambda *_: None))  # type: ignore[arg-type]
    if scored:
        shown(ScoresChosen(source="proxy macs", about="logarithm of multiply-accumulates"))
    figures = {"generation": 0, "generations": 1, "best_load": 0.5, "best_costs": ()}
    best_so_far = {"best": TINY.smallest, "best_accuracy": 58.29}
    shown(SearchProgress(done=1, total=2, **figures, **best_so_far))  # type: ignore[arg-type]
    (line,) = told
    assert best in str(line[-1])
