"""Judging a subnet: batch norm statistics computed anew, and the accuracy that it then has.

The running statistics of a supernet's batch norms are a mixture over all the architectures
that trained, and fit none of them: a subnet that is judged by them looks far worse than it is,
and not equally worse (Yu and Huang, "Universally Slimmable Networks", ICCV 2019, section 3.2;
Cai et al., "Once-for-All", ICLR 2020). So the statistics are computed anew for each subnet.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from elasticvit.errors import CheckpointError, DataError, NextStep
from elasticvit.nn.layers import ElasticBatchNorm
from elasticvit.nn.subnet import Subnet

Batch = tuple[Tensor, Tensor]


def recalibrate(subnet: Subnet, loader: Iterable[Batch], batches: int) -> Subnet:
    """Compute the batch norm statistics of a subnet anew, in place.

    The images must come from the training part: statistics are learned, so those of the images
    that the subnet is judged by would flatter it. The new statistics are the plain average over
    the batches, weighted by their sizes. Momentum, as in training, would forget the first
    batches and leave a share of the old statistics in: after ten batches of momentum 0.1, a
    third of them.

    Args:
        subnet: The subnet; everything but its batch norms stays in evaluation mode.
        loader: Batches (images (B, 3, H, W), labels (B,)), in an order mixed over the classes.
        batches: Most batches that are used.

    Returns:
        The same subnet, in evaluation mode.

    Raises:
        DataError: no batch, or one with so few images that it has no variance.
    """
    subnet.eval()
    norms = [m for m in subnet.modules() if isinstance(m, ElasticBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    device = next(subnet.parameters()).device
    images_seen = 0
    try:
        for norm in norms:
            norm.train()
        with torch.inference_mode():
            for images, _ in islice(loader, batches):
                if len(images) < 2:
                    if images_seen:
                        continue
                    raise DataError("recalibration on one image; it needs batches of 2 or more")
                images_seen += len(images)
                for norm in norms:  # the running average of batches weighted by their sizes
                    norm.momentum = len(images) / images_seen
                subnet(images.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    if not images_seen:
        raise DataError("recalibration without images; the loader gave no batch")
    return subnet


def accuracy(model: nn.Module, loader: Iterable[Batch]) -> float:
    """Share of images whose label gets the highest logit, in percent.

    Raises:
        DataError: no images.
        CheckpointError: logits that are not numbers, which a diverged training leaves.
    """
    return percent(correct(model, loader))


def percent(right: Tensor) -> float:
    """Share of images that are classified right, a bool tensor (images,), in percent.

    Raises:
        DataError: no images.
    """
    if not len(right):
        raise DataError("accuracy of no images; the loader gave no batch")
    return 100.0 * int(right.sum()) / len(right)


def correct(model: nn.Module, loader: Iterable[Batch]) -> Tensor:
    """Whether the label of each image gets the highest logit, a bool tensor (images,) on the CPU.

    Raises:
        CheckpointError: logits that are not numbers, which a diverged training leaves.
    """
    model.eval()
    device = next(model.parameters()).device
    found = [torch.zeros(0, dtype=torch.bool)]
    with torch.inference_mode():
        for images, labels in loader:
            logits = model(images.to(device))
            if not torch.isfinite(logits).all():
                raise CheckpointError(
                    "the network's outputs are not finite numbers; its training diverged: train "
                    "again from the start",
                    next_step=NextStep("train", {"fresh": True}),
                )
            found.append((logits.argmax(dim=1) == labels.to(device)).cpu())
    return torch.cat(found)
