"""Class `images`: data sets and pictures that are none, or that nobody expected."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from attacks.attack import OK, REFUSED, Attack, Site
from attacks.damage import as_dangling, as_folder, as_loop, as_pipe
from attacks.prepared import IMAGES, pictures

FOLDER = ("evit-train", "--epochs", "1", "--data", "set")
TABLE = ("evit-train", "--epochs", "1", "--data", "set.parquet")
PICTURE = "set/cat/5.png"


def _png(width: int, height: int) -> bytes:
    """A PNG file that says to have a size, with next to no content."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(10_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


def _bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _mode(mode: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with Image.open(path) as image:
            made = image.convert("RGB").convert(mode)
        made.save(path)

    return change


def _sized(width: int, height: int) -> Callable[[Path], object]:
    return lambda path: Image.new("RGB", (width, height), (9, 200, 3)).save(path)


def _cut(part: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])


def _jpeg(path: Path) -> None:
    Image.new("CMYK", (24, 24), (1, 2, 3, 4)).save(path, format="JPEG")


def _gif(path: Path) -> None:
    frames = [Image.new("P", (24, 24), i) for i in range(3)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


BAD_PICTURES: dict[str, Callable[[Path], object]] = {
    "empty": _bytes(b""),
    "text": _bytes(b"I am no picture\n"),
    "cut": _cut(0.5),
    "cut to its head": _cut(0.05),
    "random bytes": _bytes(np.random.default_rng(1).bytes(4000)),
    "of 240 megapixels": _bytes(_png(20000, 12000)),
    "of 4 gigapixels": _bytes(_png(2**16, 2**16)),
    "of no size": _bytes(_png(0, 0)),
    "of less content than its size": _bytes(_png(5000, 5000)),
    "HTML with a script": _bytes(b"<html><script>alert(1)</script></html>"),
    "SVG": _bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "a dangling link": as_dangling,
    "a link to itself": as_loop,
    "a named pipe": as_pipe,
}
ODD_PICTURES: dict[str, Callable[[Path], object]] = {
    "a folder of its name": as_folder,
    "CMYK": _jpeg,
    "an animation": _gif,
    "a palette": _mode("P"),
    "black and white": _mode("1"),
    "gray": _mode("L"),
    "16 bits": lambda path: Image.fromarray(np.full((24, 24), 40_000, np.uint16)).save(path),
    "transparent": _mode("RGBA"),
    "1 x 1": _sized(1, 1),
    "5000 x 1": _sized(5000, 1),
    "1 x 5000": _sized(1, 5000),
}


def _picture(change: Callable[[Path], object]) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        pictures(site.root / "set")
        change(site.root / PICTURE)

    return spoil


def _set(change: Callable[[Path], object]) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        pictures(site.root / "set")
        change(site.root / "set")

    return spoil


def _keep(root: Path, count: int, classes: tuple[str, ...] = ("cat", "dog", "owl")) -> None:
    """Keep some pictures of some classes."""
    for folder in list(root.iterdir()):
        for path in folder.iterdir():
            if folder.name not in classes or int(path.stem) >= count:
                path.unlink()
        if folder.name not in classes:
            folder.rmdir()


def _rename(name: str | bytes) -> Callable[[Path], object]:
    new = os.fsdecode(name) if isinstance(name, bytes) else name
    return lambda root: (root / "cat").rename(root / new)


def _many_classes(root: Path) -> None:
    source = (root / "cat" / "0.png").read_bytes()
    for i in range(2000):
        (root / f"class{i}").mkdir()
        (root / f"class{i}" / "0.png").write_bytes(source)


def _loop_of_folders(root: Path) -> None:
    (root / "cat" / "again").symlink_to("..")


SETS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], tuple[str, ...]]] = {
    "one class": (lambda r: _keep(r, 24, ("cat",)), (REFUSED,), ("set",)),
    "no class": (lambda r: _keep(r, 24, ()), (REFUSED,), ("set",)),
    "an image a class": (lambda r: _keep(r, 1), (REFUSED,), ("set",)),
    "three images a class": (lambda r: _keep(r, 3), (REFUSED, OK), ("set",)),
    "an empty class": (lambda r: (r / "zebra").mkdir(), (REFUSED, OK), ("zebra",)),
    "train alone": (lambda r: _nest(r, "train"), (OK,), ()),
    "an empty train": (lambda r: (_nest(r, "test"), (r / "train").mkdir()), (REFUSED,), ("train",)),
    "a test of other classes": (lambda r: _other_test(r), (REFUSED,), ("zebra",)),
    "a class name of markup": (_rename("[red]cat[bold]"), (OK,), ()),
    "a class name with a newline": (_rename("c\na\nt"), (OK, REFUSED), ("c\\na",)),
    "a class name of control characters": (_rename("c\x1b[31mat"), (OK, REFUSED), ("\\x1b",)),
    "a class name that is not UTF-8": (_rename(b"c\xff\xfet"), (OK, REFUSED), ("xff",)),
    "a class name of other letters": (_rename("кошка 猫"), (OK,), ()),
    "two thousand classes": (_many_classes, (REFUSED,), ("set",)),
    "a folder that holds itself": (_loop_of_folders, (OK, REFUSED), ("set",)),
    "a file among the classes": (lambda r: (r / "notes.txt").write_text("x"), (OK,), ()),
    "a file among the images": (lambda r: (r / "cat" / "Thumbs.db").write_text("x"), (OK,), ()),
}


def _nest(root: Path, name: str) -> None:
    inner = root / name
    inner.mkdir()
    for folder in list(root.iterdir()):
        if folder != inner:
            folder.rename(inner / folder.name)


def _other_test(root: Path) -> None:
    _nest(root, "train")
    (root / "test" / "zebra").mkdir(parents=True)
    (root / "test" / "zebra" / "0.png").write_bytes((root / "train/cat/0.png").read_bytes())


def _table(labels: Any = None, images: Any = None, **more: Any) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        pictures(site.root / "pictures")
        paths = sorted((site.root / "pictures").glob("*/*.png"))
        frame = pd.DataFrame(
            {
                "image": [{"bytes": p.read_bytes(), "path": p.name} for p in paths],
                "label": [i // IMAGES for i in range(len(paths))],
            }
        )
        if labels is not None:
            frame["label"] = labels(frame["label"])
        if images is not None:
            frame["image"] = images(frame["image"])
        for name, change in more.items():
            frame = change(frame) if name == "frame" else frame
        frame.to_parquet(site.root / "set.parquet")

    return spoil


def _first(value: Any) -> Callable[[Any], Any]:
    return lambda column: [value, *list(column)[1:]]


TABLES: dict[str, tuple[Callable[[Site], None], tuple[str, ...]]] = {
    "a label of 10^15": (_table(_first(10**15)), ("label",)),
    "a label of 1000": (_table(_first(1000)), ("label",)),
    "a negative label": (_table(_first(-1)), ("label", "-1")),
    "all labels negative": (_table(lambda c: [-1] * len(c)), ("label",)),
    "labels missing": (_table(lambda c: [None] * len(c)), ("label",)),
    "a label missing": (_table(lambda c: [None, *map(float, list(c)[1:])]), ("label",)),
    "labels of fractions": (_table(lambda c: c + 0.5), ("label",)),
    "labels of texts": (_table(lambda c: c.astype(str) + "x"), ("label",)),
    "labels of lists": (_table(lambda c: [[x] for x in c]), ("label",)),
    "labels of dates": (_table(lambda c: pd.Timestamp("2026-01-01")), ("label",)),
    "one label": (_table(lambda c: c * 0), ("class",)),
    "a class left out": (_table(lambda c: c * 2), ("class",)),
    "an image of rubbish": (
        _table(images=_first({"bytes": b"rubbish", "path": "x"})),
        ("set.parquet",),
    ),
    "an image of nothing": (_table(images=_first({"bytes": None, "path": "x"})), ("set.parquet",)),
    "an image that is missing": (_table(images=_first(None)), ("set.parquet",)),
    "images of texts": (_table(images=lambda c: ["x"] * len(c)), ("set.parquet",)),
    "images of numbers": (_table(images=lambda c: [5] * len(c)), ("set.parquet",)),
    "an image of 240 megapixels": (
        _table(images=_first({"bytes": _png(20000, 12000), "path": "x"})),
        ("set.parquet",),
    ),
    "no rows": (_table(frame=lambda f: f.iloc[:0]), ("set.parquet",)),
    "no column of labels": (_table(frame=lambda f: f.drop(columns="label")), ("set.parquet",)),
    "no column of images": (_table(frame=lambda f: f.drop(columns="image")), ("set.parquet",)),
    "no columns": (_table(frame=lambda f: f[[]]), ("set.parquet",)),
}


def _idx(values: Any, dims: tuple[int, ...] | None = None, code: int = 8) -> bytes:
    array = np.asarray(values, np.uint8)
    shape = array.shape if dims is None else dims
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape) + array.tobytes()


def _idx_set(**changes: bytes) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        rng = np.random.default_rng(0)
        folder = site.root / "set"
        folder.mkdir()
        for part, count in (("train", 90), ("t10k", 30)):
            images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            (folder / f"{part}-images-idx3-ubyte").write_bytes(_idx(images))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(_idx(np.arange(count) % 3))
        for name, data in changes.items():
            path = folder / f"train-{name}-idx{3 if name == 'images' else 1}-ubyte"
            if data[:2] == b"\x1f\x8b":
                path.unlink()
                path = path.with_name(f"{path.name}.gz")
            path.write_bytes(data)

    return spoil


IMAGES_90 = np.zeros((90, 28, 28), np.uint8)
IDX: dict[str, Callable[[Site], None]] = {
    "images cut": _idx_set(images=_idx(IMAGES_90)[:1000]),
    "images of a huge size": _idx_set(images=_idx(IMAGES_90[:1], (2**31, 2**31, 2**31))),
    "images of two dimensions": _idx_set(images=_idx(IMAGES_90[0])),
    "images of another type": _idx_set(images=_idx(IMAGES_90, code=13)),
    "images of no size": _idx_set(images=_idx(IMAGES_90, (90, 0, 0))),
    "images of rubbish": _idx_set(images=b"rubbish" * 99),
    "images empty": _idx_set(images=b""),
    "images that unpack to 3 GB": _idx_set(
        images=gzip.compress(_idx(IMAGES_90[:1], (90, 28, 28)) + bytes(300_000_000), 1) * 10
    ),
    "images of a broken archive": _idx_set(images=b"\x1f\x8brubbish"),
    "labels of another number": _idx_set(labels=_idx(np.arange(89) % 3)),
    "labels that leave out classes": _idx_set(labels=_idx(np.full(90, 255))),
    "labels cut": _idx_set(labels=_idx(np.arange(90) % 3)[:20]),
    "labels of two dimensions": _idx_set(labels=_idx(np.zeros((90, 2)))),
}


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found: list[Attack] = []

    def add(
        name: str,
        spoil: Callable[[Site], None],
        names: tuple[str, ...],
        allowed: tuple[str, ...] = (REFUSED,),
        argv: tuple[str, ...] = FOLDER,
    ) -> None:
        found.append(
            Attack(
                kind="images",
                name=name,
                argv=(*argv, "--space", "micro.toml"),
                spoil=spoil,
                names=names,
                allowed=allowed,
                limit_s=45,
            )
        )

    for name, change in BAD_PICTURES.items():
        add(f"a picture: {name}", _picture(change), ("5.png",))
    for name, change in ODD_PICTURES.items():
        add(f"a picture: {name}", _picture(change), (), (OK,))
    for name, (change, allowed, names) in SETS.items():
        add(f"a folder: {name}", _set(change), names, allowed)
    for name, (spoil, names) in TABLES.items():
        passed_over = (REFUSED, OK) if name.startswith("an image") else (REFUSED,)
        add(f"a parquet table: {name}", spoil, names, passed_over, TABLE)
    for name, spoil in IDX.items():
        add(f"IDX files: {name}", spoil, ("train",))
    add("IDX files: as they are", _idx_set(), (), (OK,))
    add("a parquet table: as it is", _table(), (), (OK,), TABLE)
    return found
