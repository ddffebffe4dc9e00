"""The settings of sampling: defaults, contradictions, and the command's options."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from training_small import DATA, MICRO

from elasticvit.cli.train import main
from elasticvit.errors import SettingError
from elasticvit.flows.train_result import TrainResult
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.training.config import TrainConfig, default_config
from elasticvit.training.recipes import CPU_MINUTES, Recipe
from elasticvit.training.run_info import RunInfo

NAMES = ("sampling", "hss", "bank", "preference", "grow", "level_bias", "subnets")
UNBIASED = replace(CPU_MINUTES, subnets=3, level_bias=0.0, grow=0.0)
BIASED = replace(CPU_MINUTES, subnets=2, level_bias=0.7, grow=0.3)


def values(config: TrainConfig) -> tuple[Any, ...]:
    return tuple(getattr(config, name) for name in NAMES)


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        (UNBIASED, {}, ("adjacent", 3, True, True, 0.0, 0.0, 3)),
        (UNBIASED, {"bank": False, "hss": 1}, ("adjacent", 1, False, True, 0.0, 0.0, 3)),
        (UNBIASED, {"preference": False, "grow": 0.5}, ("adjacent", 3, True, False, 0.5, 0.0, 3)),
        (BIASED, {}, ("adjacent", 3, True, True, 0.3, 0.7, 2)),
        (BIASED, {"level_bias": 0.0, "subnets": 1}, ("adjacent", 3, True, True, 0.3, 0.0, 1)),
        (BIASED, {"sampling": "uniform"}, ("uniform", 1, False, False, 0.0, 0.0, 3)),
        (
            BIASED,
            {"sampling": "sandwich", "bank": False, "subnets": 4},
            ("sandwich", 1, False, False, 0.0, 0.0, 4),
        ),
    ],
)
def test_a_new_training_has_all_that_its_sampling_allows(
    recipe: Recipe, given: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert values(default_config(DATA.info, MICRO, recipe, **given)) == expected


@pytest.mark.parametrize("kind", [TrainSettings, TrainConfig])
@pytest.mark.parametrize(
    ("bad", "words", "names"),
    [
        ({"sampling": "all"}, "sampling is 'all'; it must be one of adjacent", ("sampling",)),
        ({"sampling": None}, "sampling is None", ("sampling",)),
        ({"hss": 2}, "hss is 2; it must be 1.* or 3", ("hss",)),
        ({"hss": 3.0}, r"hss is 3\.0", ("hss",)),
        ({"hss": True}, "hss is True", ("hss",)),
        ({"bank": "on"}, "bank is 'on'; it must be True or False", ("bank",)),
        ({"preference": 1}, "preference is 1", ("preference",)),
        ({"grow": 1.5}, r"grow is 1\.5; it must be a number from 0 to 1", ("grow",)),
        ({"grow": float("nan")}, "grow is nan", ("grow",)),
        (
            {"level_bias": 3.0},
            r"level_bias is 3\.0; it must be a number from 0 to 2",
            ("level_bias",),
        ),
        ({"subnets": 0}, "subnets is 0; it must be", ("subnets",)),
        (
            {"sampling": "uniform", "level_bias": 0.5, "hss": 1},
            "level_bias needs complexity levels",
            ("sampling", "level_bias"),
        ),
        (
            {"sampling": "sandwich", "bank": True, "hss": 1},
            "bank needs complexity levels, which sampling sandwich does not have",
            ("sampling", "bank"),
        ),
        (
            {"sampling": "uniform", "preference": True, "grow": 0.5, "hss": 3},
            "preference, grow and hss 3 need complexity levels",
            ("sampling", "preference", "grow", "hss"),
        ),
    ],
)
def test_what_makes_no_sense_is_named(
    kind: type, bad: dict[str, Any], words: str, names: tuple[str, ...]
) -> None:
    more = {"epochs": 1, "batch_size": 8, "lr": 1e-3} if kind is TrainConfig else {}
    with pytest.raises(SettingError, match=words) as refused:
        kind(**bad, **more)
    assert refused.value.settings == names


def test_a_contradiction_is_answered_with_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["--sampling", "sandwich", "--bank", "on"])
    assert done.exit_code == 2
    assert "bank needs complexity levels" in done.stderr
    assert "--sampling" in done.stderr
    assert "--bank" in done.stderr
    assert not (tmp_path / ".evit").exists()


def test_options_reach_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
    (tmp_path / "micro.toml").write_text(MICRO.to_toml())
    fast = ["--space", "micro.toml", "--epochs", "1", "--batch-size", "256", "--threads", "1"]
    for out, options, expected in (
        ("one", ["--sampling", "sandwich"], ("sandwich", 1, False, False, 0.0, 0.0, 3)),
        (
            "two",
            [*("--hss", "1", "--preference", "off"), *("--level-bias", "0.3", "--subnets", "2")],
            ("adjacent", 1, True, False, CPU_MINUTES.grow, 0.3, 2),
        ),
    ):
        done = CliRunner().invoke(main, [*fast, *options, "--workspace", out])
        assert done.exit_code == 0, done.stderr
        (run,) = (tmp_path / out / "runs").iterdir()
        assert values(RunInfo.load(run).settings) == expected
        assert len(TrainResult.load(run).subnets) == 3, "judged by levels whatever the sampling"
