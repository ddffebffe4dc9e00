"""Batches are the same whatever reads them: worker processes or ranks."""

import os
import signal
from pathlib import Path

import pytest
import torch
from small_data import write_folder

from elasticvit.errors import DataError
from elasticvit.training.batch import Batch
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.decoded_batches import MOST_WORKERS, default_workers, lost_workers

DIGITS = open_data("digits")


def photographs(folder: Path) -> ImageData:
    write_folder(folder, ["a", "b"], 30, sides=(12, 15, 20))
    return open_data(str(folder))


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    data = photographs(tmp_path)

    def batches(workers: int) -> list[Batch]:
        loader = data.loader(
            "train", resolution=16, batch_size=8, augment=True, shuffle=True, workers=workers
        )
        next(loader.batches(0))  # an epoch that is left in its midst, as a forecast does
        return [batch for epoch in (0, 1) for batch in loader.batches(epoch, epoch)]

    alone = batches(0)
    assert len({tuple(batch.rows.tolist()) for batch in alone}) == len(alone)
    for workers in (1, 2):
        for ours, theirs in zip(batches(workers), alone, strict=True):
            assert torch.equal(ours.images, theirs.images)
            assert torch.equal(ours.labels, theirs.labels)
            assert torch.equal(ours.rows, theirs.rows)


def test_workers_name_an_image_that_cannot_be_read_and_say_when_they_are_gone(
    tmp_path: Path,
) -> None:
    data = photographs(tmp_path)
    loader = data.loader("train", resolution=16, batch_size=2, workers=1)
    assert len(list(loader)) == len(loader)
    (tmp_path / "a" / "7.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 40 images.*7\.png cannot be decoded"):
        list(data.loader("train", resolution=16, batch_size=2, workers=1).batches(0))
    batches = loader.batches(1)
    next(batches)
    assert loader._decoded is not None
    (worker,) = loader._decoded._loader._iterator._workers  # type: ignore[union-attr]

    def go_on_without_it() -> None:
        with lost_workers():
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(30)  # torch may raise here, or when the next batch is asked for
            list(batches)

    with pytest.raises(DataError, match=r"ended unexpectedly.*choose fewer workers") as gone:
        go_on_without_it()
    assert gone.value.settings == ("workers",)


def test_rows_are_places_in_the_part() -> None:
    loader = DIGITS.loader("train", resolution=8, batch_size=100, shuffle=True)
    batch = next(loader.batches(2))
    assert batch.labels.tolist() == DIGITS.train.labels[batch.rows.numpy()].tolist()
    pixels = torch.from_numpy(DIGITS.train.pixels)[batch.rows].permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (DIGITS.mean, DIGITS.std))
    assert torch.allclose(batch.images, (pixels - mean) / std)


def test_images_vary_alike_on_any_number_of_ranks(tmp_path: Path) -> None:
    for data in (DIGITS, photographs(tmp_path)):

        def first(shard: tuple[int, int], data: ImageData = data) -> Batch:
            loader = data.loader("train", resolution=16, batch_size=9, augment=True, shard=shard)
            return next(loader.batches(3))

        whole = first((0, 1))
        for rank, part in enumerate(whole.parts(2)):
            share = first((rank, 2))
            assert torch.equal(share.rows, part.rows)
            assert torch.allclose(share.images, part.images, atol=1e-6)
        assert len(whole.parts(2)[0]) == 5


def test_default_workers_leave_a_core_to_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes, expected in ((1, "1", 0), (2, "1", 1), (64, "4", 8), (8, "4", 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert default_workers() == expected <= MOST_WORKERS
