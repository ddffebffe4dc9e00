"""Damaged and hostile data sets: one message that names the file or row, at once."""

import gzip
import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from elasticvit.errors import DataError
from elasticvit.training.data import describe, open_data
from elasticvit.training.decoding import decoded
from elasticvit.training.image_tables import MOST_ROWS


def png(side: int = 8, value: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (value, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


def huge_png() -> bytes:
    """A file of a picture of 20,000 x 12,000 pixels, without them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 20_000, 12_000, 8, 2, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rest


def table(path: Path, labels: Any, images: list[bytes | None] | None = None) -> str:
    n = len(labels)
    pq.write_table(pa.table({"image": images or [png()] * n, "label": labels}), path)
    return str(path)


def folder(root: Path, classes: tuple[str, ...] = ("a", "b"), n: int = 30) -> Path:
    for value, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            (root / name / f"{i:02d}.png").write_bytes(png(value=value))
    return root


def refused(spec: str | Path, use: Callable[[str], object] = describe) -> str:
    with pytest.raises(DataError) as error:
        use(str(spec))
    text = str(error.value)
    assert "\n" not in text
    assert " object at 0x" not in text
    return text


def decode_all(spec: str) -> None:
    data = open_data(spec)
    for part in (data.train, data.search, data.test):
        for row in part.rows:
            part.pool.image(int(row))


TWO = [i % 2 for i in range(60)]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([*TWO[:-1], 10**15], "the greatest label is 1000000000000000, but there are 60 training"),
        (pa.array([*TWO[:-1], 2**64 - 1], pa.uint64()), "greatest label is 18446744073709551615"),
        ([*TWO[:-1], -1], "the least label is -1; labels count from 0"),
        ([*TWO[:-1], None], "1 of 60 rows have no label"),
        ([0] * 60, "has one class, 0; at least two are needed"),
        ([3 * i for i in TWO], "has 4 classes, but no training image of 1, 2; add"),
        ([float(i) for i in TWO], "one of whole-number labels"),
        ([str(i) for i in TWO], "one of whole-number labels"),
        (pa.array([None] * 60, pa.int64()), "60 of 60 rows have no label"),
    ],
)
def test_labels_of_a_table(tmp_path: Path, labels: Any, words: str) -> None:
    text = refused(table(tmp_path / "t.parquet", labels))
    assert words in text
    assert "t.parquet" in text


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"these are no pixels", "is not an image of a known format"),
        (b"", "it is empty"),
        (None, "it is empty"),
        (png()[:40], "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        (huge_png(), "has more than 89,478,485 pixels"),
    ],
)
def test_bad_images_of_a_table_are_named_by_their_row(
    tmp_path: Path, image: bytes | None, words: str
) -> None:
    table(tmp_path / "train-0.parquet", TWO)
    images = [png()] * 60
    images[7] = image  # type: ignore[call-overload]
    table(tmp_path / "train-1.parquet", TWO, images)
    text = refused(tmp_path, decode_all)
    assert "train-1.parquet, row 7, " in text
    assert words in text


def test_a_table_of_too_many_rows_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "t.parquet", TWO)
    monkeypatch.setattr("elasticvit.training.image_tables.MOST_ROWS", 59)
    assert MOST_ROWS > 59
    assert "has 60 rows; at most 59 are read" in refused(path)


def test_tables_of_different_columns_are_refused(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", TWO)
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "b.parquet")
    assert "have different columns" in refused(tmp_path)


def test_labels_of_the_test_part_have_classes_too(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", TWO)
    table(tmp_path / "test.parquet", [0, 1, 5])
    assert "the greatest label of the test images is 5, but there are 2 classes" in refused(
        tmp_path
    )


@pytest.mark.parametrize("timm", [False, True])
@pytest.mark.parametrize("bad", [b"no picture", b"", png()[:40], huge_png()])
def test_a_bad_file_is_named_and_not_replaced(tmp_path: Path, bad: bytes, timm: bool) -> None:
    file = folder(tmp_path / "data") / "b" / "03.png"
    file.write_bytes(bad)
    spec = str(tmp_path / "data")
    text = refused(f"timm:torch/image_folder:{spec}" if timm else spec, decode_all)
    assert text.startswith(str(file)) or "image 33 of timm's" in text
    assert "remove it" in text


def test_one_class_and_an_empty_class(tmp_path: Path) -> None:
    assert "has one class, a; at least two" in refused(folder(tmp_path / "one", ("a",)))
    (folder(tmp_path / "two") / "empty").mkdir()
    text = refused(tmp_path / "two")
    assert text.startswith(f"{tmp_path / 'two' / 'empty'} holds no image")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    for name in ("x", "y", "z"):
        (root / "a" / name).symlink_to(root / "a")
    info = describe(str(root))
    assert info.train_images + info.search_images + info.test_images == 60
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "loop" in refused(tmp_path / "loop")


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "data")
    (root / "a" / "inner").mkdir()
    scan = os.scandir

    def guarded(path: Any = ".") -> Any:
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    text = refused(root)
    assert f"{root / 'a' / 'inner'}: Permission denied; mend its permissions" in text


def test_odd_names_stay_on_one_line_and_are_read(tmp_path: Path) -> None:
    root = folder(tmp_path / "da\nta", ("<b>\nbold</b>", "[red]x"))
    assert describe(str(root)).classes == 2
    (root / "[red]x" / "1\n2.png").write_bytes(b"no picture")
    assert "1\\n2.png' cannot be decoded" in refused(root, decode_all)
    undecodable = os.fsdecode(b"caf\xe9")
    other = folder(tmp_path / "plain", ("a", undecodable))
    assert open_data(str(other)).class_names == ("a", "caf\ufffd")
    os.rename(other, tmp_path / undecodable)
    assert "its path is not UTF-8" in refused(os.path.join(tmp_path, undecodable))


@pytest.mark.parametrize("spec", ["a\0b", "x" * 5000, "~nobody_of_this_name/x", "/dev/null", ""])
def test_what_is_no_path_is_refused(spec: str) -> None:
    refused(spec)


def idx(array: np.ndarray, sides: tuple[int, ...] | None = None) -> bytes:
    sizes = np.array(sides or array.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


IMAGES = np.zeros((60, 8, 8))
LABELS = np.array(TWO)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (idx(IMAGES)[:-9], idx(LABELS), "is truncated: its header claims 60 x 8 x 8 bytes"),
        (idx(IMAGES) + b"more", idx(LABELS), "is longer: its header claims"),
        (idx(IMAGES)[:7], idx(LABELS), "is truncated or not an IDX file"),
        (b"", idx(LABELS), "is truncated or not an IDX file"),
        (idx(IMAGES, (2**32 - 1,) * 3), idx(LABELS), "at most 17,179,869,184 are read"),
        (idx(IMAGES, (0, 8, 8))[:16], idx(LABELS, (0,))[:8], "at least one image"),
        (idx(np.zeros((60, 0, 8))), idx(LABELS), "at least one image"),
        (idx(IMAGES), idx(LABELS[:-1]), "train has 60 images but 59 labels"),
        (
            idx(IMAGES),
            idx(np.append(LABELS[:-1], 200)),
            "the greatest label is 200, but there are 60",
        ),
        (idx(LABELS), idx(LABELS), "not an IDX file of bytes in 3 dimensions"),
    ],
)
def test_idx_files(tmp_path: Path, images: bytes, labels: bytes, words: str, packed: bool) -> None:
    for name, raw in (("images-idx3", images), ("labels-idx1", labels)):
        path = tmp_path / f"train-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(raw) if packed else raw)
    text = refused(tmp_path)
    assert words in text
    assert str(tmp_path) in text


def test_a_packed_file_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    bomb = gzip.compress(idx(IMAGES) + bytes(10**9), compresslevel=1)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    assert "is longer" in refused(tmp_path)


def test_missing_idx_labels_are_named(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    assert "there is no" in refused(tmp_path)


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


@given(
    kind=st.sampled_from(FORMATS),
    start=st.floats(0, 1),
    length=st.integers(0, 30),
    fill=st.binary(max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_garbled_images_are_refused_or_are_images(
    kind: str, start: float, length: int, fill: bytes
) -> None:
    raw = encoded(kind)
    at = int(start * len(raw))
    text = ""
    try:
        image = decoded(raw[:at] + fill + raw[at + length :], "row 3 of t.parquet")
    except DataError as error:
        text = str(error)
    else:
        assert image.width * image.height > 0
    assert text == "" or re.fullmatch(r"row 3 of t\.parquet .*; .*remove it", text)
    assert " object at 0x" not in text


@given(start=st.floats(0, 1), length=st.integers(0, 60), fill=st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_garbled_tables_are_refused_or_are_tables(
    tmp_path_factory: pytest.TempPathFactory, start: float, length: int, fill: bytes
) -> None:
    folder = tmp_path_factory.mktemp("table")
    raw = Path(table(folder / "t.parquet", TWO)).read_bytes()
    at = int(start * len(raw))
    (folder / "t.parquet").write_bytes(raw[:at] + fill + raw[at + length :])
    text = ""
    try:
        decode_all(str(folder / "t.parquet"))
    except DataError as error:
        text = str(error)
    assert text == "" or str(folder / "t.parquet") in text
    assert "\n" not in text
