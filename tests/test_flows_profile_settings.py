"""Settings of a profile: whatever makes no sense is refused by name before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import elasticvit as ev
from elasticvit.errors import FileError, SettingError
from elasticvit.flows.learn_settings import LearnSettings
from elasticvit.flows.profile_settings import ProfileSettings

NAN, INFINITE = float("nan"), float("inf")
QUICK = {"device": "fake", "space": "tiny", "budget_minutes": 0.02, "rounds": 2}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("budget_minutes", [NAN, INFINITE, -INFINITE, 0, -1, 0.001, 1e300, 10**30, True, "5"]),
        ("rounds", [0, 1, 100, 10**30, 2.5, NAN, True, None, "3"]),
        ("threads", [0, -1, 65, 10**30, 1.0, None]),
        ("seed", [-1, 2**31, 0.5, None]),
        ("cores", ["", "0", "0x", "fast", "BIG", " f0", "-f", "f" * 300, "f0\n", 3, None]),
        ("device", ["", "../x", "a/b", "-x", ".x", " x", "x\n", "a" * 200, "a\0b"]),
        ("address", ["", "x" * 5000, "a\nb", "a\0b"]),
        ("serial", ["", "x" * 5000, "\x1b[31m"]),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(SettingError, match=rf"^{name} is ") as caught:
            ProfileSettings(**{name: value})
        assert caught.value.settings == (name,), value
        assert len(str(caught.value)) < 400, value


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("budget_kernels", [0, 2, -1, 10**30, NAN, 3.5, True, None]),
        ("like", ["", ",", "a,,b", "../x", "a,../x", "a\0b", "x" * 5000, ()]),
    ],
)
def test_a_device_is_learnt_from_names_and_a_number(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(SettingError, match=name) as caught:
            LearnSettings(device="new", **{"like": "known", name: value})
        assert caught.value.settings == (name,), value
        assert len(str(caught.value)) < 400, value


@pytest.mark.parametrize("cores", ["auto", "big", "mid", "little", "f0", "0xF0", "00ff"])
def test_cores_are_words_or_masks(cores: str) -> None:
    assert ProfileSettings(cores=cores).cores == cores


def test_what_was_measured_is_kept_when_the_predictor_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "settings.toml").write_text("schema = 1\n")
    (tmp_path / "ws" / "predictors").touch()  # a file where the folder must be
    with pytest.raises(FileError, match=r"predictors.*all that was measured of fake is kept in"):
        ev.profile(workspace=tmp_path / "ws", **QUICK)
    (tmp_path / "ws" / "predictors").unlink()
    result = ev.profile(workspace=tmp_path / "ws", **QUICK)
    assert result.devices["fake"].summary.timed < result.devices["fake"].summary.series.count
