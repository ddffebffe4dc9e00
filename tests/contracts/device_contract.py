"""What every device must do, whatever it is. Subclass `DeviceContract` in a test file."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from devices import Device, Measurement, Rejected, TimedModel, TimingConfig
from elasticvit.errors import DeviceUnreachable

QUICK = TimingConfig(warmup_runs=1, min_runs=3, max_runs=20, min_ms=0.1, rounds=2)


class OnlyIndexed(Sequence):
    """A sequence that makes its models when indexed and counts how many it made."""

    def __init__(self, models: Sequence[TimedModel]) -> None:
        self.models, self.made = models, 0

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, index):
        self.made += 1
        return self.models[index]


class DeviceContract:
    """Fixtures to provide: `device` (not entered), `models` (three or more that work, with
    keys of their own) and `bad_model` (one that the device rejects)."""

    source_prefix = ""

    def test_info_names_the_source(self, device: Device) -> None:
        with device as opened:
            assert opened.info.name
            assert opened.info.source.startswith(self.source_prefix)
            assert opened.info.runtime

    def test_unopened_device_raises(self, device: Device, models: list[TimedModel]) -> None:
        with pytest.raises(DeviceUnreachable):
            _ = device.info
        with pytest.raises(DeviceUnreachable):
            list(device.measure(models, QUICK))

    def test_every_model_is_measured_once_a_round(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        with device:
            results = list(device.measure(models, QUICK))
        assert all(isinstance(result, Measurement) for result in results)
        seen = sorted((result.key, result.round) for result in results)
        assert seen == sorted((model.key, round_) for model in models for round_ in (0, 1))

    def test_measurements_are_complete(self, device: Device, models: list[TimedModel]) -> None:
        started_s = time.time()
        with device:
            info = device.info
            results = list(device.measure(models, QUICK))
        for result in results:
            assert QUICK.min_runs <= result.run_count
            assert all(math.isfinite(us) and us > 0 for us in result.samples_us)
            assert min(result.samples_us) <= result.latency_ms * 1e3 <= max(result.samples_us)
            assert (result.source, result.runtime) == (info.source, info.runtime)
            assert result.runtime_hash == info.runtime_hash
            assert result.threads == 1
            assert result.cores
            assert started_s - 5 <= result.time_s <= time.time() + 5

    def test_gauges_are_read_with_every_model_or_not_at_all(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        config = replace(QUICK, gauges=(models[0],))
        with device:
            told = [result.gauges_us for result in device.measure(models, config)]
            without = [result.gauges_us for result in device.measure(models, QUICK)]
        assert not any(without)
        if any(told):
            assert all(set(gauges) == {models[0].key} for gauges in told)
            runs = [us for gauges in told for us in gauges[models[0].key]]
            assert all(math.isfinite(us) and us > 0 for us in runs)

    def test_the_order_differs_from_round_to_round_and_repeats_with_the_seed(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        config = TimingConfig(warmup_runs=0, min_runs=1, max_runs=1, min_ms=0.0, rounds=4, seed=7)
        with device:
            first = [(r.round, r.key) for r in device.measure(models, config)]
            again = [(r.round, r.key) for r in device.measure(models, config)]
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
            results.close()
            assert lazy.made <= len(models)

    def test_a_closed_profile_does_not_disturb_the_next(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        with device:
            results = device.measure(models, QUICK)
            next(results)
            results.close()
            again = list(device.measure(models, QUICK))
        assert len(again) == QUICK.rounds * len(models)

    def test_an_iterator_of_models_is_enough(
        self, device: Device, models: list[TimedModel]
    ) -> None:
        with device:
            results = list(device.measure(iter(models), QUICK))
        assert len(results) == QUICK.rounds * len(models)

    def test_no_models_give_no_results(self, device: Device) -> None:
        with device:
            assert list(device.measure([], QUICK)) == []

    def test_a_device_can_be_opened_again(self, device: Device, models: list[TimedModel]) -> None:
        for _ in range(2):
            with device:
                assert len(list(device.measure(models[:1], QUICK))) == QUICK.rounds
