"""Small, full and read-only disks for single attacks, which vanish with their processes."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from attacks.attack import Impossible, Site

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
FILLER = ".filler"


def _own_mounts() -> None:
    """Give this process mounts of its own.

    Raises:
        Impossible: The system does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | (0 if user == 0 else CLONE_NEWUSER)):
        code = ctypes.get_errno()
        raise Impossible(f"no mounts of our own: {errno.errorcode.get(code, code)}")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount("--make-rprivate", "/")


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise Impossible(f"mount {' '.join(words)}: {done.stderr.strip()}")


def read_only(part: str = ".") -> Callable[[Site], None]:
    """Make a folder of the site read-only, as a mounted image is."""

    def spoil(site: Site) -> None:
        _own_mounts()
        path = str(site.root / part)
        _mount("--bind", path, path)
        _mount("-o", "remount,bind,ro", path)

    return spoil


def nearly_full(
    free: int, part: str = ".", change: Callable[[Site], object] | None = None
) -> Callable[[Site], None]:
    """Put a folder of the site on a disk that has only some bytes left.

    Args:
        free: Bytes that are left.
        part: The folder.
        change: Changes the site first.
    """

    def spoil(site: Site) -> None:
        if change is not None:
            change(site)
        _own_mounts()
        path = site.root / part
        aside = site.root.parent / "aside"
        path.rename(aside)
        path.mkdir()
        size = sum(p.lstat().st_size // 4096 + 2 for p in aside.rglob("*")) * 4096
        _mount("-t", "tmpfs", "-o", f"size={size + free + 2**22},mode=755", "tmpfs", str(path))
        shutil.copytree(aside, path, symlinks=True, dirs_exist_ok=True)
        _fill(path / FILLER, free)

    return spoil


def _fill(path: Path, free: int) -> None:
    """Write a file until only some bytes are left on its disk."""
    block = bytes(4096)
    with path.open("wb", buffering=0) as file:
        while True:
            facts = os.statvfs(path)
            if facts.f_bavail * facts.f_frsize <= free:
                return
            try:
                file.write(block)
            except OSError:
                return
