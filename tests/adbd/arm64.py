"""The emulated arm64 phone: what it needs of this computer, and what it says about itself."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from adbd.harness import HERE, unshare
from adbd.inside import BINFMT

EMULATED = {  # what Android's emulators say
    "ro.serialno": "EMULATOR0001",
    "ro.product.model": "Emulated arm64",
    "ro.product.device": "emu64a",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.hardware": "ranchu",
    "ro.boot.qemu": "1",
}


@cache
def why_no_arm64() -> str | None:
    """Why such a phone cannot be had here; None when it can."""
    if not Path(BINFMT).exists():
        return "qemu's user emulation is not installed (tests/adbd/setup.sh installs it)"
    if arm64_root() is None:
        return "there is no root of arm64 programs (tests/adbd/setup.sh makes it)"
    tried = f"mount -t binfmt_misc none /mnt && cat {BINFMT} >/mnt/register"
    command = [*unshare(own_user=True), "sh", "-c", tried]
    probe = subprocess.run(command, capture_output=True, text=True)
    if probe.returncode != 0:
        return f"a user namespace cannot start arm64 programs here: {probe.stderr.strip()}"
    return None


def arm64_root() -> Path | None:
    """The arm64 programs that `arm64_root.sh` made, if it was this version of the script."""
    command = ["sh", str(HERE / "arm64_root.sh"), "--where"]
    asked = subprocess.run(command, capture_output=True, text=True)
    root = Path(asked.stdout.strip())
    return root if asked.returncode == 0 and root.is_dir() else None
