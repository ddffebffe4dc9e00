"""Data sets that are refused: unknown, too small, corrupt or cut short, and the words for it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import png, write_folder, write_idx, write_parquet

from elasticvit.errors import DataError
from elasticvit.training.data import describe, open_data


def test_an_unknown_name_lists_what_is_accepted() -> None:
    with pytest.raises(DataError, match="no data set 'imagenette'; accepted are: digits"):
        describe("imagenette")


def test_too_few_images_of_a_class_are_told_in_our_words(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", ["a", "b"], 30)
    for file in list((tmp_path / "one" / "b").iterdir())[1:]:
        file.unlink()
    write_folder(tmp_path / "all", [f"class {i}" for i in range(5)], 3)
    for name, words in (
        ("one", r"one: class b has 1 image to train on, too few .*; add images of this class, or"),
        ("all", r"all: there are 15 images of 5 classes to train on, and 20% .*; add images"),
    ):
        with pytest.raises(DataError, match=rf"{words}.* \(about 20 a class") as refused:
            open_data(str(tmp_path / name))
        assert "populated" not in str(refused.value)
        assert "test_size" not in str(refused.value)


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="accepted are"):
        describe(str(tmp_path))
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.png").write_bytes(png(np.zeros((8, 8, 3), dtype=np.uint8)))
    with pytest.raises(DataError, match="at least two"):
        describe(str(tmp_path))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes(png(np.zeros((8, 8, 3), dtype=np.uint8)))
    with pytest.raises(DataError, match="too few"):
        describe(str(tmp_path))


def test_classes_of_both_parts_must_agree(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ["a", "b"], 20)
    write_folder(tmp_path / "test", ["a", "c"], 4)
    with pytest.raises(DataError, match="must be the same"):
        describe(str(tmp_path))


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, ["a", "b"], 30)
    bad = tmp_path / "b" / "7.png"
    bad.write_bytes(bad.read_bytes()[:60])
    data = open_data(str(tmp_path))
    parts = (data.train, data.search, data.test)
    with pytest.raises(DataError, match=r"7\.png cannot be decoded"):
        [part.pixels for part in parts]


def test_truncated_tables_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", 30)
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a parquet table"):
        describe(str(tmp_path / "t.parquet"))
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="image bytes"):
        describe(str(tmp_path / "t.parquet"))
    pq.write_table(pa.table({"image": [b"x"] * 2, "label": [0, 7]}), tmp_path / "t.parquet")
    with pytest.raises(DataError):
        describe(str(tmp_path / "t.parquet"))


def test_truncated_idx_files_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 40, packed=False)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="truncated"):
        describe(str(tmp_path))
    path.unlink()
    write_idx(tmp_path, "train", 40, packed=True)
    packed = tmp_path / "train-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        describe(str(tmp_path))


@pytest.mark.parametrize("spec", ["timm:", "timm:torch/cifar10", "timm:torch/cifar10:/nowhere"])
def test_timm_specs_that_lead_nowhere(spec: str) -> None:
    with pytest.raises(DataError):
        describe(spec)
