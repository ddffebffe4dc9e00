"""Options that count in another mode alone, or are empty, are refused instead of ignored."""

from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from elasticvit.cli import export, profile, search, train

COMMANDS = {
    "export": export.main,
    "profile": profile.main,
    "search": search.main,
    "train": train.main,
}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("profile --explain smallest --budget-minutes 1", "--budget-minutes: not with --explain"),
        ("profile --explain smallest --rounds 3", "--rounds: not with --explain"),
        ("profile --export-lut a.csv --space tiny", "--space: not with --export-lut"),
        ("profile --import a.csv --seed 1 --threads 2", "--threads, --seed: not with --import"),
        ("profile --list-devices --device host", "--device: not with --list-devices"),
        ("profile --list-devices --serial 1A", "--serial: not with --list-devices"),
        ("profile --force", "--force: for --import and --export-lut alone"),
        ("profile --model a.tflite --like b", "--like: not with --model"),
        ("export --supernet tiny-cifar10 --arch smallest --goal 2", "goal is 2, but supernet is"),
        ("export --timm resnet18 --goal 2", "goal is 2, but timm is exported"),
        ("search --proxy macs --target-mmacs 9 --evaluations 9 --space tiny", "evaluations is 9"),
        ("search --proxy macs --target-mmacs 9 --budget-minutes 1", "budget_minutes is 1.0"),
        ("search --proxy macs --target-mmacs 9 --checkpoint best", "checkpoint is best"),
        ("search --supernet tiny-cifar10 --target-mmacs 9 --checkpoint best", "checkpoint is best"),
        ("train --subnet smallest --bank on", "bank: not with subnet"),
        ("train --subnet smallest --subnets 3 --sampling uniform", "sampling, subnets: not with"),
        ("train --write-soft-labels a --lr 0.1", "--lr: not with --write-soft-labels"),
        (["train", "--data", ""], "'--data': it is empty"),
        (["export", "--supernet", ""], "'--supernet': it is empty"),
        (["profile", "--device", "host", "--device", ""], "'--device': it is empty"),
        (["search", "--target-mmacs", "3", "--workspace", ""], "'--workspace': it is empty"),
    ],
)
def test_what_would_be_ignored_is_refused(
    command: str | Sequence[str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    name, *options = command.split() if isinstance(command, str) else command
    done = CliRunner().invoke(COMMANDS[name], options)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", "").split())
