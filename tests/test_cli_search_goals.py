"""`evit-search` with several goals and with caps of every kind, as a user runs it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from search_command import closing
from small_search import SMALL, add_predictor

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cli.search import main
from elasticvit.cli.status import main as status_main
from elasticvit.cost_memory import MemoryCost
from elasticvit.cost_parameters import ParameterCost
from elasticvit.cost_size import SizeCost
from elasticvit.precisions import INT8
from elasticvit.searching.result import SearchResult
from elasticvit.workspace import Workspace

SIZES = ("--population", "6", "--generations", "2")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with two predictors of `SMALL` and no training run."""
    made = Workspace.open(tmp_path / "ws")
    made.remember(space=SMALL)
    add_predictor(made.predictor_path("phone"), "phone", ms_per_mmac=2.0, upper=1.1)
    add_predictor(made.predictor_path("board"), "board", ms_per_mmac=5.0, upper=1.0)
    made.remember(device="phone")
    return made


def run(workspace: Workspace, *options: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "220"})
    return runner.invoke(main, ["--workspace", str(workspace.root), *options])


def test_a_front_is_a_row_for_each_of_its_targets(workspace: Workspace) -> None:
    done = run(workspace, "--front", "3", "--target-ms", "4", *SIZES)
    assert done.exit_code == 0, done.output
    result = SearchResult.load(workspace.latest("search"))
    targets = [winner.caps[0].target for winner in result.winners]
    assert len(targets) == 3
    assert targets[-1] == 4.0
    assert targets[1] / targets[0] == pytest.approx(targets[2] / targets[1], rel=0.02)
    table = done.output[done.output.index("What was chosen for each goal") :]
    for target in targets:
        assert len([line for line in table.splitlines() if f"of {target:g}" in line]) == 1
    refused = run(workspace, "--front", "3", "--target-ms", "2,4")
    assert refused.exit_code == 2
    assert "error: front and a list of 2 goals (target_ms) are both named" in refused.output


def test_commas_are_goals_and_each_has_a_row(workspace: Workspace) -> None:
    done = run(workspace, "--target-ms", "2,3,4", *SIZES)
    assert done.exit_code == 0, done.output
    result = SearchResult.load(workspace.latest("search"))
    assert [winner.caps[0].target for winner in result.winners] == [2.0, 3.0, 4.0]
    assert all(winner.upper_ms <= winner.caps[0].target for winner in result.winners)
    assert "at most 2, 3 or 4 ms" in done.output
    table = done.output[done.output.index("What was chosen for each goal") :]
    for number, winner in enumerate(result.winners, 1):
        (row,) = [line for line in table.splitlines() if f"of {winner.caps[0].target:g}" in line]
        assert row.split("│")[1].strip() == str(number)
        assert str(winner.arch) not in row
        (line,) = [line for line in table.splitlines() if line.endswith(f": {winner.arch}")]
        assert str(number) in re.findall(r"\d+", line.partition(":")[0])
        assert "chosen " + str(winner.arch) not in done.output
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("columns", [80, 120])
def test_each_chosen_architecture_stands_in_one_piece(workspace: Workspace, columns: int) -> None:
    runner = CliRunner(env={"COLUMNS": str(columns)})
    options = ["--target-ms", "2,3,300,400", "--device", "phone", *SIZES]
    done = runner.invoke(main, ["--workspace", str(workspace.root), *options])
    assert done.exit_code == 0, done.output
    result = SearchResult.load(workspace.latest("search"))
    chosen = done.output[done.output.index("What was chosen for each goal") :].splitlines()
    archs = [str(arch) for arch in dict.fromkeys(winner.arch for winner in result.winners)]
    named = [line for line in chosen if line.startswith("goal")]
    assert [line.partition(": ")[2] for line in named[: len(archs)]] == archs
    assert named[len(archs) - 1].startswith("goals 3 and 4: ")
    rows = [line for line in chosen if line.startswith("│")]
    assert len(rows) == 4  # each goal in one line
    assert all(len(row) <= columns for row in rows)


def test_lists_of_devices_go_together(workspace: Workspace) -> None:
    line = closing(
        run(workspace, "--target", "phone=2,4", "--target", "board=6,9", *SIZES, "--json")
    )
    assert [[cap["target"] for cap in winner["caps"]] for winner in line["winners"]] == [
        [2.0, 6.0],
        [4.0, 9.0],
    ]
    assert [cap["device"] for cap in line["caps"]] == ["phone", "board"]
    both = closing(run(workspace, "--target-ms", "3,4", "--device", "phone", "--device", "board",
                       *SIZES, "--json"))  # fmt: skip
    assert [[cap["target"] for cap in winner["caps"]] for winner in both["winners"]] == [
        [3.0, 3.0],
        [4.0, 4.0],
    ]
    old = closing(run(workspace, "--target-ms", "3", "--target-ms", "7", "--device", "phone",
                      "--device", "board", *SIZES, "--json"))  # fmt: skip
    assert [cap["target"] for cap in old["caps"]] == [3.0, 7.0]
    assert len(old["winners"]) == 1


def test_every_cost_can_be_capped_at_once(workspace: Workspace) -> None:
    caps = {"mmacs": 2.0, "params": 0.05, "memory": 0.06, "size": 0.24}
    options = [f"--target={name}={limit}" for name, limit in caps.items()]
    done = run(workspace, "--target-ms", "4", *options, *SIZES, "--json")
    line = closing(done)
    units = ["ms", "MMACs", "M parameters", "MB of activations", "MB of file"]
    assert [cap["unit"] for cap in line["caps"]] == units
    batch = ArchBatch.of([Arch.from_dict(line["arch"])])
    assert ParameterCost(SMALL).price(batch)[0] <= 0.05
    assert MemoryCost(SMALL).price(batch)[0] <= 0.06
    assert SizeCost(SMALL).upper(batch)[0] <= 0.24
    for cap in line["caps"]:
        assert (cap["upper"] or cap["predicted"]) <= cap["target"]
    header = (Path(line["folder"]) / "front.csv").read_text().splitlines()[0]
    assert header.endswith(",m_parameters,mb_of_activations,mb_of_file")
    assert "MB of activations" in done.stderr


def test_a_file_is_as_small_as_the_precision_makes_it(workspace: Workspace) -> None:
    targets = ("--target", "size=0.11", "--target", "memory=0.06")
    refused = run(workspace, *targets, *SIZES)
    assert refused.exit_code == 2
    assert "0.11" in refused.stderr
    done = run(workspace, *targets, "--precision", "int8", *SIZES, "--json")
    batch = ArchBatch.of([Arch.from_dict(closing(done)["arch"])])
    assert SizeCost(SMALL, INT8).upper(batch)[0] <= 0.11 < SizeCost(SMALL).upper(batch)[0]
    assert "peak memory is that of the activations in float32" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "words", "option"),
    [
        (["--target-ms", "nan"], "target_ms is nan; it must be a number from", "--target-ms:"),
        (["--target-ms", "3,0"], "target_ms is 0.0; it must be", "--target-ms:"),
        (["--target-ms", "-1"], "target_ms is -1.0; it must be", "--target-ms:"),
        (["--target-ms", "inf", "--device", "../x"], "target_ms is inf", "--target-ms:"),
        (["--target", "memory=nan"], "target memory is nan", "--target:"),
        (["--target", "params=-5"], "is -5.0; .* millions of parameters", "--target:"),
        (["--target", "phone=3,3"], "target phone is 3, 3; .* different", "--target:"),
        (["--target-ms", "3,,4"], "'3,,4' is not a number, or numbers with commas", ""),
        (["--target", "memory"], "must have the form name=number, such as pixel6=30", ""),
        (["--target", "a=3", "--target", "a=4"], "target names a twice", "--target:"),
        (
            ["--target-ms", "3,4", "--target", "memory=1,2,3"],
            "target_ms has 2 and target memory has 3 goals; lists .* equally long",
            "--target-ms:",
        ),
        (
            ["--target", "phone=3", "--target-ms", "3"],
            "target_ms and target phone both name latencies",
            "--target:",
        ),
        (
            ["--target", "mmacs=3", "--target-mmacs", "3"],
            "target_mmacs and target mmacs are both named",
            "--target-mmacs:",
        ),
        (
            ["--target-ms", "3", "--target-ms", "4"],
            "2 entries, .* for 1 device .* one text, 10,15",
            "",
        ),
        (
            ["--target", "phone=0.001"],
            "upper bound of latency on phone of 0.001 ms or less; the lowest is .* ms .r16 ",
            "--target:",
        ),
        (["--target-ms", "4,0.001"], "of 0.001 ms or less; the lowest is", "--target-ms:"),
        (
            ["--target", "memory=0.001"],
            "no architecture .* has peak memory of 0.001 MB of activations .* the lowest is 0.0",
            "--target:",
        ),
        (
            ["--target-ms", "0.8", "--keep", "resolution=24"],
            r"or less; .* \(with resolution=24 kept\)",
            "--keep:",
        ),
        (["--target-ms", "4", "--keep", "resolution=17"], "offers 16, 24", "--keep:"),
        (["--target-ms", "4", "--keep", "width=16"], "keep names the gene 'width'", "--keep:"),
        (["--target-ms", "4", "--keep", "resolution=a"], "'a' is not a whole number", ""),
        (
            ["--target-ms", "4", "--keep", "resolution=16", "--keep", "resolution=24"],
            "keep names resolution twice",
            "--keep:",
        ),
        (["--target", "nokia=3"], "nokia", ""),
    ],
)
def test_what_makes_no_sense_is_refused(
    workspace: Workspace, options: list[str], words: str, option: str
) -> None:
    done = run(workspace, *options)
    assert done.exit_code == 2, done.output
    text = " ".join(done.stderr.split())
    assert re.search(words, text), text
    assert option in text
    assert "Traceback" not in text
    assert not workspace.folders("search")


def test_the_status_tells_all_goals_and_what_they_were_chosen_by(workspace: Workspace) -> None:
    line = closing(run(workspace, "--target=phone=2,3", "--target=memory=0.06", *SIZES, "--json"))
    done = CliRunner(env={"COLUMNS": "220"}).invoke(
        status_main, ["--workspace", str(workspace.root)]
    )
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "at most 2 or 3 ms on phone and 0.06 MB of activations, finished" in text
    assert f"chosen {line['architecture']} by proxy macs at" in text
