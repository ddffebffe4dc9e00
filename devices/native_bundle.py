"""Building evit's own runner for a phone's CPU, without an Android toolchain. Experimental.

The program is our own C source, `native/evit_runner.c`. Android has no package for LiteRT's
library by itself, but the Linux wheel of `ai-edge-litert` holds it; it needs glibc, so the
runner takes glibc and its loader along in its folder on the phone and uses nothing of Android's
but the kernel. What is taken, all of it unchanged and none of it kept in this repository:

- LiteRT's library, from a wheel of fixed version and sha256, by pip;
- glibc, its loader and the C++ library, from Debian's or Ubuntu's packages for cross
  compilation: as they are installed, or downloaded by apt, which checks their signatures;
- a compiler: `ziglang` from PyPI, or a cross gcc.

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
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from devices.runner import OFFICIAL_URL, RunnerFile
from elasticvit.errors import RunnerMissing

SOURCE = Path(__file__).parent / "native" / "evit_runner.c"
LITERT = "2.1.6"
GLIBC, GLIBCXX = "GLIBC_2.34", "GLIBCXX_3.4.30"  # the oldest that LiteRT's library runs on
LIBRARY = "libLiteRt.so"
LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1"),
    *("libdl.so.2", "librt.so.1", "libpthread.so.0"),
)
PROGRAM = "evit_runner"
FLAGS = ("-std=c11", "-O2", "-s", "-fPIE", "-pie", "-Wl,--allow-shlib-undefined")
PATIENCE_S = 300.0
EXPERIMENTAL = (
    "using evit's own runner, which is experimental and was never proven on a real Android phone; "
    "for numbers that you rely on, name a benchmark_model with --runner"
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A CPU that a runner can be built for.

    Attributes:
        platform: of the wheel.
        sha256: of the wheel.
        loader: glibc's.
        folders: where a Linux system has the target's glibc.
        packages: of Debian and Ubuntu that hold it, for apt to download; any computer can
            unpack them, since they are for all CPUs.
    """

    platform: str
    sha256: str
    loader: str
    folders: tuple[str, ...]
    packages: tuple[str, ...] = ()


TARGETS = {
    "aarch64": Target(
        platform="manylinux_2_27_aarch64",
        sha256="8475d18c73698d9244380ad72f67caf540e5c72d9a80c66d17c4b81ca81a21c8",
        loader="ld-linux-aarch64.so.1",
        folders=("/usr/aarch64-linux-gnu/lib", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64"),
        packages=("libc6-arm64-cross", "libstdc++6-arm64-cross", "libgcc-s1-arm64-cross"),
    ),
    "x86_64": Target(  # Android's emulators, and our tests
        platform="manylinux_2_27_x86_64",
        sha256="af4f2ba681fa2c688746cbd7ddd71a2bbbdd9e6a51aa609d382bfad77d1c695e",
        loader="ld-linux-x86-64.so.2",
        folders=("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"),
    ),
}


class _CannotBuild(Exception):
    """Why there is no bundle; shown with what else to do."""


def find_compiler(machine: str) -> list[str] | None:
    """The beginning of a command that compiles for a CPU; None where there is no compiler."""
    if find_spec("ziglang") is not None:
        glibc = GLIBC.partition("_")[2]
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{glibc}"]
    own = ["cc"] if platform.machine() == machine and sys.platform == "linux" else []
    found = [path for name in (f"{machine}-linux-gnu-gcc", *own) if (path := shutil.which(name))]
    return found[:1] or None


def check_compiler(machine: str = "aarch64") -> None:
    """Refuse early where nothing can be built.

    Raises:
        RunnerMissing: no compiler; it is said where to get a runner, and how to build one.
    """
    if find_compiler(machine) is None:
        RunnerFile.read(None)


def build_runner(
    machine: str, *, cache: Path | None = None, notice: Callable[[str], None] = lambda _: None
) -> RunnerFile:
    """The runner for a CPU, built unless the cache has it.

    Args:
        machine: as `uname -m` says it.
        cache: folder; by default the user's cache.
        notice: told that the runner is experimental, and when it is built.

    Raises:
        RunnerMissing: it cannot be built here; the message says why and what to do instead.
    """
    folder = (cache or _user_cache()) / f"{machine}-{_recipe(machine)}"
    try:
        if machine not in TARGETS:
            raise _CannotBuild(f"the device's CPU is {machine or 'unknown'}, not an arm64 one")
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
                raise _CannotBuild(f"{folder} does not hold what was written to it")
    except (_CannotBuild, OSError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
        raise RunnerMissing(
            f"no runner was named, and evit's own (experimental) cannot be built: {error}; "
            f"download {OFFICIAL_URL} and run the command again with --runner ./benchmark_model"
        ) from error
    notice(EXPERIMENTAL)
    return file


def _build(machine: str, work: Path, made: Path) -> None:
    target = TARGETS[machine]
    compiler = find_compiler(machine)
    if compiler is None:
        raise _CannotBuild("no compiler; pip install 'elasticvit[runner]'")
    made.mkdir()
    (made / LIBRARY).write_bytes(_litert(target, work))
    for name, path in _libraries(target, work).items():
        shutil.copyfile(path, made / name)
    _run([*compiler, *FLAGS, str(SOURCE), str(made / LIBRARY), "-o", str(made / PROGRAM)], work)
    (made / PROGRAM).chmod(0o755)
    (made / target.loader).chmod(0o755)
    hashes = {path.name: _sha256(path.read_bytes()) for path in sorted(made.iterdir())}
    (made / "sha256.json").write_text(json.dumps(hashes, indent=1))


def _litert(target: Target, work: Path) -> bytes:
    """LiteRT's library, out of the wheel."""
    wanted = work / "requirements.txt"
    wanted.write_text(f"ai-edge-litert=={LITERT} --hash=sha256:{target.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    python = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    what = ["--no-deps", "--only-binary=:all:", "--platform", target.platform, *python]
    patience = ["--retries", "1", "--timeout", "20"]
    _run([*pip, *patience, *what, "--require-hashes", "-r", str(wanted), "-d", str(work)], work)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"ai_edge_litert/{LIBRARY}")


def _libraries(target: Target, work: Path) -> dict[str, Path]:
    """The loader and the C and C++ libraries, by name."""
    names = (target.loader, *LIBRARIES)
    found = _find(names, [Path(folder) for folder in target.folders])
    if found is not None:
        return found
    if target.packages and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        debs = work / "debs"
        debs.mkdir()
        _run(["apt-get", "download", "-q", *target.packages], debs)
        for deb in debs.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(deb), str(debs / "root")], debs)
        found = _find(names, [debs / "root" / folder.lstrip("/") for folder in target.folders])
        if found is not None:
            return found
    packages = ", ".join(target.packages) or "glibc"
    raise _CannotBuild(
        f"no C library for the phone's CPU ({GLIBC} and {GLIBCXX} or newer); on Debian or Ubuntu "
        f"install {packages}"
    )


def _find(names: tuple[str, ...], folders: list[Path]) -> dict[str, Path] | None:
    """All libraries out of one folder; None where one is missing or too old.

    One folder, because those of two systems do not go together.
    """
    for folder in folders:
        found = {name: folder / name for name in names}
        if all(path.is_file() for path in found.values()) and all(
            mark.encode() + b"\0" in found[name].read_bytes()
            for name, mark in (("libc.so.6", GLIBC), ("libstdc++.so.6", GLIBCXX))
        ):
            return found
    return None


def _read(folder: Path, machine: str) -> RunnerFile | None:
    """The bundle of a folder; None where it is not there or not whole."""
    try:
        hashes = json.loads((folder / "sha256.json").read_text())
        files = {name: (folder / name).read_bytes() for name in hashes}
    except (OSError, ValueError):
        return None
    wanted = {PROGRAM, LIBRARY, TARGETS[machine].loader, *LIBRARIES}
    if set(files) != wanted or any(_sha256(data) != hashes[name] for name, data in files.items()):
        return None
    program = files.pop(PROGRAM)
    digest = _sha256(json.dumps(hashes, sort_keys=True).encode())
    return RunnerFile(
        folder / PROGRAM, program, digest, beside=files, loader=TARGETS[machine].loader
    )


def _recipe(machine: str) -> str:
    """Changes whenever the same computer would build something else."""
    parts = [SOURCE.read_text(), LITERT, repr((TARGETS.get(machine), LIBRARIES, FLAGS))]
    return _sha256("\n".join(parts).encode())[:16]


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "elasticvit" / "runner"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _run(command: list[str], folder: Path) -> None:
    ended = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S
    )
    if ended.returncode != 0:
        said = [line for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said or ["it says nothing"]
        raise _CannotBuild(f"{' '.join(command[:4])} failed: {errors[-1].strip()[:200]}")
