"""Data sets of every kind that is accepted, and photographs turned as a camera was held."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import ExifTags, Image
from small_data import photo, write_folder, write_idx, write_parquet

from elasticvit.errors import DataError
from elasticvit.training.data import PHOTO_MEAN, describe, open_data
from elasticvit.training.decoding import decoded
from elasticvit.training.pool import Pool
from elasticvit.training.soft_labels import fingerprint

CIFAR10 = Path(__file__).parents[2] / "shared" / "data" / "cifar10"


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "dog"], 30)
    data = open_data(str(tmp_path))
    info = data.info
    assert (info.classes, data.class_names, data.flips) == (2, ("cat", "dog"), True)
    assert info.train_images + info.search_images + info.test_images == 60
    assert info.spec == str(tmp_path.resolve())
    images, _ = next(iter(data.loader("train", resolution=24, batch_size=8, augment=True)))
    assert images.shape == (8, 3, 24, 24)
    assert torch.isfinite(images).all()


def test_hidden_files_and_folders_are_no_data(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat", "dog"], 30)
    expected = open_data(str(tmp_path)).info
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "cat" / "._0.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / "dog" / ".thumbnails").mkdir()
    (tmp_path / "dog" / ".thumbnails" / "0.png").write_bytes(b"none of the images")
    assert open_data(str(tmp_path)).info == expected


def test_a_folder_with_a_test_part_keeps_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ["a", "b", "c"], 20)
    write_folder(tmp_path / "val", ["a", "b", "c"], 4)
    info = describe(str(tmp_path))
    assert (info.test_images, info.train_images + info.search_images) == (12, 60)


@pytest.mark.parametrize("workers", [0, 1])
def test_photographs_of_many_sizes_are_decoded_one_at_a_time(tmp_path: Path, workers: int) -> None:
    write_folder(tmp_path, ["a", "b"], 30, sides=(12, 15, 20))
    data = open_data(str(tmp_path))
    assert data.train.pixels is None
    assert data.mean == PHOTO_MEAN
    loader = data.loader(
        "train", resolution=16, batch_size=8, augment=True, shuffle=True, workers=workers
    )
    torch.manual_seed(0)
    whole = list(loader.batches(3))
    torch.manual_seed(1)
    rest = list(loader.batches(3, 2))
    assert whole[0].images.shape == (8, 3, 16, 16)
    for batch, again in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(a, vars(again)[name]) for name, a in vars(batch).items())
        assert torch.equal(torch.from_numpy(data.train.labels)[batch.rows], batch.labels)


@pytest.mark.parametrize("struct", [False, True])
def test_parquet_of_image_bytes(tmp_path: Path, struct: bool) -> None:
    write_parquet(tmp_path / "train-0.parquet", 60, struct)
    write_parquet(tmp_path / "test-0.parquet", 15, struct)
    info = describe(str(tmp_path))
    assert (info.classes, info.test_images, info.train_images + info.search_images) == (3, 15, 60)
    one = describe(str(tmp_path / "train-0.parquet"))
    assert one.train_images + one.search_images + one.test_images == 60
    images, labels = next(
        iter(open_data(str(tmp_path)).loader("test", resolution=12, batch_size=15))
    )
    assert images.shape == (15, 3, 12, 12)
    assert labels.tolist() == [i % 3 for i in range(15)]


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_as_fashion_mnist_has_them(tmp_path: Path, packed: bool) -> None:
    write_idx(tmp_path, "train", 100, packed)
    write_idx(tmp_path, "t10k", 30, packed)
    data = open_data(str(tmp_path))
    assert (data.info.classes, data.info.test_images, data.flips) == (10, 30, False)
    images, labels = next(iter(data.loader("test", resolution=28, batch_size=30)))
    pixels = np.random.default_rng(2).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    mean, std = data.mean[0], data.std[0]
    assert torch.allclose(images[:, 0] * std + mean, torch.from_numpy(pixels) / 255, atol=1e-5)
    assert labels.tolist() == [i % 10 for i in range(30)]


def test_a_timm_folder_data_set(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ["a", "b"], 20)
    write_folder(tmp_path / "val", ["a", "b"], 5)
    info = describe(f"timm:torch/image_folder:{tmp_path}")
    assert (info.classes, info.test_images) == (2, 10)
    assert describe(info.spec) == info


ORIENTATIONS = {  # by EXIF's number, what a camera that was held so stores of an upright picture
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def stored(upright: Image.Image, orientation: int, kind: str = "PNG") -> bytes:
    """A picture as a camera stores it: turned, with EXIF data that say so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    upright.transpose(ORIENTATIONS[orientation]).save(buffer, kind, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("spec", ["{}", "timm:torch/image_folder:{}", "{}/one.parquet"])
def test_photographs_are_turned_as_their_exif_data_say(tmp_path: Path, spec: str) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(photo(rng, 12, 20)) for _ in range(60)]
    files = [stored(one, (3, 6, 8)[i % 3]) for i, one in enumerate(pictures)]
    for i, content in enumerate(files):
        folder = tmp_path / f"class {i % 2}"
        folder.mkdir(exist_ok=True)
        (folder / f"{i:02}.png").write_bytes(content)
    if spec.endswith("parquet"):
        table = pa.table({"image": files, "label": [i % 2 for i in range(60)]})
        pq.write_table(table, tmp_path / "one.parquet")
    data = open_data(spec.format(tmp_path))
    parts = (data.train, data.search, data.test)
    found = {part.image(i).tobytes() for part in parts for i in range(len(part))}
    assert found == {one.tobytes() for one in pictures}
    assert data.train.pixels is not None  # all upright, and of one size
    assert data.turned


def test_whether_images_may_have_been_turned_is_known(tmp_path: Path) -> None:
    write_folder(tmp_path / "all of one size", ["a", "b"], 30)
    write_folder(tmp_path / "many sizes", ["a", "b"], 30, sides=(12, 15))
    assert not open_data("digits").turned
    assert not open_data(str(tmp_path / "all of one size")).turned
    assert open_data(str(tmp_path / "many sizes")).turned  # to look at all would take too long


def test_damaged_exif_data_leave_a_picture_as_it_is(tmp_path: Path) -> None:
    picture = Image.fromarray(photo(np.random.default_rng(0), 12, 20))
    picture.save(tmp_path / "a.png", exif=b"Exif\0\0no TIFF header")
    assert decoded(tmp_path / "a.png", "a.png").tobytes() == picture.tobytes()


def test_soft_labels_of_pictures_that_were_not_turned_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, ["a", "b"], 100)
    data = open_data(str(tmp_path))
    last = data.train.pool.name(int(data.train.rows[1]))  # none of those that are hashed
    (tmp_path / last).write_bytes(stored(Image.open(tmp_path / last), 3))
    turned = fingerprint(open_data(str(tmp_path)).train)
    monkeypatch.setattr("elasticvit.training.decoding.upright", lambda image: image)
    assert fingerprint(open_data(str(tmp_path)).train) != turned


@pytest.mark.skipif(not CIFAR10.is_dir(), reason="CIFAR-10 is not in ../shared/data")
def test_cifar10_parquet() -> None:
    info = describe(str(CIFAR10))
    assert (info.classes, info.train_images, info.search_images, info.test_images) == (
        10,
        42_500,
        7_500,
        10_000,
    )


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_gray_of_16_bits_keeps_its_upper_ones(mode: str) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    picture = Image.frombytes(mode, (64, 64), ramp.astype(kind).tobytes())
    pool = Pool(np.zeros(1, dtype=np.int64), lambda _: picture, str)
    pixels = np.asarray(pool.image(0))
    assert pixels.shape == (64, 64, 3)
    np.testing.assert_allclose(pixels[..., 0], ramp // 256, atol=1)
    assert not pool.in_colour


def test_gray_of_8_bits_in_a_wide_form_stays_as_it_is() -> None:
    picture = Image.fromarray(np.arange(256, dtype=np.int32).reshape(16, 16), "I")
    pool = Pool(np.zeros(1, dtype=np.int64), lambda _: picture, str)
    assert np.asarray(pool.image(0))[..., 1].ravel().tolist() == list(range(256))


def test_pixels_of_an_unknown_range_are_refused_by_name() -> None:
    picture = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    pool = Pool(np.zeros(1, dtype=np.int64), lambda _: picture, lambda _: "scan.tif")
    with pytest.raises(DataError, match=r"scan\.tif cannot be decoded: its pixels are floating"):
        pool.image(0)


@pytest.mark.parametrize(
    ("modes", "colour"),
    [(["RGB"] * 5, True), (["L", *["RGB"] * 9], True), (["RGB", *["L"] * 9], False)]
    + [([mode] * 3, False) for mode in ("LA", "P", "1")],
)
def test_most_images_tell_whether_a_set_is_in_colour(modes: list[str], colour: bool) -> None:
    def read(index: int) -> Image.Image:
        if modes[index] == "RGB":
            return Image.fromarray(photo(np.random.default_rng(0)))
        return Image.new("L", (8, 8), 99).convert(modes[index])

    assert Pool(np.zeros(len(modes), dtype=np.int64), read, str).in_colour is colour


def test_the_test_part_of_training_and_testing_is_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "Training", ["a", "b"], 20)
    write_folder(tmp_path / "Testing", ["a", "b"], 7)
    assert describe(str(tmp_path)).test_images == 14


def test_classes_of_timms_parts_must_agree(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ["ant", "bee", "cat"], 10)
    write_folder(tmp_path / "validation", ["bee", "cat"], 4)
    with pytest.raises(DataError, match=r"has classes .*bee.* for validation, and .*ant"):
        open_data(f"timm:folder:{tmp_path}")
