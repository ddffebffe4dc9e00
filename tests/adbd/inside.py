"""First process of a test phone: builds its root, starts the genuine adbd, relays its port.

Run by `harness.py` under `unshare` with mount, network and process namespaces of its own, so
that adbd, which asks nobody for a key, listens on a loopback that nothing else can reach. The
only door is a Unix socket in the test's own folder. Argument: a JSON object, see `Phone`.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

PORT = 5777
BINFMT = "/usr/lib/binfmt.d/qemu-aarch64.conf"  # Debian's: how the kernel starts arm64 programs
SHELL_UID = 2000  # Android's `shell` user
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC = 1, 32, 4096, 16384
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    if not target.exists():
        target.mkdir(parents=True)
    arguments = (source.encode(), str(target).encode(), kind.encode() or None, flags)
    if LIBC.mount(*arguments, options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def bind(source: str | Path, target: Path, *, read_only: bool = False) -> None:
    mount(str(source), target, flags=MS_BIND | MS_REC)
    if read_only and os.geteuid() == 0 and not os.environ.get("EVIT_USERNS"):
        mount(str(source), target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def loopback_up() -> None:
    with socket.socket() as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, 0x8913, request))[1]
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))


def run_arm64_programs(config: dict) -> None:
    """Let the kernel start arm64 programs through qemu, in this user namespace alone."""
    table = Path(config["folder"]) / "binfmt"
    mount("binfmt_misc", table, "binfmt_misc")
    (table / "register").write_text(Path(BINFMT).read_text())


def build_root(config: dict) -> Path:
    root, base = Path(config["folder"]) / "root", Path(config["arm64"] or "/")
    mount("tmpfs", root, "tmpfs", options="mode=755")
    for name in ("usr", "etc"):
        bind(base / name, root / name, read_only=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink(base / name):
            (root / name).symlink_to(os.readlink(base / name))
        elif os.path.isdir(base / name):
            bind(base / name, root / name, read_only=True)
    mount("tmpfs", root / "tmp", "tmpfs", options="mode=1777")  # before what may lie in it
    for name in config["extra"]:
        bind(name, root / name.lstrip("/"), read_only=True)
    mount("tmpfs", root / "dev", "tmpfs", options="mode=755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (root / "dev" / name).touch()
        flags = MS_BIND
        if LIBC.mount(
            f"/dev/{name}".encode(), str(root / "dev" / name).encode(), None, flags, None
        ):
            raise OSError(ctypes.get_errno(), f"bind /dev/{name}")
    mount("devpts", root / "dev/pts", "devpts", options="newinstance,ptmxmode=0666")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    mount("proc", root / "proc", "proc")
    bind(config["sys"], root / "sys")
    bind(config["bin"], root / "system/bin")
    if config["android_tools"]:
        give_android_tools(root, config)
    mount("tmpfs", root / "data", "tmpfs", options=f"mode=755,size={config['data_bytes']}")
    for part in ("data/local", "data/local/tmp"):
        (root / part).mkdir()
        os.chmod(root / part, 0o777)
    return root


def give_android_tools(root: Path, config: dict) -> None:
    """Android's shell and tools, mksh and toybox, and no others on the path."""
    folder = root / "system/xbin"
    mount("tmpfs", folder, "tmpfs", options="mode=755")
    toybox = ["chroot", str(root), "/bin/toybox"]
    for name in subprocess.run(toybox, capture_output=True, text=True, check=True).stdout.split():
        (folder / name).symlink_to("/bin/toybox")
    if not (folder / "sh").is_symlink():
        (folder / "sh").symlink_to("/bin/mksh")
    if not config["arm64"]:  # where /bin/sh is dash
        shell = (root / "usr/bin/sh").resolve()
        bind("/usr/bin/mksh", root / "usr/bin" / shell.name)


def start_adbd(root: Path, config: dict) -> int:
    child = os.fork()
    if not child:
        become_adbd(root, config)
    return child


def become_adbd(root: Path, config: dict) -> None:
    log = os.open(f"{config['folder']}/adbd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.chroot(root)
    os.chdir("/")
    os.setsid()
    if not config["rooted"] and not os.environ.get("EVIT_USERNS"):
        os.setgroups([])
        os.setgid(SHELL_UID)
        os.setuid(SHELL_UID)
    programs = "/system/xbin" if config["android_tools"] else "/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {
        "PATH": f"/system/bin:{programs}",
        "ADBD_PORT": str(PORT),
        "HOME": "/data/local/tmp",
        "ANDROID_DATA": "/data",
    }
    os.execve("/usr/sbin/adbd", ["adbd"], environment)


async def splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 17):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    inner = await asyncio.open_connection("127.0.0.1", PORT)
    await asyncio.gather(splice(reader, inner[1]), splice(inner[0], writer))


async def until_ready() -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise TimeoutError("adbd does not listen")


async def live(config: dict, adbd: int) -> None:
    await until_ready()
    await asyncio.start_unix_server(serve, f"{config['folder']}/adbd.sock")
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.05)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == adbd:
                return
        except ChildProcessError:
            return


def main() -> None:
    config = json.loads(sys.argv[1])
    loopback_up()
    if config["arm64"]:
        run_arm64_programs(config)
    asyncio.run(live(config, start_adbd(build_root(config), config)))


if __name__ == "__main__":
    main()
