"""Class `files`: full and read-only disks, permissions, limits, and odd places and names."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

from attacks.attack import EQUAL, OK, REFUSED, WORKSPACE, Attack, Site
from attacks.mounts import nearly_full, read_only
from attacks.prepared import (
    EPOCHS,
    EXPORT,
    HALF_SEARCHED,
    HALF_TRAINED,
    MEASURED,
    PROFILE,
    SEARCH,
    SMALL,
)

KB = 1024
TRAIN = ("evit-train", "--epochs", "1", "--seed", "5")
AGAIN = ("evit-train", "--epochs", str(EPOCHS))
RESUME = ("evit-train", "--workspace", HALF_TRAINED, "--epochs", str(EPOCHS))
SEARCH_ON = (
    "evit-search",
    "--workspace",
    HALF_SEARCHED,
    "--target-ms",
    "1000",
    *SMALL,
    "--seed",
    "1",
)
EXPLAIN = ("evit-profile", "--explain", "smallest")
TABLE = ("evit-profile", "--export-lut", ".evit/table.csv")
IMPORT = ("evit-profile", "--import", "blocks.json", "--device", "guest", "--space", "mobile")
WRITING = {  # commands that write, and what they may change before they fail
    "profile": (PROFILE, MEASURED),
    "train": (TRAIN, ()),
    "resume": (RESUME, ("*/runs/*", "*settings.toml")),
    "search": (SEARCH, ("*/searches/*",)),
    "resumed search": (SEARCH_ON, ("*/searches/*",)),
    "export": (EXPORT, ()),
    "table": (TABLE, ()),
    "import": (IMPORT, ("*lut.sqlite*",)),
}
READING = {"explain": EXPLAIN, "a finished training": AGAIN}


def _denied(part: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        site.bound = True
        for path in site.root.glob(part):
            path.chmod(0)

    return spoil


def _unwritable(part: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        site.bound = True
        for folder in (site.root / part, *(p for p in (site.root / part).rglob("*") if p.is_dir())):
            folder.chmod(0o555)
        for path in (site.root / part).rglob("*"):
            if path.is_file():
                path.chmod(0o444)

    return spoil


def _limit(kind: int, most: int) -> Callable[[Site], None]:
    return lambda site: site.limits.update({kind: most})


def _little_memory(site: Site) -> None:
    """Allow 64 MB of addresses more than the libraries take."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    site.limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + 2**26


def _moved(name: str) -> Callable[[Site], None]:
    """Move the whole site into a folder of another name."""

    def spoil(site: Site) -> None:
        inner = site.root.parent / name
        inner.parent.mkdir(parents=True, exist_ok=True)
        site.root.rename(inner)
        inner.parent.chmod(0o755)
        site.root = inner

    return spoil


def _linked(site: Site) -> None:
    """Make the workspace a link to a folder elsewhere."""
    elsewhere = site.root / "elsewhere"
    site.workspace.rename(elsewhere)
    site.workspace.symlink_to(elsewhere)


def _dangling(site: Site) -> None:
    shutil.rmtree(site.workspace)
    site.workspace.symlink_to("nowhere")


def _loop(site: Site) -> None:
    shutil.rmtree(site.workspace)
    site.workspace.symlink_to(WORKSPACE)


def _in_the_way(name: str) -> Callable[[Site], None]:
    """Put a file where the workspace wants a folder."""

    def spoil(site: Site) -> None:
        shutil.rmtree(site.workspace / name, ignore_errors=True)
        (site.workspace / name).write_text("in the way\n")

    return spoil


def _deep(site: Site) -> None:
    """Move the site so deep that its longest paths reach the limit of the system."""
    inner = site.root.parent
    while len(str(inner)) < 3900:
        inner = inner / ("d" * 200)
        os.makedirs(inner, exist_ok=True)
    site.root = site.root.rename(inner / "site")


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found: list[Attack] = []

    def add(
        name: str,
        argv: tuple[str, ...],
        spoil: Callable[[Site], None],
        *names: str | tuple[str, ...],
        allowed: tuple[str, ...] = (REFUSED,),
        touched: tuple[str, ...] = (),
        limit_s: float = 60.0,
    ) -> None:
        found.append(
            Attack(
                kind="files",
                name=f"{name} ({argv[0]})",
                argv=argv,
                spoil=spoil,
                names=names,
                allowed=allowed,
                touched=touched,
                limit_s=limit_s,
            )
        )

    space = ("No space left", "disk is full", "full")
    for name, (argv, touched) in WRITING.items():
        for free in (0, 8 * KB, 100 * KB, 1000 * KB):
            done = (REFUSED, OK) if free else (REFUSED,)
            add(
                f"{name}: {free // KB} KB left on the disk",
                argv,
                nearly_full(free),
                space,
                allowed=done,
                touched=(*touched, "*.filler") if free else touched,
            )
        add(f"{name}: a read-only disk", argv, read_only(), ("Read-only", "readonly", "read-only"))
        part = argv[argv.index("--workspace") + 1] if "--workspace" in argv else WORKSPACE
        permission = ("Permission denied", "readonly", "permission", "unable to open")
        add(f"{name}: no permission to write", argv, _unwritable(part), permission)
        limit = _limit(resource.RLIMIT_FSIZE, 1000)
        large = ("File too large", "too large", "full", "disk I/O error")
        add(f"{name}: files of at most 1,000 bytes", argv, limit, large, touched=touched)
    for name, argv in READING.items():
        add(f"{name}: a read-only disk", argv, read_only(), allowed=(EQUAL,))
        add(f"{name}: a full disk", argv, nearly_full(0), allowed=(EQUAL,))
        add(f"{name}: no permission to write", argv, _unwritable(WORKSPACE), allowed=(EQUAL,))
    for part, argv, named in (
        (".evit", EXPLAIN, ".evit"),
        (".evit/settings.toml", EXPLAIN, "settings.toml"),
        (".evit/lut.sqlite", TABLE, "lut.sqlite"),
        (".evit/predictors/host", EXPLAIN, "predictors/host"),
        (".evit/predictors/host/predictor.json", EXPLAIN, "predictor.json"),
        (".evit/runs/*", SEARCH, "runs/"),
        (".evit/runs/*/run.json", SEARCH, "run.json"),
        (".evit/runs/*/checkpoints/0*.json", SEARCH, ".json"),
        (".evit/runs/*/checkpoints/0*.safetensors", SEARCH, ".safetensors"),
        (".evit/runs/*/result.json", AGAIN, "result.json"),
        (".evit/searches/*/search.json", EXPORT, "search.json"),
        (".evit/searches/*/subnet.pt", EXPORT, "subnet.pt"),
        ("micro.toml", ("evit-train", "--space", "micro.toml"), "micro.toml"),
        ("blocks.json", IMPORT, "blocks.json"),
    ):
        add(f"{part}: no permission to read", argv, _denied(part), named, allowed=(REFUSED, EQUAL))
    for name in (
        "with space",
        "new\nline",
        "-dash",
        "[red]x[/red]",
        "кошка",
        "per%cent",
        "quo'te\"s",
    ):
        for argv in (EXPLAIN, AGAIN, EXPORT):
            add(f"the folder is called {name!r}", argv, _moved(name), allowed=(OK,))
    add(
        "the folder's name is not UTF-8",
        EXPLAIN,
        _moved(os.fsdecode(b"x\xff")),
        allowed=(OK, REFUSED),
    )
    add(
        "the folder's name is not UTF-8",
        EXPORT,
        _moved(os.fsdecode(b"x\xff")),
        allowed=(OK, REFUSED),
    )
    add("paths near the limit", EXPLAIN, _deep, allowed=(OK, REFUSED))
    add("paths near the limit", EXPORT, _deep, allowed=(OK, REFUSED))
    add("the workspace is a link", EXPLAIN, _linked, allowed=(EQUAL,))
    add("the workspace is a link", EXPORT, _linked, allowed=(OK,))
    for argv in (EXPLAIN, TRAIN, SEARCH, EXPORT):
        add("the workspace is a dangling link", argv, _dangling, ".evit")
        add("the workspace is a link to itself", argv, _loop, ".evit")
    add("a file in the way of runs", TRAIN, _in_the_way("runs"), "runs")
    add("a file in the way of searches", SEARCH, _in_the_way("searches"), "searches")
    add("a file in the way of exports", EXPORT, _in_the_way("exports"), "exports")
    add(
        "a file in the way of predictors",
        PROFILE,
        _in_the_way("predictors"),
        "predictors",
        touched=MEASURED,
    )
    add("a file in the way of predictors", EXPLAIN, _in_the_way("predictors"), "predictors")
    for name, out in (
        ("a name too long", "m" * 300 + ".tflite"),
        ("/dev/full", "/dev/full"),
        ("a file as a folder", "micro.toml/m.tflite"),
        ("/proc", "/proc/m.tflite"),
    ):
        argv = (*EXPORT, "--out", out)
        add(
            f"--out: {name}",
            argv,
            lambda site: None,
            out[:20],
            touched=("*/exports/*", "*settings.toml"),
        )
    for name, out in (
        ("a name too long", "t" * 300 + ".csv"),
        ("a file as a folder", "micro.toml/t.csv"),
        ("/proc", "/proc/t.parquet"),
    ):
        argv = ("evit-profile", "--export-lut", out)
        add(f"--export-lut: {name}", argv, lambda site: None, out[:20])
    few = _limit(resource.RLIMIT_NOFILE, 12)
    for argv in (EXPLAIN, AGAIN):
        add("twelve open files at most", argv, few, allowed=(REFUSED, EQUAL))
    for argv in (AGAIN, SEARCH):
        add("64 MB of memory", argv, _little_memory, "memory", allowed=(REFUSED, EQUAL))
    return found
