"""Calibration models in the host's worker, whose latency shows the computer's current speed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from devices.host.runtime import prepare

MIN_RUNS, MIN_MS = 2, 3.0  # least timed runs and their total time, per reading of a model
EVERY_MS = 20.0  # time of a model's runs between two readings, since the load changes quickly
COPIES = 3  # copies of each calibration model in memory


class CalibrationModels:
    """Models that stay loaded and are run around each timed model.

    On a shared machine background load slows everything down for seconds or minutes, which shows
    only in the latency of a known model. The latency of a small model also depends on the addresses
    of its memory: each calibration model is therefore loaded several times, and its oldest copy is
    replaced before every timed model, so that the average over addresses is what counts.

    Args:
        interpreter_class: Class of the runtime's interpreter.
    """

    def __init__(self, interpreter_class: Any) -> None:
        self._class = interpreter_class
        self._data: dict[str, bytes] = {}
        self._copies: dict[str, deque[Any]] = {}
        self._runs_us: dict[str, list[float]] = {}

    def load(self, key: str, data: bytes, cores: Sequence[int], threads: int) -> None:
        """Load a calibration model, which replaces an earlier one with the same key.

        Args:
            key: Key of the model.
            data: TFLite flatbuffer.
            cores: Numbers of the cores to run on.
            threads: Number of inference threads.

        Raises:
            Exception: Whatever the runtime raises if it refuses the model.
        """
        copies = [prepare(self._class, data, cores, threads) for _ in range(COPIES)]
        self._data[key], self._copies[key] = data, deque(copies, maxlen=COPIES)

    def begin(self, keys: Sequence[str], cores: Sequence[int], threads: int) -> None:
        """Discard earlier readings, and read the models of these keys from now on."""
        self._runs_us = {key: [] for key in keys}
        for key in self._runs_us:
            self._copies[key].append(prepare(self._class, self._data[key], cores, threads))

    def read(self) -> None:
        """Run each calibration model: once untimed to fill the caches, then timed."""
        for key, runs_us in self._runs_us.items():
            self._copies[key].rotate()
            invoke = self._copies[key][0].invoke
            invoke()
            used_us, count = 0.0, 0
            while count < MIN_RUNS or used_us < 1e3 * MIN_MS:
                start = time.perf_counter_ns()
                invoke()
                runs_us.append((time.perf_counter_ns() - start) / 1e3)
                used_us, count = used_us + runs_us[-1], count + 1

    def runs_us(self) -> dict[str, list[float]]:
        """Latency of every run since `begin` in microseconds, by key of the calibration model."""
        return self._runs_us
