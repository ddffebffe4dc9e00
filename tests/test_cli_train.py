"""`evit-train` as a user runs it: forecast, log, table, going on, and clear refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click import Option
from click.testing import CliRunner
from training_small import MICRO

from elasticvit.cli.report import Report
from elasticvit.cli.train import main
from elasticvit.cli.train_report import TrainReport
from elasticvit.flows.train_events import SpaceChosen
from elasticvit.workspace import Workspace

FAST = ["--space", "micro.toml", "--epochs", "1", "--batch-size", "128", "--threads", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
    (tmp_path / "micro.toml").write_text(MICRO.to_toml())
    return tmp_path


def evit_train(*options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(options), env={"COLUMNS": "120"})
    return result.exit_code, result.stdout, result.stderr


def test_a_run_ends_with_a_table_and_one_json_line(folder: Path) -> None:
    code, out, err = evit_train(*FAST, "--json", "--panel-every", "4")
    assert code == 0, err
    (line,) = out.splitlines()
    result = json.loads(line)
    assert result["command"] == "evit-train"
    assert (result["space"], result["data"], result["epochs"]) == ("micro", "digits", 1)
    assert result["subnets"][0]["name"] == "smallest"
    assert len(result["subnets"]) == 3
    assert len(result["panel"]) > 3
    assert err.count("accuracy of the panel") == 2
    assert "step 4 of 9: accuracy of the panel" in err
    macs = [s["macs_m"] for s in result["subnets"]]
    assert macs == sorted(macs)
    assert all(0 <= s["accuracy"] <= 100 for s in result["subnets"])
    assert err.startswith("opening data set digits, to train space micro on it")
    assert err.index("on this machine") < err.index("epoch 1, step 1 of 9")
    assert "complexity levels (MMACs)" in err
    words = " ".join(err.split())
    assert "a step trains 1 sampled subnet of one of them, of cheap ones more often" in words
    assert "all are in after 50 % of the steps" in words
    assert "next: evit-profile --device host, then evit-search --target-ms N" in err
    run = Path(result["run"])
    assert (run / "log.csv").read_text().count("\n") == 10
    settings = (folder / ".evit" / "settings.toml").read_text()
    assert f'run = "runs/{run.name}"' in settings

    again, _, err = evit_train(*FAST)
    assert again == 0
    assert "here is its result again" in err + _
    assert len(list((folder / ".evit" / "runs").iterdir())) == 1


def test_the_closing_hint_survives_a_device_that_cannot_price_the_space(folder: Path) -> None:
    Workspace.open().remember(device="pixel9")
    code, out, err = evit_train(*FAST)
    assert code == 0, err
    hint = "next: evit-profile --space micro --device pixel9, then evit-search --target-ms N"
    assert hint in " ".join(out.split())


def test_the_space_that_was_chosen_is_told_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Report(False) as report:
        TrainReport(report)(
            SpaceChosen(
                space="photo",
                reason="3,400 images of 64 pixels in 10 classes",
                recipe="cpu-minutes",
                recipe_reason="no GPU is used",
            )
        )
    out = " ".join(capsys.readouterr().out.split())
    assert "space photo: 3,400 images of 64 pixels in 10 classes (--space names another)" in out
    assert "recipe cpu-minutes: no GPU is used" in out


def test_every_option_has_a_text() -> None:
    assert all(isinstance(p, Option) and p.help for p in main.params)


def test_ctrl_c_and_the_same_command_goes_on(folder: Path) -> None:
    code = "from elasticvit.cli.train import main; main()"
    options = [*FAST[:3], "40", *FAST[4:]]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not any(log.read_text().count("\n") > 3 for log in folder.glob(".evit/runs/*/log.csv")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    settings = (folder / ".evit" / "settings.toml").read_text()
    assert 'space = "micro"' in settings
    assert "latest" not in settings

    code, out, err = evit_train(*FAST, "--resume")  # one epoch, not forty
    assert code == 2
    assert "no interrupted run with these settings" in err
    (run,) = (folder / ".evit" / "runs").iterdir()
    for path in (run / "checkpoints").glob("*.json"):
        path.write_bytes(b"PK\x03\x04")
    code, out, err = evit_train(*options)
    assert code == 2
    assert ".json is not a checkpoint" in err
    assert f"going on with {Path('.evit') / 'runs' / run.name}" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "nothing"], "no data set 'nothing'; accepted are"),
        (["--space", "huge"], "no space 'huge'"),
        (["--space", "tiny", "--lr", "7"], "lr is 7"),
        (["--space", "tiny", "--complexity", "ms"], "evit-profile --device host"),
        (["--space", "tiny", "--complexity", "ms", "--device", "pixel9"], "no predictor of device"),
        (["--device", "host"], "choose complexity ms"),
        (["--seed", "1", "--lr", "0"], "lr is 0.0; it must be a number from 5e-06 to 1"),
        (["--resume", "--fresh"], "exclude each other"),
        (["--resume", "--space", "tiny"], "no interrupted run"),
        (["--start-from", "nowhere"], "there are no weights at nowhere"),
        (["--init", "a", "--start-from", "b"], "start_from and init exclude each other"),
        (["--start-share", "2"], "start_share is 2.0; it must be a number from 0 to 0.9"),
    ],
)
def test_bad_input_is_refused_in_one_message(folder: Path, options: list[str], words: str) -> None:
    code, out, err = evit_train(*options)
    assert code == 2
    assert words in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not (folder / ".evit").exists()


def test_a_truncated_run_file_is_refused(folder: Path) -> None:
    run = folder / ".evit" / "runs" / "x"
    (folder / ".evit").mkdir()
    (folder / ".evit" / "settings.toml").write_text("schema = 1\n")
    run.mkdir(parents=True)
    (run / "run.json").write_text("{")
    code, _, err = evit_train(*FAST)
    assert code == 2
    assert "not a training run" in err


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from elasticvit.cli.train import main; "
        "r = CliRunner().invoke(main, ['--help']); assert '--complexity' in r.output; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
