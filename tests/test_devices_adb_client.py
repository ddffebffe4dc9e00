"""The phone path against Debian's genuine adbd: what the real `adb` program sees of it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import pytest
from adbd.harness import STAND_IN, Phone
from adbd.settings import FAST_LINK, ONCE, TOOLS, make_models, needs_adbd

from devices.adb.connection import AdbConnection
from devices.adb.link import AdbLink
from devices.phone.folder import content_name

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_adbd
FOLDER = "/data/local/tmp/elasticvit"
on_both = pytest.mark.parametrize("phone", TOOLS, indirect=True)


class Client:
    """The real `adb` program, in the phone's network, with a server of its own."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._options = {
            "env": {
                "ANDROID_ADB_SERVER_PORT": "5099",
                "HOME": str(phone.folder),
                "PATH": "/usr/bin",
            }
        }

    def __enter__(self) -> Client:
        said = self._phone.inside("adb", "connect", "127.0.0.1:5777", **self._options)
        assert "connected" in said.stdout
        return self

    def __exit__(self, *_: object) -> None:
        self._phone.inside("adb", "kill-server", **self._options)

    def __call__(self, *command: str) -> str:
        target = ("adb", "-s", "127.0.0.1:5777")
        done = self._phone.inside(*target, *command, **self._options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sha256(self, pattern: str) -> dict[str, str]:
        """Of files on the phone, by their names."""
        lines = self("shell", f"sha256sum {pattern}").splitlines()
        return {line.split("/")[-1]: line.split()[0].lstrip("\\") for line in lines}


needs_client = pytest.mark.skipif(shutil.which("adb") is None, reason="no adb client here")


@needs_client
def test_the_real_adb_client_sees_what_was_pushed(phone, key):
    data = bytes(range(256)) * 5000
    link = AdbLink(AdbConnection(phone.address, config=FAST_LINK, keys=[key]))
    link.connection.connect()
    path = "/data/local/tmp/it's here"
    link.push(data, path)
    with Client(phone) as adb:
        assert adb.sha256(f'"{path}"') == {"it's here": hashlib.sha256(data).hexdigest()}
        pulled = phone.folder / "pulled"
        adb("pull", path, str(pulled))
        assert pulled.read_bytes() == data
        pushed = phone.folder / "from_adb"
        pushed.write_bytes(data[::-1])
        adb("push", str(pushed), "/data/local/tmp/back")
        assert link.pull("/data/local/tmp/back") == data[::-1]
    link.connection.close()


@on_both
@needs_client
def test_the_real_adb_client_sees_a_profile_come_and_go(phone, open_phone):
    models = make_models(5)
    files = {content_name(model.data): model.data for model in models}
    runner = f"{FOLDER}/runner-{hashlib.sha256(STAND_IN.read_bytes()).hexdigest()[:20]}"
    with Client(phone) as adb:
        with open_phone(phone) as device:
            results = device.measure(models, replace(ONCE, rounds=2))
            next(results)
            hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
            assert adb.sha256(f"{FOLDER}/models/*") == hashes
            adb("pull", f"{FOLDER}/models", str(phone.folder))
            pulled = {file.name: file.read_bytes() for file in (phone.folder / "models").iterdir()}
            assert pulled == files
            assert len(list(results)) == 9
        (line,) = adb("shell", f"ls -l {runner}").splitlines()[1:]
        assert line.split()[0] == "-rwxr-xr-x"
        assert line.split()[-1] == "benchmark_model"
        adb("pull", f"{runner}/benchmark_model", str(phone.folder / "runner"))
        assert (phone.folder / "runner").read_bytes() == STAND_IN.read_bytes()
        assert adb("shell", f"ls {FOLDER} {FOLDER}/models").split() == [
            *(f"{FOLDER}:", "models", runner.rpartition("/")[2]),
            f"{FOLDER}/models:",
        ]
