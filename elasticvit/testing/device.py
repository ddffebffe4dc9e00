"""What every device must do, whatever it is: the contract suite of `devices.protocol.Device`."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, overload

import pytest

from devices.protocol import Device, Measurement, Rejected, TimedModel, TimingConfig
from devices.quality import Quality
from elasticvit.errors import DeviceUnreachable
from elasticvit.testing.tiny_models import dense_model

QUICK = TimingConfig(warmup_runs=1, min_runs=3, max_runs=20, min_ms=0.1, rounds=2)


class OnlyIndexed(Sequence[TimedModel]):
    """A sequence that makes its models when indexed.

    Args:
        models: Models to hand out.

    Attributes:
        made: Number of models made so far.
    """

    def __init__(self, models: Sequence[TimedModel]) -> None:
        self.models, self.made = models, 0

    def __len__(self) -> int:
        return len(self.models)

    @overload
    def __getitem__(self, index: int) -> TimedModel: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TimedModel]: ...
    def __getitem__(self, index: int | slice) -> TimedModel | Sequence[TimedModel]:
        self.made += 1
        return self.models[index]


class DeviceContract(ABC):
    """Contract suite of a device; inherit from it in a class whose name begins with `Test`.

    Override the fixture `device`, and `models` and `bad_model` if the device does not take the
    TFLite models that they are by default.

    Attributes:
        source_prefix: Beginning of the source that the device must name, such as `fake:`.
    """

    source_prefix: ClassVar[str] = ""

    @abstractmethod
    @pytest.fixture
    def device(self) -> Device:
        """The device, not yet entered."""

    @pytest.fixture
    def models(self) -> list[TimedModel]:
        """Three or more models that the device times, with different keys."""
        return [TimedModel(f"dense {width}", dense_model(width)) for width in (8, 32, 64)]

    @pytest.fixture
    def bad_model(self) -> TimedModel:
        """A model that the device rejects; by default one whose shapes contradict each other."""
        return TimedModel("contradiction", dense_model(8, weight_width=16))

    def test_info_names_the_source(self, device: Device) -> None:
        with device as opened:
            assert opened.info.name
            assert opened.info.source.startswith(self.source_prefix)
            assert ":" in opened.info.source
            assert opened.info.runtime
            json.dumps(opened.info.facts)

    def test_quality_is_counted_or_none(self, device: Device, models: list[TimedModel]) -> None:
        with device as opened:
            measurements = _measure(opened, models)
            assert opened.quality is None or isinstance(opened.quality, Quality)
            if opened.quality is not None:
                assert opened.quality.accepted == len(measurements)
                assert opened.quality.summary()

    def test_unopened_device_raises(self, device: Device, models: list[TimedModel]) -> None:
        with pytest.raises(DeviceUnreachable):
            _ = device.info
        with pytest.raises(DeviceUnreachable):
            list(device.measure(models, QUICK))

    def test_every_model_is_measured_once_a_round(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        with device:
            measurements = _measure(device, models)
        seen = sorted((result.key, result.round) for result in measurements)
        assert seen == sorted((model.key, round_) for model in models for round_ in (0, 1))

    def test_measurements_are_complete(self, device: Device, models: list[TimedModel]) -> None:
        started_s = time.time()
        with device:
            info = device.info
            measurements = _measure(device, models)
        for result in measurements:
            assert result.run_count >= QUICK.min_runs
            assert all(math.isfinite(us) and us > 0 for us in result.samples_us)
            assert min(result.samples_us) <= result.median_ms * 1e3 <= max(result.samples_us)
            assert (result.source, result.runtime) == (info.source, info.runtime)
            assert result.runtime_hash == info.runtime_hash
            assert result.threads == 1
            assert result.cores
            assert started_s - 5 <= result.time_s <= time.time() + 5

    def test_calibration_models_are_timed_with_every_model_or_not_at_all(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        config = replace(QUICK, calibration_models=(models[0],))
        with device:
            timed = [result.calibration_us for result in _measure(device, models, config)]
            without = [result.calibration_us for result in _measure(device, models)]
        assert not any(without)
        if any(timed):
            assert all(set(runs) == {models[0].key} for runs in timed)
            latencies_us = [us for runs in timed for us in runs[models[0].key]]
            assert all(math.isfinite(us) and us > 0 for us in latencies_us)

    def test_the_order_differs_from_round_to_round_and_repeats_with_the_seed(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        config = TimingConfig(warmup_runs=0, min_runs=1, max_runs=1, min_ms=0.0, rounds=4, seed=7)
        with device:
            first = [(r.round, r.key) for r in _measure(device, models, config)]
            again = [(r.round, r.key) for r in _measure(device, models, config)]
        assert first == again
        orders = {tuple(key for round_, key in first if round_ == number) for number in range(4)}
        assert len(orders) > 1

    def test_a_bad_model_is_rejected_once_and_the_others_go_on(
        self, device: Device, models: list[TimedModel], bad_model: TimedModel
    ) -> None:
        with device:
            results = list(device.measure([models[0], bad_model, models[1]], QUICK))
        rejected = [result for result in results if isinstance(result, Rejected)]
        assert [result.key for result in rejected] == [bad_model.key]
        assert rejected[0].reason
        assert len(results) == 1 + 2 * QUICK.rounds

    def test_results_come_as_they_are_made(self, device: Device, models: list[TimedModel]) -> None:
        lazy = OnlyIndexed(models)
        with device:
            results = device.measure(lazy, QUICK)
            next(results)
            _close(results)
            assert lazy.made <= len(models)

    def test_a_closed_profile_does_not_disturb_the_next(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        with device:
            results = device.measure(models, QUICK)
            next(results)
            _close(results)
            assert len(_measure(device, models)) == QUICK.rounds * len(models)

    def test_an_iterator_of_models_is_enough(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        with device:
            assert len(_measure(device, iter(models))) == QUICK.rounds * len(models)

    def test_no_models_give_no_results(self, device: Device) -> None:
        with device:
            assert list(device.measure([], QUICK)) == []

    def test_a_device_can_be_opened_again(self, device: Device, models: list[TimedModel]) -> None:
        for _ in range(2):
            with device:
                assert len(_measure(device, models[:1])) == QUICK.rounds


def _measure(
    device: Device, models: Iterable[TimedModel], config: TimingConfig = QUICK
) -> list[Measurement]:
    """Time models of which none may be rejected."""
    measurements = []
    for result in device.measure(models, config):
        assert isinstance(result, Measurement), result
        measurements.append(result)
    return measurements


def _close(results: Iterator[Any]) -> None:
    """Close what `measure` returned."""
    close = getattr(results, "close", None)
    assert callable(close), "measure must return an iterator that can be closed: a generator"
    close()
