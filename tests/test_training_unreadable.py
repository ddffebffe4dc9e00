"""Images that cannot be read are passed over and counted, unless they are many."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from elasticvit.errors import DataError
from elasticvit.flows.unreadable import unreadable_notices
from elasticvit.training.data import ImageData, open_data

CLASSES, IMAGES = 2, 300


def photos(root: Path, *, sizes: int) -> Path:
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
        for i in range(IMAGES):
            side = 8 + i % sizes
            colour = (100 * label, i % 256, i // 2)
            Image.new("RGB", (side, side), colour).save(root / f"class{label}" / f"{i:03}.png")
    return root


@pytest.fixture(params=[1, 2], ids=["in memory", "decoded"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return photos(tmp_path / "photos", sizes=request.param)


def batches(data: ImageData, epoch: int = 0, workers: int = 0) -> list[torch.Tensor]:
    loader = data.loader(
        "train", resolution=8, batch_size=32, augment=True, shuffle=True, workers=workers
    )
    return [part for batch in loader.epoch(epoch) for part in batch]


def spoil(folder: Path, data: ImageData, count: int) -> list[str]:
    """Damage some images of the training part, alternately of each class; their names."""
    part = data.train
    names = [part.pool.name(int(part.rows[i])) for i in range(len(part))]
    chosen = [n for pair in zip(names, reversed(names), strict=True) for n in pair][:count]
    for name in chosen:
        Path(name).write_bytes(b"no picture")
    return chosen


@pytest.mark.parametrize("workers", [0, 1])
def test_a_few_are_replaced_and_counted_once(folder: Path, workers: int) -> None:
    fresh = open_data(str(folder))
    chosen = spoil(folder, fresh, 3)  # of 408
    data = open_data(str(folder))
    first = batches(data, 0, workers)
    again = batches(open_data(str(folder)), 0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    batches(data, 1, workers)
    assert len(data.train.unreadable) == 3
    (notice,) = unreadable_notices(data)
    assert notice.warning
    assert "3 of 408 training images could not be read, and another image" in notice.text
    assert all(f"{name} cannot be decoded: it is not an image" in notice.text for name in chosen)


def test_more_than_one_in_a_hundred_stop(folder: Path) -> None:
    chosen = spoil(folder, open_data(str(folder)), 5)
    with pytest.raises(DataError, match="5 of 408 images cannot be read, which is more") as stopped:
        batches(open_data(str(folder)))
    assert sum(name in str(stopped.value) for name in chosen) == 3
    assert "and 2 more" in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_a_process_that_decodes_says_the_same(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", sizes=2)
    spoil(folder, open_data(str(folder)), 5)
    with pytest.raises(DataError, match=r"^5 of 408 images cannot be read") as stopped:
        batches(open_data(str(folder)), workers=1)
    assert "\n" not in str(stopped.value)


def test_the_replacement_is_of_the_same_class(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", sizes=1)
    part = open_data(str(folder)).train
    spoil(folder, open_data(str(folder)), 2)
    part = open_data(str(folder)).train
    for index in (0, len(part) - 1):
        red = np.asarray(part.image(index))[0, 0, 0]
        assert red == 100 * part.labels[index]
    assert part.unreadable.indices == (0, len(part) - 1)
    other = open_data(str(folder)).train.unreadable
    other.add(part.unreadable.indices)
    assert len(other) == 2


def test_held_out_images_are_counted_too(folder: Path) -> None:
    data = open_data(str(folder))
    test = data.test
    Path(test.pool.name(int(test.rows[3]))).write_bytes(b"")
    data = open_data(str(folder))
    list(data.loader("test", resolution=8, batch_size=32))
    (notice,) = unreadable_notices(data)
    assert "1 of 120 images held out for the final figure could not be read" in notice.text
