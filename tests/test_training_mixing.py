"""Mixup, cutmix and random erasing depend on their seed alone."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from training_small import MICRO

from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.mixing import blended, blended_labels, erased
from elasticvit.training.precision import Precision
from elasticvit.training.step import SubnetPasses
from elasticvit.training.targets import Targets


def batch(count: int) -> Tensor:
    return torch.arange(float(count)).view(count, 1, 1, 1).expand(count, 3, 8, 8).contiguous()


@pytest.mark.parametrize("count", [4, 5])
def test_mixup_blends_images_and_labels_by_the_same_share(count: int) -> None:
    images, labels = batch(count), torch.arange(count) % 3
    before = images.clone()
    mixed, share = blended(images, mixup=0.5, cutmix=0.0, seed=[0, 1])
    assert torch.equal(images, before)
    assert 0 < share < 1
    assert torch.allclose(mixed, share * images + (1 - share) * images.flip(0))
    soft = blended_labels(F.one_hot(labels, 3).float(), share)
    assert torch.allclose(soft.sum(dim=1), torch.ones(count))
    assert soft[0, 0].item() == pytest.approx(share + (1 - share) * (labels[-1] == 0))
    again, same = blended(images, mixup=0.5, cutmix=0.0, seed=[0, 1])
    assert torch.equal(again, mixed)
    assert same == share
    assert blended(images, mixup=0.5, cutmix=0.0, seed=[0, 2])[1] != share


def test_cutmix_pastes_a_rectangle_of_the_labels_share() -> None:
    images = batch(6)
    for seed in range(8):
        mixed, share = blended(images, mixup=0.0, cutmix=1.0, seed=[seed])
        own = (mixed == images)[:, 0].float().mean(dim=(1, 2))
        assert torch.allclose(own, torch.full((6,), share))
        assert ((mixed == images) | (mixed == images.flip(0))).all()


def test_erasing_replaces_a_rectangle_in_some_images() -> None:
    images = torch.zeros(64, 3, 16, 16)
    result = erased(images, 0.5, [3])
    touched = (result != 0).flatten(1).any(dim=1)
    assert 16 < int(touched.sum()) < 48
    assert not images.any()
    assert torch.equal(result, erased(images, 0.5, [3]))


def test_the_global_generators_are_as_before() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    blended(batch(4), mixup=0.2, cutmix=0.2, seed=[0])
    erased(batch(4), 1.0, [0])
    got = random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002
    assert got == expected


def test_of_a_mixed_image_the_class_with_the_largest_share_is_right() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    soft = blended_labels(F.one_hot(labels, 5).float(), 0.2)  # more of the other image

    class Sure(torch.nn.Module):
        def forward(self, images: Tensor, arch: object) -> Tensor:
            return soft.clone().requires_grad_() * 10

    def right(targets: Targets) -> float:
        passes = SubnetPasses(
            supernet=Sure(),  # type: ignore[arg-type]
            images=torch.zeros(4, 3, 8, 8),
            targets=targets,
            divergence=AlphaDivergence(),
            precision=Precision("fp32", torch.device("cpu")),
            share=1.0,
        )
        said = passes.sampled(MICRO.smallest, lambda told: None, lambda loss: None)
        return float(said.right)

    assert right(Targets(labels=labels, soft=soft)) == 1
    assert right(Targets(labels=labels)) == 0
