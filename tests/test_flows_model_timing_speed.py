"""Rounds of a session brought to one speed, and the intervals of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elasticvit.errors import DeviceError
from elasticvit.flows.model_session import _calibration_spread
from elasticvit.flows.model_speed import at_one_speed
from lut.estimate import ESTIMATOR
from lut.interval import interval, ratio_interval
from lut.raw_rounds import RAW_FILE, RawRound, append_round


def session(folder: Path, load: Sequence[float], level: float, time_s: float) -> list[RawRound]:
    """Rounds of a model of 1 ms on a device that is slower by a factor in each, and by `level`
    throughout."""
    rng = np.random.default_rng(int(100 * level))
    folder.mkdir(parents=True)
    rounds = []
    for i, slow in enumerate(load):
        us = {"m": 1000.0, "c": 500.0}
        runs = {k: tuple(v * level * slow * rng.lognormal(0, 0.01, 20)) for k, v in us.items()}
        rounds.append(
            RawRound(
                key="m",
                samples_us=runs["m"],
                round=i,
                threads=1,
                cores="0",
                source="fake:x",
                runtime="x",
                runtime_hash="",
                time_s=time_s,
                calibration_us={"c": runs["c"]},
                sha256="0" * 64,
                asked_cores="auto",
            )
        )
        append_round(folder / RAW_FILE, rounds[-1])
    return rounds


def test_background_load_is_corrected_where_there_are_calibration_models(tmp_path: Path) -> None:
    load = 1 + 0.3 * (np.arange(40) % 2)
    rounds = session(tmp_path / "a", load.tolist(), 1.0, 1e9)
    speed = at_one_speed(rounds, tmp_path / "a")
    assert speed.corrected
    assert speed.ms.std() / speed.ms.mean() < 0.03
    assert "background load" in speed.estimator
    assert _calibration_spread(rounds) == pytest.approx(0.26, abs=0.04)
    few = at_one_speed(rounds[:4], tmp_path / "a")
    assert not few.corrected
    assert few.estimator == ESTIMATOR


def test_a_slow_session_is_brought_to_the_speed_of_the_first_recent_one(tmp_path: Path) -> None:
    load = (1 + 0.2 * (np.arange(20) % 2)).tolist()
    usual = [session(tmp_path / f"{i}", load, 1.0, 1e9 + i) for i in range(3)]
    slow = session(tmp_path / "9", load, 1.3, 1e9 + 9)
    speed = at_one_speed(slow, tmp_path / "9")
    assert speed.sessions == 3
    assert np.median(speed.ms) == pytest.approx(1.0, rel=0.03)
    assert "at the speed of the session of 2001-09-" in speed.estimator
    (tmp_path / "1" / RAW_FILE).write_text("{}\n")
    path = tmp_path / "2" / RAW_FILE
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    speed = at_one_speed(slow, tmp_path / "9")
    assert speed.sessions == 1
    assert "an earlier session was left out" in speed.damaged[0]
    days = at_one_speed(session(tmp_path / "z", load, 1.3, 1e9 + 1e6), tmp_path / "z")
    assert days.sessions == 0
    assert len(usual[0]) == 20


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = ratios = 0
    for _ in range(400):
        common = rng.lognormal(0, 0.2, 15)  # what slows a whole round
        one, two = (common * rng.lognormal(0, 0.02, 15) for _ in range(2))
        low, _, high = interval(rng.lognormal(0, 0.05, 15))
        held += low <= 1 <= high
        low, middle, high = ratio_interval(2 * one, two)
        ratios += low <= 2 <= high
        assert high / low < 1.1
        assert low <= middle <= high
    assert 0.92 < held / 400 < 0.99
    assert 0.92 < ratios / 400 < 0.99


def test_a_latency_that_cannot_be_true_is_not_written(tmp_path: Path) -> None:
    (good,) = session(tmp_path / "a", [1.0], 1.0, 1e9)
    measured = replace(good, samples_us=(float("nan"),))
    with pytest.raises(DeviceError, match="a run of nan us"):
        append_round(tmp_path / RAW_FILE, measured)
    assert not (tmp_path / RAW_FILE).exists()
