"""Data sets: what is accepted and refused, disjoint parts, batches that a seed fixes."""

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from elasticvit.errors import DataError
from elasticvit.training.augment import draw_variation, fitted, varied
from elasticvit.training.data import PHOTO_MEAN, describe, open_data
from elasticvit.training.decoding import decoded
from elasticvit.training.soft_labels import fingerprint

CIFAR10 = Path(__file__).parents[2] / "shared" / "data" / "cifar10"


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


def test_digits_come_in_three_disjoint_parts_of_all_classes() -> None:
    data = open_data("digits")
    rows = [set(part.rows.tolist()) for part in (data.train, data.search, data.test)]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 1797
    assert data.info == describe("digits")
    assert (data.info.train_images, data.info.search_images, data.info.test_images) == tuple(
        map(len, rows)
    )
    for part in (data.train, data.search, data.test):
        counts = np.bincount(part.labels, minlength=10)
        assert counts.min() > 0.75 * counts.max()


def test_the_parts_are_the_same_every_time() -> None:
    first, again, other = open_data("digits"), open_data("digits"), open_data("digits", seed=5)
    assert np.array_equal(first.search.rows, again.search.rows)
    assert not np.array_equal(first.search.rows, other.search.rows)


def test_batches_are_normalised_and_sized() -> None:
    data = open_data("digits")
    batches = list(data.loader("train", resolution=8, batch_size=100))
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert images.shape == (data.info.train_images, 3, 8, 8)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.mean().abs() < 1e-4
    assert abs(images.std() - 1) < 1e-3
    assert torch.equal(labels, torch.from_numpy(data.train.labels))
    bigger, _ = next(iter(data.loader("test", resolution=40, batch_size=7)))
    assert bigger.shape == (7, 3, 40, 40)


@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 100),
    start=st.integers(0, 5),
    augment=st.booleans(),
)
@settings(max_examples=10, deadline=None)
def test_reading_on_in_the_middle_of_an_epoch_gives_its_other_half(
    seed: int, epoch: int, start: int, augment: bool
) -> None:
    loader = DIGITS.loader(
        "search", resolution=8, batch_size=32, shuffle=True, augment=augment, seed=seed
    )
    whole, rest = list(loader.batches(epoch)), list(loader.batches(epoch, start))
    assert len(rest) == len(loader) - start
    for batch, again in zip(whole[start:], rest, strict=True):
        assert all(torch.equal(a, vars(again)[name]) for name, a in vars(batch).items())
        assert torch.equal(torch.from_numpy(DIGITS.search.labels)[batch.rows], batch.labels)


DIGITS = open_data("digits")


def test_epochs_and_seeds_differ_in_order() -> None:
    def labels(seed: int, epoch: int) -> torch.Tensor:
        loader = DIGITS.loader("train", resolution=8, batch_size=400, shuffle=True, seed=seed)
        return next(loader.epoch(epoch))[1]

    assert not torch.equal(labels(0, 0), labels(0, 1))
    assert not torch.equal(labels(0, 0), labels(1, 0))


def test_shards_share_each_batch_out() -> None:
    def batches(shard: tuple[int, int]) -> list[torch.Tensor]:
        loader = DIGITS.loader(
            "search", resolution=8, batch_size=50, shuffle=True, shard=shard, drop_last=True
        )
        return [images for images, _ in loader]

    whole, first, second = batches((0, 1)), batches((0, 2)), batches((1, 2))
    assert len(whole) == len(first) == 216 // 50
    for all_images, a, b in zip(whole, first, second, strict=True):
        assert torch.equal(all_images[0::2], a)
        assert torch.equal(all_images[1::2], b)


def test_only_what_may_be_mirrored_is_mirrored() -> None:
    half = torch.zeros(200, 3, 16, 16)
    half[..., :8] = 1
    for flips in (False, True):
        variation = draw_variation(200, flips, torch.Generator().manual_seed(0))
        images = varied(half, 16, variation)
        left = (images[..., :8].mean((1, 2, 3)) > images[..., 8:].mean((1, 2, 3))).float().mean()
        assert images.min() >= 0
        assert images.max() <= 1
        assert left == 1 if not flips else 0.3 < left < 0.7


def test_augmentation_keeps_the_digit_recognisable() -> None:
    """A nearest-neighbour classifier on plain images still reads most augmented ones."""
    plain, labels = next(iter(DIGITS.loader("train", resolution=8, batch_size=1221)))
    images, truth = next(iter(DIGITS.loader("train", resolution=8, batch_size=300, augment=True)))
    nearest = torch.cdist(images.flatten(1), plain.flatten(1)).argmin(dim=1)
    assert (labels[nearest] == truth).float().mean() > 0.6
    assert not torch.equal(images, plain[:300])


def test_enlarging_keeps_the_mean_and_shrinking_averages() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert fitted(images, 8) is images
    assert abs(fitted(images, 32).mean() - images.mean()) < 0.02
    checker = torch.zeros(1, 1, 16, 16)
    checker[..., ::2, ::2] = checker[..., 1::2, 1::2] = 1
    assert (fitted(checker, 4) - 0.5).abs().max() < 0.1


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
