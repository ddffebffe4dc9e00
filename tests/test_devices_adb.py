"""The phone path against Debian's genuine adbd (see `tests/adbd/harness.py`): what works."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from adbd.harness import HERE, PIXEL6, STAND_IN, Phone
from adbd.settings import FAST, FAST_LINK, ONCE, TOOLS, make_models, needs_adbd, needs_root

from devices import Measurement, Rejected, TimedModel, TimingConfig, open_device
from devices.adb.connection import AdbConnection
from devices.adb.link import AdbLink
from devices.adb.transport import SocketTransport
from devices.discovery import list_devices
from devices.fleet import run_fleet
from elasticvit.errors import DeviceError
from elasticvit.testing.device import DeviceContract
from elasticvit.testing.tiny_models import dense_model
from elasticvit.workspace import Workspace
from lut.store import Store

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_adbd
FOLDER = "/data/local/tmp/elasticvit"


class TestPhoneKeepsTheContract(DeviceContract):
    source_prefix = "adb:STANDIN0001"

    @pytest.fixture
    def device(self, phone, open_phone):
        return open_phone(phone)

    @pytest.fixture
    def models(self) -> list[TimedModel]:
        return make_models(3)

    @pytest.fixture
    def bad_model(self) -> TimedModel:
        return TimedModel("bad", b"refuse me\n")


on_both = pytest.mark.parametrize("phone", TOOLS, indirect=True)


@on_both
def test_the_stand_ins_latencies_arrive_as_it_computed_them(phone, open_phone):
    models = make_models(30)
    with open_phone(phone) as device:
        results = {r.key: r for r in device.measure(models, ONCE)}
    for model in models:
        result = results[model.key]
        assert result.median_ms * 1e3 == 10 + len(model.data) // 64 + 1
        assert (result.statistic, result.runs) == ("mean", (3,))
        assert result.before.temperature_c == result.after.temperature_c == 38.0
        assert result.before.frequency_mhz == 2802.0


def test_cores_are_derived_and_pinned(phone, open_phone):
    with open_phone(phone) as device:
        (result,) = device.measure(make_models(1), replace(ONCE, cores="mid"))
        assert result.cores == "4-5"
        assert phone.path("/data/local/tmp/taskset.log").read_text().split()[-1] == "30"
        (result,) = device.measure(make_models(1), replace(ONCE, threads=2))
        assert result.cores == "6-7"
        with pytest.raises(DeviceError, match="core 8"):
            device.measure(make_models(1), replace(ONCE, cores="100"))


def test_facts_and_runner_are_recorded(phone, open_phone):
    with open_phone(phone) as device:
        info = device.info
    assert info.runtime_hash == hashlib.sha256(STAND_IN.read_bytes()).hexdigest()
    assert info.runtime.startswith("benchmark_model (classic) ")
    assert info.facts["props"]["ro.product.device"] == "oriole"
    assert info.facts["clusters"][-1] == {"max_mhz": 2802.0, "cores": "6-7"}
    json.dumps(info.facts)


@on_both
def test_only_the_runner_stays_and_it_is_sent_once(phone, open_phone):
    runner = STAND_IN.read_bytes() + b"#" * 3_000_000
    big = phone.folder / "big_runner"
    big.write_bytes(runner)
    for limit in (6_000_000, 300_000):
        before = phone.front.bytes_to_phone
        with open_phone(phone, runner=big) as device:
            list(device.measure(make_models(3), ONCE))
        assert phone.front.bytes_to_phone - before < limit
    left = {str(p.relative_to(phone.path(FOLDER))) for p in phone.path(FOLDER).rglob("*")}
    name = f"runner-{hashlib.sha256(runner).hexdigest()[:20]}"
    assert left == {name, f"{name}/benchmark_model", "models"}


def test_models_are_sent_once(phone, open_phone):
    models = make_models(4, size=200_000)
    with open_phone(phone) as device:
        list(device.measure(models, ONCE))
        before = phone.front.bytes_to_phone
        list(device.measure(models, replace(ONCE, rounds=3)))
        assert phone.front.bytes_to_phone - before < 100_000


@on_both
@pytest.mark.parametrize("v2", [True, False], ids=["shell v2", "old phone"])
def test_commands_have_exit_codes(phone, key, monkeypatch, v2):
    if not v2:
        monkeypatch.setattr(AdbConnection, "features", frozenset())
    link = AdbLink(AdbConnection(phone.address, config=FAST_LINK, keys=[key]))
    link.connection.connect()
    result = link.shell("echo out; echo err >&2; exit 7")
    assert result.code == 7
    assert (result.stdout, result.stderr) == (("out\n", "err\n") if v2 else ("out\nerr\n", ""))
    assert link.shell("true").code == 0
    assert link.shell("yes | head -c 3000000 | wc -c").stdout.strip() == "3000000"
    many = link.shell("yes evit | head -n 200000").stdout
    assert many == "evit\n" * 200_000
    if v2:
        assert link.shell("kill -9 $$").code == 128 + 9
    link.connection.close()


def test_an_old_phone_without_shell_v2_can_be_profiled(phone, open_phone, monkeypatch):
    monkeypatch.setattr(AdbConnection, "features", frozenset())
    with open_phone(phone) as device:
        results = list(device.measure([*make_models(3), TimedModel("bad", b"refuse\n")], ONCE))
    assert [isinstance(r, Rejected) for r in sorted(results, key=lambda r: r.key)] == [True] + [
        False
    ] * 3


def test_a_phone_without_tar_and_timeout_can_be_profiled(phone, open_phone, monkeypatch):
    monkeypatch.setattr("devices.phone.facts.TOOLS", ("taskset",))
    with open_phone(phone) as device:
        assert len(list(device.measure(make_models(5), ONCE))) == 5


@on_both
def test_without_root_fixed_performance_mode_is_asked_for_and_given_back(phone, open_phone):
    with open_phone(phone) as device:
        assert device.info.facts["power_mode"] == "fixed performance mode"
    said = phone.path("/data/local/tmp/cmd.log").read_text().splitlines()
    mode = "power set-fixed-performance-mode-enabled"
    assert said == [f"{mode} true", f"{mode} false"]


def test_a_phone_that_refuses_the_mode_is_measured_and_said_so(phone, open_phone):
    phone.script("power", "Unknown command\n")
    phone.script("power_code", "255\n")
    with open_phone(phone) as device:
        assert device.info.facts["power_mode"] == "default"
        list(device.measure(make_models(2), ONCE))
    assert "clocks not fixed" in device.quality.summary()


@needs_root
def test_with_root_the_governor_is_set_and_given_back(folder, open_phone):
    governor = "/sys/devices/system/cpu/cpu7/cpufreq/scaling_governor"
    with Phone(folder / "p", rooted=True) as phone:
        with open_phone(phone) as device:
            assert device.info.facts["power_mode"] == "governor performance"
            assert phone.path(governor).read_text().strip() == "performance"
        assert phone.path(governor).read_text().strip() == "schedutil"


def test_a_genuine_runtime_goes_the_whole_way(folder, open_phone):
    """LiteRT itself, run on the phone's side of a genuine adbd: its refusals are genuine too."""
    runner = folder / "benchmark_model"
    source = (HERE / "benchmark_model_litert.py").read_text()
    runner.write_text(source.replace("#!PYTHON", f"#!{sys.executable}", 1))
    prefixes = {str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())}
    extra = tuple(sorted(p for p in prefixes if not p.startswith("/usr")))
    models = [TimedModel(f"dense {w}", dense_model(w)) for w in (64, 512)]
    bad = TimedModel("contradiction", dense_model(8, weight_width=16))
    rules = replace(FAST, max_drift=9.0, runner_timeout_s=30)
    with (
        Phone(folder / "p", extra=extra, data_bytes=256 << 20) as phone,
        open_phone(phone, runner=runner, hygiene=rules) as device,
    ):
        results = list(device.measure([*models, bad], replace(ONCE, min_ms=2.0)))
    by_key = {r.key: r for r in results}
    assert isinstance(by_key["contradiction"], Rejected)
    assert "failed to prepare" in by_key["contradiction"].reason
    small, large = by_key["dense 64"], by_key["dense 512"]
    assert small.statistic == "median"
    assert small.median_ms < large.median_ms


def test_the_usb_path_but_for_libusb_itself(phone, open_phone, monkeypatch):
    """A stand-in for libusb carries the bytes; finding, claiming and losing a phone are ours."""

    class USBErrorNoDevice(Exception):
        __module__ = "usb1"

    class Usb:
        found: ClassVar[list[str | None]] = []

        def __init__(self) -> None:
            self.pipe = SocketTransport(phone.address)

        @classmethod
        def find_adb(cls, serial, port_path, timeout):
            cls.found.append(serial)
            return cls()

        def connect(self, timeout):
            self.pipe.connect(timeout)

        def close(self):
            self.pipe.close()

        def bulk_read(self, size, timeout):
            try:
                return bytearray(self.pipe.bulk_read(size, timeout))
            except OSError as error:
                raise USBErrorNoDevice("no such device") from error

        def bulk_write(self, data, timeout):
            return self.pipe.bulk_write(data, timeout)

    monkeypatch.setattr("devices.adb.transport.usb_class", lambda: Usb)
    models = make_models(30)
    with open_phone(phone, address=None, serial="STANDIN0001") as device:
        results = []
        for result in device.measure(models, ONCE):
            results.append(result)
            if len(results) == 12:
                phone.front.cut_after(from_phone=5000)
    assert sorted(r.key for r in results) == sorted(m.key for m in models)
    assert set(Usb.found) == {"STANDIN0001"}
    assert len(Usb.found) >= 2  # found anew after the cut


def test_two_phones_at_once_into_one_store(folder, open_phone):
    names = {"pixel6": "SERIAL-A", "second": "SERIAL-B"}
    store = Store(folder / "lut.sqlite")
    phones = {n: Phone(folder / n, props=PIXEL6 | {"ro.serialno": s}) for n, s in names.items()}
    models = [
        replace(model, key=f"ffn size=8 width={number} mlp_ratio=2")
        for number, model in enumerate(make_models(25), 1)
    ]
    with phones["pixel6"], phones["second"]:
        devices = {name: open_phone(phone, name) for name, phone in phones.items()}

        def work(name, device, check):
            for result in device.measure(models, TimingConfig(rounds=2, min_ms=0.1)):
                check()
                store.add(name, result)
            return device.quality.accepted

        outcomes = run_fleet(devices, work)
    assert {name: o.result for name, o in outcomes.items()} == {"pixel6": 50, "second": 50}
    for name, serial in names.items():
        frame = store.measurements(name)
        assert set(frame["source"]) == {f"adb:{serial}"}
        assert not frame.duplicated(["key", "round"]).any()
        assert len(frame) == 50


def test_an_emulator_is_named_in_every_row(folder, open_phone):
    props = PIXEL6 | {"ro.boot.qemu": "1"}
    with Phone(folder / "p", props=props) as phone, open_phone(phone) as device:
        (result,) = device.measure(make_models(1), ONCE)
    assert result.source == "adb-emulated:STANDIN0001"


def test_devices_are_listed_with_their_state(phone, folder, key, monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    nobody = f"unix:{folder}/nobody.sock"
    found = list_devices(addresses=[phone.address, nobody], keys=[key])
    ready, gone = found[0], found[1]
    assert (ready.state, ready.name, ready.serial) == ("ready", "pixel6", "STANDIN0001")
    assert ready.product == "Google Pixel 6"
    assert gone.state == "unreachable"


def test_a_phone_that_shows_no_cores_does_not_hide_the_others(phone, folder, key, monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    bare = Phone(folder / "b", props=PIXEL6 | {"ro.serialno": "STANDIN0002"})
    for core in (bare.sys / "devices/system/cpu").glob("cpu[0-9]*"):
        shutil.rmtree(core)
    with bare:
        odd, ready = list_devices(addresses=[bare.address, phone.address], keys=[key])
    assert (odd.where, odd.state) == (bare.address, "unreachable")
    assert "shows no CPU cores" in odd.hint
    assert (ready.state, ready.serial) == ("ready", "STANDIN0001")


def test_open_device_takes_the_runner_and_the_phones_of_the_workspace(phone, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    workspace = Workspace.open(tmp_path / "w")
    workspace.update({"runner": str(STAND_IN)})
    (workspace.root / "devices.toml").write_text(
        f'[mine]\nproduct = "My phone"\nmatch = {{ "ro.serialno" = ["STANDIN0001"] }}\n'
        f'address = "{phone.address}"\n'
    )
    with open_device("mine", workspace) as device:
        results = list(device.measure(make_models(2), ONCE))
    assert all(isinstance(r, Measurement) and r.source == "adb:STANDIN0001" for r in results)
    assert (tmp_path / ".android/adbkey").stat().st_mode & 0o077 == 0
