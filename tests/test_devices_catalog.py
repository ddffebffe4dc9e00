from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest
import tomlkit
from adb_shell.exceptions import UsbDeviceNotFoundError
from mutations import byte_mutations, mutations

from devices.catalog import CatalogEntry, load_catalog
from devices.clusters import find_clusters
from devices.discovery import list_devices, parse_server_devices
from devices.phone.facts import PhoneFacts
from devices.registry import known_devices, open_device
from elasticvit.errors import DeviceError, DeviceUnknown
from elasticvit.workspace import Workspace

FACTS = PhoneFacts(
    props={"ro.product.device": "Oriole", "ro.product.model": "Pixel 6", "ro.serialno": "X1"},
    board="",
    machine="aarch64",
    clusters=find_clusters({0: 1}),
    zones=(),
    tools=frozenset(),
    rooted=False,
)
BOARD = replace(FACTS, props={}, board="Raspberry Pi 5 Model B Rev 1.0")
NAMED = "pixel1 pixel4 pixel6 pixel7 pixel8 xiaomi11 xiaomi12 galaxy-s21 galaxy-s22 galaxy-s23 "
NAMED += "galaxy-s24 raspberry-pi-5"


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace.open(tmp_path / "w")
    workspace.update({})
    return workspace


def write(workspace: Workspace, text: str) -> Workspace:
    (workspace.root / "devices.toml").write_text(text)
    return workspace


def test_the_promised_phones_are_there_and_complete():
    catalog = load_catalog()
    assert set(NAMED.split()) <= set(catalog)
    for entry in catalog.values():
        assert entry.product
        assert entry.soc
        assert entry.clusters
        assert entry.match or entry.board


def test_no_two_phones_share_a_property():
    seen: set[tuple[str, str]] = set()
    for entry in load_catalog().values():
        for prop, values in entry.match.items():
            for value in values:
                assert (prop, value) not in seen
                seen.add((prop, value))


def test_phones_and_boards_are_recognised():
    catalog = load_catalog()
    assert [n for n, e in catalog.items() if e.matches(FACTS)] == ["pixel6"]
    assert [n for n, e in catalog.items() if e.matches(BOARD)] == ["raspberry-pi-5"]


@pytest.mark.parametrize(
    "prop", [("ro.boot.qemu", "1"), ("ro.kernel.qemu", "1"), ("ro.hardware", "ranchu")]
)
def test_emulators_are_known(prop):
    assert not FACTS.emulated
    assert replace(FACTS, props=dict([prop])).emulated


def test_another_phone_is_refused_with_both_names_and_the_right_device():
    with pytest.raises(DeviceError, match=r"Pixel 6.*Oriole.*not pixel4.*name pixel6") as caught:
        load_catalog()["pixel4"].check(FACTS)
    assert caught.value.settings == ("device",)


@pytest.mark.parametrize("device", ["fp5", 'a "b" \\c', "-é/..", "x" * 300])
def test_an_unknown_phone_comes_with_its_own_entry(workspace, device):
    """Whatever it calls itself, the entry can be pasted."""
    stranger = replace(FACTS, props={"ro.product.device": device, "ro.product.model": "it's 5\""})
    with pytest.raises(DeviceError) as caught:
        load_catalog()["pixel4"].check(stranger)
    write(workspace, str(caught.value).partition(":\n")[2])
    (own,) = set(load_catalog(workspace)) - set(load_catalog())
    assert load_catalog(workspace)[own].matches(stranger)


def test_the_users_phones_come_first(workspace):
    text = '[pixel6]\nproduct = "mine"\nmatch = { "ro.serialno" = ["X2"] }\nserial = "X2"\n'
    entry = load_catalog(write(workspace, text))["pixel6"]
    assert not entry.matches(FACTS)
    assert (entry.product, entry.serial) == ("mine", "X2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nproduct = 'x'\n", r"a is .*neither match nor board"),
        ("a = 3\n", "a is 3; expected a table of named values"),
        ("[a]\nboard = ['x']\ncolour = 'red'\n", "a.colour is unknown"),
        ("[a]\nboard = 'x'\n", "a.board is 'x'; expected a list"),
        ('[a]\nboard = ["x"]\nrunner = "b\\u0000m"\n', r"its runner is 'b\\x00m', .*printable"),
        ("[a]\nboard = ['']\n", r"a.board\[0\] is ''; expected a text of length >= 1"),
        ("[a]\nmatch = { 'ro.x' = 'y' }\n", "a.match.*'y'; expected a list"),
        ("[a]\nmatch = { 'ro.x' = [] }\n", r"a.match.*\[\]; expected a list of length >= 1"),
        ("[a]\nboard = ['x']\nserial = 5\n", "a.serial is 5; expected a text"),
        ("['../b']\nboard = ['x']\n", "name of a phone .* is '../b'; it must be"),
        ("[a\n", "is not a catalogue of phones"),
    ],
)
def test_mistakes_are_named_with_the_file(workspace, text, said):
    with pytest.raises(DeviceError, match=said) as caught:
        load_catalog(write(workspace, text))
    assert "devices.toml" in str(caught.value)


def loaded(workspace: Workspace) -> tuple[dict[str, CatalogEntry], str]:
    """The catalogue and an empty text, or an empty catalogue and the reason why it is refused."""
    try:
        return load_catalog(workspace), ""
    except DeviceError as error:
        return {}, str(error)


def test_every_damage_is_named_or_read_as_it_stands(workspace):
    entry = {
        "product": "FP5",
        "match": {"ro.product.device": ["fp5", "fp5e"]},
        "board": ["Fair Phone"],
        "address": "10.0.0.5:5555",
        "runner": "tools/benchmark_model",
    }
    refused = 0
    for mutation in mutations({"fp5": entry}):
        try:
            write(workspace, tomlkit.dumps(mutation.document))
        except (TypeError, ValueError, AttributeError):
            continue  # TOML has no form of it
        read, reason = loaded(workspace)
        if reason:
            refused += 1
            assert "devices.toml" in reason, mutation
            assert "\n" not in reason, mutation
            continue
        assert not mutation.broken or not mutation.value, mutation
        for name, table in mutation.document.items():
            for key, value in table.items():
                plain = msgspec.json.decode(msgspec.json.encode(getattr(read[name], key)))
                assert plain == value, mutation
    assert refused > 30


def test_every_damaged_file_is_refused_or_says_what_it_says(workspace):
    whole = b'[fp5]\nproduct = "FP5"\nboard = ["Fair Phone"]\n'
    reasons = {}
    for name, damaged in byte_mutations(whole):
        (workspace.root / "devices.toml").write_bytes(damaged)
        read, reasons[name] = loaded(workspace)
        assert ("devices.toml" in reasons[name]) != bool(read), name
        assert len(reasons[name]) < 1000, name
    assert not reasons["empty file"]
    assert sum(map(bool, reasons.values())) > 8


def test_a_built_in_device_is_not_described_anew(workspace):
    write(workspace, '[host]\nboard = ["x"]\n')
    with pytest.raises(DeviceError, match=r"devices.toml.*'host'.*another name"):
        open_device("host", workspace)


def test_unknown_names_list_the_known(workspace):
    write(workspace, '[mine]\nboard = ["x"]\n')
    with pytest.raises(DeviceUnknown, match=r"'pixel99'.*host.*mine.*pixel6") as caught:
        open_device("pixel99", workspace)
    assert caught.value.settings == ("device",)
    assert known_devices(workspace)[:3] == ("host", "fake", "mine")


def test_the_host_has_no_address():
    with pytest.raises(DeviceError, match="neither an address") as caught:
        open_device("host", address="1.2.3.4")
    assert "address" in caught.value.settings


def test_phones_that_the_adb_server_holds_are_listed():
    listing = (
        "0A111JEC usb:1-1 product:oriole model:Pixel_6 device:oriole transport_id:1\n"
        "0B222 unauthorized usb:1-2 transport_id:2\n"
        "192.168.1.7:5555 device product:raven model:Pixel_6_Pro transport_id:3\n"
    ).replace("0A111JEC usb", "0A111JEC device usb")
    answer = f"OKAY{len(listing):04x}{listing}".encode()
    held, locked = parse_server_devices(answer)
    assert (held.serial, held.product, held.state) == (
        "0A111JEC",
        "Pixel 6",
        "held by the adb server",
    )
    assert "adb kill-server" in held.hint
    assert (locked.serial, locked.state) == ("0B222", "unauthorized")
    assert "accept the dialog on the phone" in locked.hint
    assert parse_server_devices(b"FAIL0004nope") == []
    assert parse_server_devices(b"OKAY0008\n\nalone\n\xff") == []


@pytest.mark.parametrize("port", ["", "abc", "0", "70000", "-1", "9" * 5000, "٣"])
def test_the_adb_servers_port_is_checked(monkeypatch, port):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
    with pytest.raises(DeviceError, match=r"ANDROID_ADB_SERVER_PORT is .*a port from 1 to 65535"):
        list_devices()


class UsbErrorAccess(Exception):
    """As libusb raises it without a udev rule."""

    __module__ = "usb1"


class LockedUsbPhone:
    @property
    def serial_number(self) -> str:
        raise UsbErrorAccess("LIBUSB_ERROR_ACCESS [-3]")


def test_a_phone_on_usb_without_permission_does_not_hide_the_others(tmp_path, monkeypatch):
    class Usb:
        @staticmethod
        def find_all_adb_devices():
            return [LockedUsbPhone(), SimpleNamespace(serial_number="0B222")]

        @staticmethod
        def find_adb(serial, port_path, timeout):
            raise UsbDeviceNotFoundError(f"{serial} was pulled out")

    monkeypatch.setattr("devices.adb.transport.usb_class", lambda: Usb)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    locked, other = list_devices(keys=[tmp_path / "adbkey"])
    assert (locked.where, locked.serial, locked.state) == ("USB", "", "unreachable")
    assert "LIBUSB_ERROR_ACCESS" in locked.hint
    assert "udev rule" in locked.hint
    assert (other.serial, other.state) == ("0B222", "unreachable")
    assert "0B222 was pulled out" in other.hint
