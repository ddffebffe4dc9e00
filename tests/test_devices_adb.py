"""The phone path against Debian's genuine adbd (see `tests/adbd/harness.py`)."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from adbd.front import Lock
from adbd.harness import STAND_IN, Phone, why_not
from contracts.device_contract import QUICK, DeviceContract

from devices import Measurement, Rejected, TimedModel, TimingConfig
from devices.adb import AdbDevice
from devices.adb_link import LinkConfig
from devices.catalog import load_catalog
from devices.hygiene import Hygiene

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
FAST_LINK = LinkConfig(connect_s=2.0, dialog_s=3.0, command_s=10.0, patience_s=15.0)
FAST = Hygiene(poll_s=0.1, cool_down_s=3.0, gate_every_s=0.0, runner_timeout_s=2)


@pytest.fixture
def folder():
    """A short path: Unix sockets allow 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="evit", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    from devices.adb_keys import load_signers

    path = tmp_path_factory.mktemp("keys") / "adbkey"
    load_signers([path])
    return path


@pytest.fixture
def phone(folder):
    with Phone(folder / "p") as running:
        yield running


@pytest.fixture
def open_phone(key):
    """Makes devices for phones."""

    def make(phone: Phone, **changes) -> AdbDevice:
        options = {
            "entry": load_catalog()["pixel6"],
            "address": phone.address,
            "runner": STAND_IN,
            "hygiene": FAST,
            "link": FAST_LINK,
            "keys": [key],
        }
        return AdbDevice("pixel6", **options | changes)

    return make


def make_models(count: int, size: int = 2000) -> list[TimedModel]:
    return [
        TimedModel(f"model {i}", f"{i:05d} ".encode() * (size // 6 + 20 * i)) for i in range(count)
    ]


class TestPhoneKeepsTheContract(DeviceContract):
    source_prefix = "adb:STANDIN0001"

    @pytest.fixture
    def device(self, phone, open_phone) -> AdbDevice:
        return open_phone(phone)

    @pytest.fixture
    def models(self) -> list[TimedModel]:
        return make_models(3)

    @pytest.fixture
    def bad_model(self) -> TimedModel:
        return TimedModel("bad", b"refuse me\n")
