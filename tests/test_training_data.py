"""Data sets: disjoint parts, batches that a seed fixes, and how images are varied."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.training.augment import draw_variation, fitted, varied
from elasticvit.training.data import describe, open_data

DIGITS = open_data("digits")


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
