"""Recalibration and accuracy: statistics of training images, and what they are worth."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_search import SMALL, digits, one_thread, trained

from elasticvit.arch import ArchBatch
from elasticvit.errors import CheckpointError, DataError
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.layers import ElasticBatchNorm
from elasticvit.searching.evaluate import (
    Sizes,
    Stretch,
    SupernetEvaluator,
    accuracy,
    recalibrate,
    weights_hash,
)
from elasticvit.searching.judgement_store import JudgementStore

pytestmark = pytest.mark.usefixtures(one_thread.__name__)
ARCHS = SMALL.sample(6, np.random.default_rng(1))


def loader(split: str, resolution: int, batch_size: int = 64):
    return digits().loader(split, resolution=resolution, batch_size=batch_size, shuffle=True)


def test_recalibration_is_worth_many_points() -> None:
    before, after = [], []
    for arch in ARCHS:
        subnet = Subnet.cut(trained(), arch)
        images = loader("search", arch.resolution)
        before.append(accuracy(subnet, images))
        recalibrate(subnet, loader("train", arch.resolution), 4)
        after.append(accuracy(subnet, images))
    assert np.mean(after) > np.mean(before) + 10
    assert min(np.subtract(after, before)) > -2


def test_the_statistics_of_the_first_norm_are_those_of_its_inputs() -> None:
    subnet = Subnet.cut(trained(), ARCHS[0])
    batches = list(loader("train", ARCHS[0].resolution))[:5]
    assert recalibrate(subnet, batches, 4) is subnet
    with torch.inference_mode():
        maps = [subnet.blocks[0].conv(images, ARCHS[0].stem.width, 3) for images, _ in batches[:4]]
    means = torch.stack([m.mean(dim=(0, 2, 3)) for m in maps]).mean(dim=0)
    variances = torch.stack([m.var(dim=(0, 2, 3)) for m in maps]).mean(dim=0)
    norm = subnet.blocks[0].bn
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variances, rtol=1e-4, atol=1e-5)


def test_old_statistics_leave_no_trace() -> None:
    """With momentum, as in training, a share of them would stay."""
    outputs = []
    images, _ = next(iter(loader("search", ARCHS[0].resolution)))
    for scale in (1.0, 50.0):
        subnet = Subnet.cut(trained(), ARCHS[0])
        for norm in subnet.modules():
            if isinstance(norm, ElasticBatchNorm):
                norm.running_mean.add_(scale)
                norm.running_var.mul_(scale)
        recalibrate(subnet, loader("train", ARCHS[0].resolution), 3)
        with torch.inference_mode():
            outputs.append(subnet(images))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_only_statistics_change_and_evaluation_mode_stays() -> None:
    subnet = Subnet.cut(trained(), ARCHS[1])
    weights = {k: v.clone() for k, v in subnet.named_parameters()}
    buffers = {k: v.clone() for k, v in subnet.named_buffers()}
    momenta = [m.momentum for m in subnet.modules() if isinstance(m, ElasticBatchNorm)]
    recalibrate(subnet, loader("train", ARCHS[1].resolution), 2)
    assert not any(m.training for m in subnet.modules())
    assert momenta == [m.momentum for m in subnet.modules() if isinstance(m, ElasticBatchNorm)]
    for name, value in subnet.named_parameters():
        assert torch.equal(value, weights[name])
    changed = {k for k, v in subnet.named_buffers() if not torch.equal(v, buffers[k])}
    assert changed == {k for k in buffers if k.rpartition(".")[2].startswith("running_")}


def test_the_supernet_keeps_its_own_statistics() -> None:
    net = trained()
    before = weights_hash(net)
    evaluator = SupernetEvaluator(net, digits(), Sizes(recalibration_images=64, search_images=32))
    evaluator(ARCHS.take(slice(0, 2)))
    assert weights_hash(net) == before
    other = Supernet(SMALL)
    other.load_state_dict(net.state_dict())
    assert weights_hash(other) == before
    other.block(next(iter(_places()))).conv.weight.data[0, 0, 0, 0] += 1e-3
    assert weights_hash(other) != before


def _places():
    from elasticvit.kernels import walk

    return [place for place, _ in walk(SMALL.largest, SMALL.layout)]


def test_recalibration_without_images_is_refused() -> None:
    subnet = Subnet.cut(trained(), ARCHS[0])
    for batches, count in ([], 4), (loader("train", 16), 0):
        with pytest.raises(DataError, match="recalibration without images"):
            recalibrate(subnet, batches, count)
    with pytest.raises(DataError, match="recalibration on one image"):
        recalibrate(subnet, loader("train", 16, batch_size=1), 4)


def test_accuracy_counts_the_right_ones() -> None:
    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 10).float()

    images = torch.arange(10.0).view(10, 1, 1, 1)
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 6, 0, 0, 0])
    batches = [(images[:7], labels[:7]), (images[7:], labels[7:])]
    assert accuracy(Fixed(), batches) == 70.0
    with pytest.raises(DataError, match="no images"):
        accuracy(Fixed(), [])


def test_a_diverged_supernet_is_found_out() -> None:
    subnet = Subnet.cut(trained(), ARCHS[0])
    subnet.blocks[-1].classifier.weight.data[3, 0] = float("nan")
    with pytest.raises(CheckpointError, match="training diverged"):
        accuracy(subnet, loader("search", 16))


def test_an_accuracy_depends_on_the_architecture_alone() -> None:
    sizes = Sizes(recalibration_images=100, search_images=80)
    one = SupernetEvaluator(trained(), digits(), sizes)
    other = SupernetEvaluator(trained(), digits(), sizes)
    forward = one(ARCHS)
    backward = other(ARCHS.take(slice(None, None, -1)))
    np.testing.assert_array_equal(forward.correct, backward.correct[::-1])
    np.testing.assert_allclose(forward.accuracy, 100 * forward.correct.mean(axis=1))
    images = one.images.at(ARCHS[0].resolution)[1]
    assert accuracy(one.subnet(ARCHS[0]), images) == forward.accuracy[0]


def test_more_images_continue_fewer_ones_and_are_kept(tmp_path: Path) -> None:
    sizes = Sizes(recalibration_images=64, search_images=100, batch_size=32)
    store = JudgementStore(tmp_path / "judgements.sqlite")
    whole = SupernetEvaluator(trained(), digits(), sizes)(ARCHS)
    judge = SupernetEvaluator(trained(), digits(), sizes, store=store)
    assert judge.most_images == 100
    for images in (40, 33, 100):
        found = judge(ARCHS.take(slice(0, 3)), images)
        np.testing.assert_array_equal(found.correct, whole.correct[:3, :images])
    later = SupernetEvaluator(trained(), digits(), sizes, store=store)
    np.testing.assert_array_equal(later(ARCHS).correct, whole.correct)
    assert set(later.kept) == set(ARCHS.take(slice(3, None)))  # the others were not run again
    other = SupernetEvaluator(trained(), digits(), sizes, seed=1, store=store)
    assert not len(other.known.get([ARCHS[0]])[0])


def test_training_and_search_images_are_not_mixed_up() -> None:
    evaluator = SupernetEvaluator(
        trained(), digits(), Sizes(recalibration_images=100, search_images=70, batch_size=32)
    )
    training, search = evaluator.images.at(16)
    assert [sum(len(y) for _, y in part) for part in (training, search)] == [100, 70]
    data = digits()
    for part, split in ((training, data.train), (search, data.search)):
        whole = next(iter(data.loader(
            "train" if split is data.train else "search", resolution=16, batch_size=len(split)
        )))[0].flatten(1)  # fmt: skip
        for images, _ in part:
            distances = torch.cdist(images.flatten(1), whole).min(dim=1).values
            assert distances.max() < 0.2  # resizing rounds differently by batch on some CPUs


def test_images_of_few_resolutions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticvit.searching.evaluate.CACHE_BYTES", 1)
    evaluator = SupernetEvaluator(
        trained(), digits(), Sizes(recalibration_images=64, search_images=64)
    )
    first = evaluator(ARCHS).accuracy
    assert len(evaluator.images.kept) == 1
    np.testing.assert_array_equal(evaluator(ARCHS).accuracy, first)


def test_sizes_follow_the_arithmetic_and_the_data() -> None:
    data = digits()
    small, large = (Sizes.within(4.0, m, data) for m in (1.0, 1000.0))
    assert small == Sizes(recalibration_images=512, search_images=data.info.search_images)
    assert large.recalibration_images == 128
    assert large.search_images == min(256, data.info.search_images)
    many = replace(data, info=replace(data.info, train_images=10_000, search_images=10_000))
    for macs_m in (2.0, 7.0, 20.0):  # whatever is under the caps: what one judged, others find
        sizes = Sizes.within(4.0, macs_m, many, space_macs_m=5.0)
        assert sizes.recalibration_images == 256
        assert sizes.search_images % sizes.batch_size == 0
    assert ArchBatch.of([SMALL.smallest]).genes.shape == (1, 13)


def test_what_was_judged_is_kept_when_the_work_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = Sizes(recalibration_images=64, search_images=64)
    store = JudgementStore(tmp_path / "judgements.sqlite")
    judge = SupernetEvaluator(trained(), digits(), sizes, store=store)
    extend, left = judge.extend, [1, 1]

    def breaking(stretch: Stretch) -> np.ndarray:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return extend(stretch)

    monkeypatch.setattr(judge, "extend", breaking)
    with pytest.raises(KeyboardInterrupt):
        judge(ARCHS)
    assert sorted(len(bits) for bits in judge.known.get(list(ARCHS))) == [0, 0, 0, 0, 64, 64]


@settings(max_examples=6)
@given(
    calls=st.lists(
        st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(1, 150)),
        min_size=2,
        max_size=4,
    )
)
def test_stored_judgements_are_the_same_as_fresh_ones(
    calls: list[tuple[list[int], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever was asked before, in whatever order, with however many images."""
    sizes = Sizes(recalibration_images=64, search_images=150, batch_size=32)
    store = JudgementStore(tmp_path_factory.mktemp("store") / "judgements.sqlite")
    for rows, images in calls:
        judge = SupernetEvaluator(trained(), digits(), sizes, store=store)
        found = judge(ARCHS.take(np.array(rows)), images).correct
        np.testing.assert_array_equal(found, fresh()[rows, :images])


@cache
def fresh() -> np.ndarray:
    sizes = Sizes(recalibration_images=64, search_images=150, batch_size=32)
    return SupernetEvaluator(trained(), digits(), sizes)(ARCHS).correct
