from __future__ import annotations

import pytest

from devices import TimedModel, TimingConfig, open_device
from devices.fake import FakeDevice
from elasticvit.errors import DeviceUnknown, DeviceUnreachable
from elasticvit.testing.device import QUICK, DeviceContract


@pytest.fixture
def models() -> list[TimedModel]:
    return [TimedModel(f"model {i}", bytes([i]) * 100 * (i + 1)) for i in range(5)]


class TestFakeKeepsTheContract(DeviceContract):
    source_prefix = "fake:"

    @pytest.fixture
    def device(self) -> FakeDevice:
        return FakeDevice(noise=0.05, reject={"bad": "not today"})

    @pytest.fixture
    def models(self, models: list[TimedModel]) -> list[TimedModel]:
        return models

    @pytest.fixture
    def bad_model(self) -> TimedModel:
        return TimedModel("bad", b"bad")


def test_latencies_are_a_function_of_the_bytes(models):
    with FakeDevice() as device:
        first = {r.key: r.median_ms for r in device.measure(models, QUICK)}
        renamed = [TimedModel("x" + m.key, m.data) for m in models]
        second = {r.key: r.median_ms for r in device.measure(renamed, QUICK)}
    assert {"x" + key: ms for key, ms in first.items()} == second
    assert len(set(first.values())) == len(models)


def test_a_passed_function_sets_the_latency(models):
    with FakeDevice(lambda model: 1000.0 * len(model.data)) as device:
        for result in device.measure(models, QUICK):
            index = int(result.key.split()[1])
            assert result.median_ms == pytest.approx(100 * (index + 1))


def test_noise_repeats_with_the_seed(models):
    runs = []
    for seed in (0, 0, 1):
        with FakeDevice(noise=0.1) as device:
            config = TimingConfig(seed=seed)
            runs.append({(r.key, r.round): r.samples_us for r in device.measure(models, config)})
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_it_disappears_once_and_comes_back(models):
    device = FakeDevice(unreachable_after=3)
    with device:
        results = device.measure(models, QUICK)
        assert len([next(results) for _ in range(3)]) == 3
        with pytest.raises(DeviceUnreachable, match="after 3"):
            next(results)
    with device:
        assert len(list(device.measure(models, QUICK))) == QUICK.rounds * len(models)


def test_it_can_be_absent():
    with pytest.raises(DeviceUnreachable), FakeDevice(unreachable=True):
        pass


def test_it_can_crash_the_program(models):
    with FakeDevice(crash_after=2) as device, pytest.raises(RuntimeError, match="fake crash"):
        list(device.measure(models, QUICK))


def test_open_device_knows_its_names():
    assert open_device("fake").__class__ is FakeDevice
    with pytest.raises(DeviceUnknown, match=r"'pixel99'.*host"):
        open_device("pixel99")
