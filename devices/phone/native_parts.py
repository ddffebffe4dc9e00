"""Parts of evit's own runner for a phone, and where each comes from. Experimental.

- LiteRT's library, from a wheel of fixed version and SHA-256, by pip;
- glibc, its loader and the C++ library, from Debian's or Ubuntu's packages for cross
  compilation: as they are installed, or downloaded by apt, which checks their signatures.

All of it is taken unchanged, and none of it is kept in this repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

LITERT = "2.1.6"
GLIBC, GLIBCXX = "GLIBC_2.34", "GLIBCXX_3.4.30"  # the oldest that LiteRT's library runs on
LIBRARY = "libLiteRt.so"
LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1"),
    *("libdl.so.2", "librt.so.1", "libpthread.so.0"),
)
PATIENCE_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A CPU that a runner can be built for.

    Attributes:
        platform: Platform tag of LiteRT's wheel.
        sha256: SHA-256 of the wheel.
        loader: Name of glibc's loader.
        folders: Folders in which a Linux system has the target's glibc.
        packages: Packages of Debian and Ubuntu that hold it, for apt to download; any computer
            can unpack them, since they are for all CPUs.
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


class CannotBuild(Exception):
    """The runner cannot be built; the text is the reason."""


def litert_library(target: Target, work: Path) -> bytes:
    """Content of LiteRT's library, out of the wheel.

    Args:
        target: CPU that it is for.
        work: Folder for temporary files.

    Raises:
        CannotBuild: The wheel cannot be downloaded.
    """
    wanted = work / "requirements.txt"
    wanted.write_text(f"ai-edge-litert=={LITERT} --hash=sha256:{target.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    python = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    what = ["--no-deps", "--only-binary=:all:", "--platform", target.platform, *python]
    patience = ["--retries", "1", "--timeout", "20"]
    run_command(
        [*pip, *patience, *what, "--require-hashes", "-r", str(wanted), "-d", str(work)], work
    )
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"ai_edge_litert/{LIBRARY}")


def c_libraries(target: Target, work: Path) -> dict[str, Path]:
    """Paths of the loader and of the C and C++ libraries, by name.

    Args:
        target: CPU that they are for.
        work: Folder for temporary files; what is downloaded stays there.

    Raises:
        CannotBuild: They are not installed and cannot be downloaded.
    """
    names = (target.loader, *LIBRARIES)
    found = _find(names, [Path(folder) for folder in target.folders])
    if found is not None:
        return found
    if target.packages and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        debs = work / "debs"
        debs.mkdir()
        run_command(["apt-get", "download", "-q", *target.packages], debs)
        for deb in debs.glob("*.deb"):
            run_command(["dpkg-deb", "-x", str(deb), str(debs / "root")], debs)
        found = _find(names, [debs / "root" / folder.lstrip("/") for folder in target.folders])
        if found is not None:
            return found
    packages = ", ".join(target.packages) or "glibc"
    raise CannotBuild(
        f"no C library for the phone's CPU ({GLIBC} and {GLIBCXX} or newer); on Debian or Ubuntu "
        f"install {packages}"
    )


def _find(names: tuple[str, ...], folders: list[Path]) -> dict[str, Path] | None:
    """All libraries out of one folder; None if one is missing or too old.

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


def run_command(command: list[str], folder: Path) -> None:
    """Run a program in a folder.

    Raises:
        CannotBuild: It failed; its error is shown.
        subprocess.TimeoutExpired: It took longer than `PATIENCE_S`.
    """
    ended = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S
    )
    if ended.returncode != 0:
        printed = [
            line for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()
        ]
        errors = (
            [line for line in printed if "error" in line.lower()] or printed or ["no error output"]
        )
        raise CannotBuild(f"{' '.join(command[:4])} failed: {errors[-1].strip()[:200]}")
