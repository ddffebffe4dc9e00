"""The link's parts that need no phone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from adb_shell.exceptions import TcpTimeoutException
from hypothesis import given
from hypothesis import strategies as st

from devices.adb.address import parse_address
from devices.adb.connection import AdbConnection, LinkConfig
from devices.adb.errors import LinkLost, link_error
from devices.adb.keys import key_paths, load_signers
from devices.adb.link import AdbLink
from devices.adb.shell_output import EXIT, HEAD, STDOUT, split_token, split_v2
from devices.adb.transport import SocketTransport
from devices.local_lock import LocalLock
from devices.phone.device import PhoneDevice
from elasticvit.errors import DeviceError, DeviceUnreachable

TOKEN = b"0123456789abcdef"
chunks = st.lists(st.binary(max_size=30), max_size=20)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    parts, start = [], 0
    for size in sizes:
        parts.append(data[start : start + size])
        start += size
    return [*parts, data[start:]]


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50))),
    st.lists(st.integers(1, 9)),
)
def test_shell_v2_packets_survive_any_cutting(packets, sizes):
    data = b"".join(HEAD.pack(kind, len(body)) + body for kind, body in packets)
    assert list(split_v2(iter(cut(data, sizes)), "x")) == packets


def test_shell_v2_that_ends_within_a_packet_is_a_lost_link():
    with pytest.raises(LinkLost):
        list(split_v2(iter([HEAD.pack(1, 5) + b"abc"]), "x"))


@given(st.binary(max_size=80), st.integers(0, 255), st.lists(st.integers(1, 9)))
def test_the_token_fallback_survives_any_cutting(output, code, sizes):
    output = output.replace(b"\r", b"").replace(TOKEN, b"")
    data = output + TOKEN + str(code).encode() + b"\r\n"
    got = list(split_token(iter(cut(data, sizes)), TOKEN))
    assert b"".join(d for kind, d in got if kind == STDOUT) == output
    assert [d for kind, d in got if kind == EXIT] == [bytes([code])]


def test_the_token_fallback_without_an_end_has_no_exit_code():
    assert [k for k, _ in split_token(iter([b"half of what was to come"]), TOKEN)] == [STDOUT]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("phone", ("phone", 5555)),
        ("10.0.0.2:5556", ("10.0.0.2", 5556)),
        ("[fe80::1]:5557", ("fe80::1", 5557)),
        ("[::1]", ("::1", 5555)),
    ],
)
def test_addresses(text, target):
    assert parse_address(text) == target


@pytest.mark.parametrize("text", ["", "a b", "host:", "host:0", "host:70000", "fe80::1"])
def test_bad_addresses_name_the_forms(text):
    with pytest.raises(DeviceError, match="HOST:PORT") as caught:
        parse_address(text)
    assert caught.value.settings == ("address",)


@pytest.fixture
def pipe(tmp_path):
    """A connected transport and the other end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    transport.connect(1.0)
    other, _ = listener.accept()
    yield transport, other
    transport.close()
    other.close()
    listener.close()


def test_large_writes_arrive_whole_though_the_socket_takes_them_in_parts(pipe):
    transport, other = pipe
    data = os.urandom(3_000_000)
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(other.recv(65536))
            time.sleep(0.0005)

    reader = threading.Thread(target=read)
    reader.start()
    transport.bulk_write(data, 5.0)
    reader.join(10)
    assert bytes(got) == data


def test_the_other_side_closing_is_noticed_at_once(pipe):
    transport, other = pipe
    other.close()
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        transport.bulk_read(24, 30.0)
    assert time.monotonic() - started < 5


def test_silence_and_a_full_pipe_time_out(pipe):
    transport, _ = pipe
    with pytest.raises(TcpTimeoutException):
        transport.bulk_read(24, 0.05)
    with pytest.raises(TcpTimeoutException):
        transport.bulk_write(b"x" * 10_000_000, 0.05)


def test_keys_are_made_once_and_kept_private(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ADB_VENDOR_KEYS", raising=False)
    (path,) = key_paths()
    assert path == tmp_path / ".android/adbkey"
    first = load_signers()[0].GetPublicKey()
    assert path.stat().st_mode & 0o077 == 0
    assert load_signers()[0].GetPublicKey() == first
    assert sorted(p.name for p in path.parent.iterdir()) == ["adbkey", "adbkey.pub"]
    path.write_text("not a key")
    with pytest.raises(DeviceError, match="adbkey"):
        load_signers()


def test_phones_that_are_opened_at_once_share_one_new_key(tmp_path):
    path, keys = tmp_path / "new" / "adbkey", []
    threads = [
        threading.Thread(target=lambda: keys.append(load_signers([path])[0].GetPublicKey()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 4
    assert len(set(keys)) == 1


def test_one_holder_a_lock():
    first, second = LocalLock("a phone"), LocalLock("a phone")
    first.take()
    with pytest.raises(DeviceError, match="a phone is in use by another device of this command"):
        second.take()
    second.release()
    LocalLock("another").take()
    LocalLock("another").take()  # nobody holds the first any more
    first.release()
    second.take()
    second.release()


def test_a_lock_that_another_process_holds_names_the_process():
    hold = "from devices.local_lock import LocalLock as L; lock = L('far'); lock.take(); input('.')"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold], **pipes) as other:
        assert other.stdout.read(1) == b"."
        said = f"far is in use by another profile on this computer .process {other.pid}.; wait"
        with pytest.raises(DeviceError, match=said):
            LocalLock("far").take()
        other.communicate(b"\n")
    LocalLock("far").take()


@pytest.mark.parametrize(
    ("held", "asked", "said"),
    [
        ({"address": "192.0.2.5"}, {"address": "192.0.2.5:5555"}, r"192\.0\.2\.5:5555"),
        ({"address": "[::1]"}, {"address": "[::1]:5555"}, r"\[::1\]:5555"),
        ({"address": "Desk:5556"}, {"address": "desk:5556"}, "desk:5556"),
        ({"serial": "0B222"}, {"serial": "0B222"}, "the phone 0B222 on USB"),
        ({}, {}, "the phone on USB"),
    ],
)
def test_two_devices_of_a_command_that_are_one_phone(held, asked, said, monkeypatch, tmp_path):
    """The second is refused before it connects, and told what tells phones apart."""
    opened, refused = threading.Event(), threading.Event()

    def first_waits(connection):
        opened.set()
        refused.wait(10)
        raise DeviceUnreachable("enough")

    def enter(options):
        with pytest.raises(DeviceUnreachable, match="enough"):
            PhoneDevice("first", runner=sys.executable, **options).__enter__()

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(AdbConnection, "open", first_waits)
    thread = threading.Thread(target=enter, args=(held,))
    thread.start()
    try:
        assert opened.wait(10)
        second = PhoneDevice("second", runner=sys.executable, **asked)
        message = rf"^{said} is in use by another device of this command: .*`serial`.*devices\.toml"
        with pytest.raises(DeviceError, match=message):
            second.__enter__()
    finally:
        refused.set()
        thread.join()
    enter(asked)  # both gave their locks back


def test_time_limits_are_not_negative():
    with pytest.raises(DeviceError, match=r"patience_s = -1; .* at least 0 s"):
        LinkConfig(patience_s=-1)


def test_patience_is_limited_within_a_context_alone():
    connection = AdbConnection("127.0.0.1:1", config=LinkConfig(patience_s=9.0))
    with connection.limited_patience(0.5):
        assert connection.config.patience_s == 0.5
    assert connection.config.patience_s == 9.0


def test_a_link_without_a_connection_is_lost():
    link = AdbLink(AdbConnection("127.0.0.1:1"))
    with pytest.raises(LinkLost, match="not connected"):
        list(link.stream("true", 1.0))


def test_an_address_where_nothing_listens_is_named_with_what_to_check() -> None:
    with socket.socket() as taken:  # bound but not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        address = taken.getsockname()
        with pytest.raises(OSError) as refused:
            socket.create_connection(address)
    said = str(link_error(f"127.0.0.1:{address[1]}", refused.value))
    assert said.startswith(f"127.0.0.1:{address[1]}: Connection refused; check the address")
