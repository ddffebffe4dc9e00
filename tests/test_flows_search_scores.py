"""Searches without a supernet, by a proxy or by accuracies from a file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_search import SMALL, everything, proxy

from elasticvit.cost import MacsCost
from elasticvit.errors import DataError, ExportError, SettingError, SpaceError, WorkspaceError
from elasticvit.events import Event
from elasticvit.flows.export import export
from elasticvit.flows.search import search
from elasticvit.flows.search_events import ScoresChosen
from elasticvit.searching.proxy import PROXIES, scaled
from elasticvit.searching.result import SearchResult
from elasticvit.space import TINY
from elasticvit.workspace import Workspace

QUICK = {"population": 8, "generations": 3}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.open(tmp_path / "ws")
    workspace.remember(space=TINY)
    return workspace


def table(path: Path, rows: int = 60) -> pd.DataFrame:
    """Accuracies of architectures of `SMALL`."""
    archs = everything(SMALL)
    archs = archs.take(np.random.default_rng(0).permutation(len(archs))[:rows])
    frame = pd.DataFrame({"architecture": [str(a) for a in archs], "accuracy": proxy(archs)})
    frame.to_csv(path, index=False)
    return frame


def test_a_run_that_is_gone_is_not_replaced_by_a_proxy(workspace: Workspace) -> None:
    run = workspace.new_folder("run")
    workspace.set_latest("run", run)
    run.rmdir()
    run.parent.rmdir()
    with pytest.raises(WorkspaceError, match=f"{run.name} is gone; make another training run"):
        search(target_mmacs=20, workspace=workspace, **QUICK)
    assert search(target_mmacs=20, workspace=workspace, proxy="macs", **QUICK).result.macs_m <= 20


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_gives_more_to_the_larger(name: str) -> None:
    score = scaled(TINY, PROXIES[name].of(TINY))
    batch = TINY.sample(300, np.random.default_rng(0))
    found = score(batch)
    assert found.shape == (300,)
    assert (found >= 0).all()
    assert (found <= 100).all()
    order = np.argsort(MacsCost(TINY).price(batch))
    assert found[order[-60:]].mean() > found[order[:60]].mean()


def test_a_space_and_a_target_are_enough(workspace: Workspace) -> None:
    events: list[Event] = []
    found = search(target_mmacs=[5, 20], workspace=workspace, events=events.append, **QUICK)
    (chosen,) = [event for event in events if isinstance(event, ScoresChosen)]
    assert chosen.source == "proxy macs"
    assert "no accuracy" in chosen.about
    result = SearchResult.load(found.folder)
    assert result == found.result
    assert result.accuracy_source == "proxy macs"
    assert not result.has_weights
    assert [winner.caps[0].target for winner in result.winners] == [5, 20]
    assert [w.macs_m <= w.caps[0].target for w in result.winners] == [True, True]
    assert result.winners[0].accuracy < result.winners[1].accuracy
    assert sorted(path.name for path in found.folder.iterdir()) == [
        ".lock",
        "front.csv",
        "front.png",
        "front.svg",
        "report.html",
        "search.json",
    ]
    assert workspace.latest("search") == found.folder
    again = search(target_mmacs=[5, 20], workspace=workspace, **QUICK).result
    assert again == result
    with pytest.raises(ExportError, match="by proxy macs, without a supernet") as caught:
        export(workspace=workspace)
    assert caught.value.next_step is not None
    assert caught.value.next_step.flow == "train"


def test_torch_and_the_boosted_trees_stay_out_of_a_search_by_a_proxy(workspace: Workspace) -> None:
    script = f"""
import sys
from elasticvit.flows.search import search
search(target_mmacs=20, workspace={str(workspace.root)!r}, population=8, generations=2)
print(sorted({{"torch", "xgboost", "pandas", "tensorflow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_genes_can_be_kept(workspace: Workspace) -> None:
    kept = {"resolution": 40, "attn1.depth": 2}
    result = search(target_mmacs=20, keep=kept, workspace=workspace, **QUICK).result
    assert result.arch.resolution == 40
    assert result.arch.attn[0].depth == 2
    with pytest.raises(SpaceError, match="offers 32, 40, 48, 64"):
        search(target_mmacs=20, keep={"resolution": 41}, workspace=workspace)


def test_a_table_of_accuracies_is_searched(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    table(path)
    events: list[Event] = []
    found = search(
        target_mmacs=1.0,
        space=SMALL,
        accuracies=path,
        workspace=workspace,
        events=events.append,
        **QUICK,
    ).result
    (chosen,) = [event for event in events if isinstance(event, ScoresChosen)]
    assert "a regression on 60 accuracies" in chosen.about
    assert "Kendall's tau" in chosen.about
    assert found.accuracy_source == "file known.csv"
    assert found.macs_m <= 1.0


def test_a_table_of_accuracies_is_searched_with_genes_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "known.csv"
    table(path)
    gene, values = next(
        (name, choices)
        for name, choices in zip(SMALL.names, SMALL.choices, strict=True)
        if len(choices) > 1
    )
    events: list[Event] = []
    search(
        target_mmacs=1.0,
        space=SMALL,
        accuracies=path,
        keep={gene: values[0]},
        workspace=workspace,
        events=events.append,
        **QUICK,
    )
    (chosen,) = [event for event in events if isinstance(event, ScoresChosen)]
    assert "a regression on 60 accuracies" in chosen.about


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.drop(columns="accuracy"), "column accuracy is missing"),
        (lambda f: f.head(5), "it has 5 rows"),
        (lambda f: f.assign(accuracy=[101.0, *f["accuracy"][1:]]), "row 1, accuracy is .*101"),
        (lambda f: f.assign(accuracy=["much", *f["accuracy"][1:]]), "row 1, accuracy is 'much'"),
        (lambda f: f.assign(error=[-1.0] + [1.0] * 59), "row 1, error is"),
        (lambda f: pd.concat([f, f.head(1)]), "rows 1 and 61 are both of"),
        (lambda f: f.assign(architecture=["r1", *f["architecture"][1:]]), "row 1, architecture"),
    ],
)
def test_a_damaged_table_is_refused_by_row(
    workspace: Workspace, tmp_path: Path, damage, words: str
) -> None:
    path = tmp_path / "known.csv"
    damage(table(path)).to_csv(path, index=False)
    with pytest.raises(DataError, match=words) as caught:
        search(target_mmacs=1.0, space=SMALL, accuracies=path, workspace=workspace)
    assert caught.value.settings == ("accuracies",)
    assert not workspace.folders("search")


def test_no_table_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    for name, words in (
        ("none.csv", "cannot be read"),
        ("x.parquet", "no CSV or parquet"),
        ("endless.csv", "it is no file"),
    ):
        with pytest.raises(DataError, match=words):
            search(target_mmacs=1.0, space=SMALL, accuracies=tmp_path / name, workspace=workspace)


@pytest.mark.parametrize(
    ("changes", "words", "names"),
    [
        ({"proxy": "guess"}, "proxy is 'guess'; known are macs, capacity", ["proxy"]),
        ({"proxy": "macs", "accuracies": "x.csv"}, "proxy and accuracies", ["proxy", "accuracies"]),
        ({"proxy": "macs", "run": "x"}, "run and proxy are all named", ["run", "proxy"]),
        ({"space": "tiny", "run": "x"}, "space and run are both named", ["space", "run"]),
        ({"target_mmacs": [5, 5]}, "target_mmacs is 5, 5; .* different", ["target_mmacs"]),
        ({"target_mmacs": []}, "target_mmacs is empty", ["target_mmacs"]),
        (
            {"target_mmacs": [5, 9], "target_ms": [[1, 2, 3]]},
            "target_ms has 3 and target_mmacs has 2 goals",
            ["target_mmacs", "target_ms"],
        ),
        ({"target": {"a": 3}, "target_ms": 3}, "use one of them", ["target_ms", "target"]),
        ({"target": {"a": float("nan")}}, "target a is nan; it must be a number", ["target"]),
        ({"verify": 65}, "verify is 65", ["verify"]),
        ({"start": ["memory"]}, "start is .*; it may name bank", ["start"]),
        ({"keep": {"resolution": 40.5}}, "keep 'resolution' is 40.5", ["keep"]),
        ({"evaluations": 50, "population": 8}, "are both named", None),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    workspace: Workspace, changes: dict[str, object], words: str, names: list[str] | None
) -> None:
    with pytest.raises(SettingError, match=words) as caught:
        search(**{"target_mmacs": 5, "workspace": workspace, **changes})
    assert names is None or list(caught.value.settings) == names
    assert not workspace.folders("search")
