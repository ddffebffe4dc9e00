"""Build of evit's own runner for a phone's CPU, without an Android toolchain. Experimental.

The program is our own C source, `native/evit_runner.c`. Android has no package for LiteRT's
library by itself, but the Linux wheel of `ai-edge-litert` holds it; it needs glibc, so the
runner's folder on the phone also holds glibc and its loader, and the runner uses nothing of Android
but the kernel (see `native_parts`). The compiler is `ziglang` from PyPI, or a cross gcc.

It was run on emulated arm64 CPUs, never on a real Android phone.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from devices.phone.native_parts import (
    GLIBC,
    LIBRARIES,
    LIBRARY,
    LITERT,
    TARGETS,
    CannotBuild,
    c_libraries,
    litert_library,
    run_command,
)
from devices.phone.runner import OFFICIAL_URL, RunnerFile, no_runner
from elasticvit.errors import RunnerMissing
from elasticvit.reading import Format

SOURCE = Path(__file__).parent / "native" / "evit_runner.c"
PROGRAM = "evit_runner"
FLAGS = ("-std=c11", "-O2", "-s", "-fPIE", "-pie", "-Wl,--allow-shlib-undefined")
HASHES = "sha256.json"  # SHA-256 of each file beside it, by name
HASHES_FORMAT = Format(
    kind=dict[str, str],
    what="a list of checksums",
    error=RunnerMissing,
    mend="build the runner again",
)
EXPERIMENTAL = (
    "using evit's own runner, which is experimental and was never proven on a real Android phone; "
    "for numbers that you rely on, name a benchmark_model as the runner"
)


def find_compiler(machine: str) -> list[str] | None:
    """Beginning of a command that compiles for a CPU; None if there is no compiler."""
    if find_spec("ziglang") is not None:
        glibc = GLIBC.partition("_")[2]
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{glibc}"]
    own = ["cc"] if platform.machine() == machine and sys.platform == "linux" else []
    found = [path for name in (f"{machine}-linux-gnu-gcc", *own) if (path := shutil.which(name))]
    return found[:1] or None


def check_compiler(machine: str = "aarch64") -> None:
    """Refuse early if nothing can be built.

    Args:
        machine: CPU architecture as `uname -m` prints it.

    Raises:
        RunnerMissing: No compiler; the message says where to get a runner.
    """
    if find_compiler(machine) is None:
        raise no_runner()


def build_runner(
    machine: str, *, cache: Path | None = None, notice: Callable[[str], None] = lambda _: None
) -> RunnerFile:
    """Build the runner for a CPU, unless the cache has it.

    Args:
        machine: CPU architecture as `uname -m` prints it.
        cache: Folder that keeps what was built; by default the user's cache.
        notice: Callback for notices to the user: that the runner is built, and is experimental.

    Raises:
        RunnerMissing: It cannot be built here; the message says why and what to do instead.
    """
    folder = (cache or _user_cache()) / f"{machine}-{_recipe(machine)}"
    try:
        if machine not in TARGETS:
            raise CannotBuild(f"the device's CPU is {machine or 'unknown'}, not an arm64 one")
        file = _read(folder, machine)
        if file is None:
            notice("building evit's own runner, once (a download of about 15 MB)")
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                made = Path(work) / "bundle"
                _build(machine, Path(work), made)
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
            file = _read(folder, machine)
            if file is None:
                raise CannotBuild(f"{folder} does not hold what was written to it")
    except (CannotBuild, OSError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
        raise RunnerMissing(
            f"no runner was named, and evit's own (experimental) cannot be built: {error}; "
            f"download {OFFICIAL_URL} and name it as the runner",
            settings=("runner",),
        ) from error
    notice(EXPERIMENTAL)
    return file


def _build(machine: str, work: Path, made: Path) -> None:
    target = TARGETS[machine]
    compiler = find_compiler(machine)
    if compiler is None:
        raise CannotBuild("no compiler; pip install 'elasticvit[runner]'")
    made.mkdir()
    (made / LIBRARY).write_bytes(litert_library(target, work))
    for name, path in c_libraries(target, work).items():
        shutil.copyfile(path, made / name)
    run_command(
        [*compiler, *FLAGS, str(SOURCE), str(made / LIBRARY), "-o", str(made / PROGRAM)], work
    )
    (made / PROGRAM).chmod(0o755)
    (made / target.loader).chmod(0o755)
    hashes = {path.name: _sha256(path.read_bytes()) for path in sorted(made.iterdir())}
    (made / HASHES).write_text(json.dumps(hashes, indent=1))


def _read(folder: Path, machine: str) -> RunnerFile | None:
    """Read the runner of a folder; None if it is not there or not whole."""
    wanted = {PROGRAM, LIBRARY, TARGETS[machine].loader, *LIBRARIES}
    try:
        hashes = HASHES_FORMAT.read_json(folder / HASHES)
        if set(hashes) != wanted:
            return None
        files = {name: (folder / name).read_bytes() for name in hashes}
    except (RunnerMissing, OSError):
        return None
    if any(_sha256(data) != hashes[name] for name, data in files.items()):
        return None
    program = files.pop(PROGRAM)
    digest = _sha256(json.dumps(hashes, sort_keys=True).encode())
    return RunnerFile(
        folder / PROGRAM, program, digest, beside=files, loader=TARGETS[machine].loader
    )


def _recipe(machine: str) -> str:
    """Hash of everything that the built runner depends on."""
    parts = [SOURCE.read_text(), LITERT, repr((TARGETS.get(machine), LIBRARIES, FLAGS))]
    return _sha256("\n".join(parts).encode())[:16]


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "elasticvit" / "runner"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
