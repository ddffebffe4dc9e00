"""Small data sets in the forms that are accepted, written in a moment."""

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def photo(rng: np.random.Generator, side: int = 12, width: int | None = None) -> np.ndarray:
    return rng.integers(0, 256, (side, width or side, 3), dtype=np.uint8)


def write_folder(root: Path, classes: list[str], n: int, sides: tuple[int, ...] = (12,)) -> None:
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(n):
            (root / name / f"{i}.png").write_bytes(png(photo(rng, sides[i % len(sides)], 12)))


def write_parquet(path: Path, n: int, struct: bool = False) -> None:
    rng = np.random.default_rng(1)
    images = [png(photo(rng)) for _ in range(n)]
    column = pa.array([{"bytes": b, "path": ""} for b in images]) if struct else pa.array(images)
    pq.write_table(pa.table({"image": column, "label": [i % 3 for i in range(n)]}), path)


def write_idx(path: Path, part: str, n: int, packed: bool) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = (np.arange(n) % 10).astype(np.uint8)
    for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
        raw = header + array.tobytes()
        target = path / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
        target.write_bytes(gzip.compress(raw) if packed else raw)
