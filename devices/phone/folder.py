"""The folder on the phone: the runner, a cache of models, and clean-up after a crash.

/data/local/tmp/elasticvit/
    runner-<sha256>/benchmark_model   kept between profiles, with the files beside it
    models/<sha256>                   named by content, so that no model is sent twice
    batch.tar, incoming.<pid>/        transfers, so that models/ never holds a partial file
    outputs/                          inputs and outputs of a model that is checked
    job.sh, undo.sh                   script of the running group; script that restores the power
                                      mode
"""

from __future__ import annotations

import hashlib
import io
import shlex
import tarfile
from collections import OrderedDict
from collections.abc import Sequence

from devices.adb.errors import StorageFull
from devices.adb.link import AdbLink
from devices.phone.runner import OFFICIAL_URL, Runner, RunnerFile
from elasticvit.errors import DeviceError, RunnerMissing

FOLDER = "/data/local/tmp/elasticvit"
UNDO = f"{FOLDER}/undo.sh"
# the pattern does not match the command line that contains it
KILL = (
    "for i in 1 2; do for p in $(grep -l 'elastic[v]it/' /proc/[0-9]*/cmdline 2>/dev/null); do "
    "p=${p%/cmdline}; kill -9 ${p#/proc/} 2>/dev/null; done; done; true"
)
CACHE_BYTES = 256 * 2**20  # models kept on the phone
HELP_TIMEOUT_S = 30.0


def content_name(data: bytes) -> str:
    """Name of a model's file on the phone, from its content."""
    return hashlib.sha256(data).hexdigest()[:20]


class PhoneFolder:
    """The folder of one connected phone.

    Args:
        link: Open link to the phone.
        has_tar: Whether the phone can unpack archives; otherwise models are sent one by one.
    """

    def __init__(self, link: AdbLink, *, has_tar: bool) -> None:
        self._link, self._has_tar = link, has_tar
        self._models: OrderedDict[str, int] = OrderedDict()  # name to bytes, least used first

    def clear(self) -> None:
        """Kill what still runs and remove all but the runner: after a crash, and at the end."""
        self.kill()
        self._link.run(
            f"mkdir -p {FOLDER} && cd {FOLDER} && "
            "rm -rf models incoming* outputs batch.tar job.sh ./*.part ./*/*.part && mkdir models"
        )
        self._models.clear()

    def kill(self) -> None:
        """Kill every process that was started from this folder."""
        self._link.shell(KILL)

    def install(self, file: RunnerFile) -> tuple[Runner, list[str]]:
        """Install the runner on the phone unless it is there, and identify it by its help text.

        Returns:
            The runner, and the beginning of its command on the phone.

        Raises:
            RunnerMissing: The runner does not start there, or is no benchmark_model.
        """
        folder = f"{FOLDER}/runner-{file.sha256[:20]}"
        files = {file.name: file.data, **file.beside}
        launch = file.launch(folder)
        sizes = f"for f in {' '.join(files)}; do echo $f $(wc -c < $f); done 2>/dev/null"
        there = self._link.shell(f"mkdir -p {folder} && cd {folder} && {sizes}")
        lines = [line.split() for line in there.stdout.splitlines()]
        for name, data in files.items():
            if [name, str(len(data))] not in lines:
                self._link.push(data, f"{folder}/{name}", mode=0o755)
        # some phones' adbd drops the execute bits
        asked = self._link.shell(
            f"chmod 755 {folder}/* && {shlex.join(launch)} --help 2>&1", HELP_TIMEOUT_S
        )
        if file.loader is not None and asked.code != 0:
            raise RunnerMissing(
                f"evit's own runner (experimental) does not run on {self._link.name}: "
                f"{asked.complaint}; download {OFFICIAL_URL} and name it as the runner",
                settings=("runner",),
            )
        if asked.code in (126, 127):
            raise RunnerMissing(
                f"runner {file.path} does not start on {self._link.name}: {asked.complaint}; it "
                "must be built for this phone's CPU and for Android",
                settings=("runner",),
            )
        return Runner.from_help(asked.stdout, file.sha256), launch

    def path(self, data: bytes) -> str:
        """Path of a model on the phone once it was sent."""
        return f"{FOLDER}/models/{content_name(data)}"

    def send(self, models: Sequence[bytes]) -> int:
        """Make sure that models are on the phone, in one push.

        Args:
            models: Content of the models.

        Returns:
            Number of models that had to be sent.

        Raises:
            StorageFull: There is no room, even with nothing else in the folder.
        """
        wanted = {content_name(data): data for data in models}
        for name in wanted:
            if name in self._models:
                self._models.move_to_end(name)
        missing = {name: data for name, data in wanted.items() if name not in self._models}
        if not missing:
            return 0
        self._evict(CACHE_BYTES - sum(map(len, missing.values())), keep=set(wanted))
        try:
            self._send(missing)
        except StorageFull:
            if not set(self._models) - set(wanted):
                raise
            self._evict(0, keep=set(wanted))
            self._send(missing)
        self._models.update({name: len(data) for name, data in missing.items()})
        return len(missing)

    def forget(self) -> None:
        """Assume that no model is on the phone: it may have lost them."""
        self._models.clear()

    def _send(self, models: dict[str, bytes]) -> None:
        if not self._has_tar:
            for name, data in models.items():
                self._link.push(data, f"{FOLDER}/models/{name}")
            return
        self._link.push(_tar(models), f"{FOLDER}/batch.tar")
        # A command whose answer is lost is repeated, perhaps while the first one still runs: the
        # archive stays until one of them has answered, and each has a folder of its own.
        unpacked = self._link.shell(
            f"cd {FOLDER} && d=incoming.$$ && mkdir -p $d models && "
            "tar -xf batch.tar -C $d && mv -f $d/* models/; code=$?; rm -rf $d; exit $code"
        )
        self._link.shell(f"rm -f {FOLDER}/batch.tar")
        if unpacked.code != 0:
            # a write that is cut short by a full disk is reported in either way
            if any(words in unpacked.stderr.lower() for words in ("no space", "wrote only")):
                raise StorageFull(
                    f"{self._link.name}: no room to unpack models; free some space on the phone"
                )
            raise DeviceError(f"{self._link.name}: cannot unpack models: {unpacked.complaint}")

    def _evict(self, budget: int, keep: set[str]) -> None:
        """Remove models, least used first, until the rest fits the budget."""
        total, gone = sum(self._models.values()), []
        for name in list(self._models):
            if total <= budget:
                break
            if name not in keep:
                total -= self._models.pop(name)
                gone.append(name)
        if gone:
            self._link.run(f"cd {FOLDER}/models && rm -f {' '.join(gone)}")


def _tar(models: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in models.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()
