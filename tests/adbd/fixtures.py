"""Fixtures of the tests on genuine adbd (a pytest plugin)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from adbd.harness import STAND_IN, Phone
from adbd.settings import FAST, FAST_LINK

from devices.catalog import load_catalog
from devices.phone.device import PhoneDevice


@pytest.fixture
def folder(monkeypatch):
    """A short path: Unix sockets allow 107 bytes. Locks of phones are in it: those of tests that
    run side by side have the same serial numbers."""
    path = Path(tempfile.mkdtemp(prefix="evit", dir="/tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(path))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    """A private key of this computer, not the user's."""
    from devices.adb.keys import load_signers

    path = tmp_path_factory.mktemp("keys") / "adbkey"
    load_signers([path])
    return path


@pytest.fixture
def phone(folder, request):
    """A running phone; a test may ask for Android's tools by `indirect` parameters."""
    with Phone(folder / "p", android_tools=getattr(request, "param", False)) as running:
        yield running


@pytest.fixture
def open_phone(key):
    """Makes devices for phones."""

    def make(phone: Phone, name: str = "pixel6", **changes) -> PhoneDevice:
        options = {
            "entry": load_catalog()["pixel6"],
            "address": phone.address,
            "runner": STAND_IN,
            "hygiene": FAST,
            "link": FAST_LINK,
            "keys": [key],
        }
        return PhoneDevice(name, **options | changes)

    return make
