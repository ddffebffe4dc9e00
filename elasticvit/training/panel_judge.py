"""Judges the panel of a run without changing anything that its training depends on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from elasticvit.nn.judging import accuracy, recalibrate
from elasticvit.nn.side_by_side import SideBySide
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.training.data import ImageData
from elasticvit.training.judged_images import JudgedImages
from elasticvit.training.panel import Panel, PanelMember
from elasticvit.training.panel_result import PanelAccuracy, PanelResult

FEW = (128, 256)  # images for recalibration and for accuracy while the training runs
MANY = (512, 1024)  # at its end, if these take no more than the share below
SHARE = 0.05  # of the arithmetic of the training that judging at its end may take
PASSES = 3  # a forward and a backward pass take the arithmetic of three forward passes
KEEP_BYTES = 2**28


@dataclass(frozen=True, kw_only=True)
class TrainingSize:
    """How much a training runs.

    Attributes:
        steps: Number of steps.
        images: Images a step, on this process.
        subnets: Subnets a step, the smallest one included.
    """

    steps: int
    images: int
    subnets: int

    @property
    def passes(self) -> int:
        """Forward passes of one image that a step's arithmetic is worth."""
        return PASSES * self.images * self.subnets


class PanelJudge:
    """Accuracies of the subnets of a panel: cut, recalibrated, run on the search part.

    All are judged by the same images, at every step.

    Args:
        panel: The panel.
        data: The data set.
        training: How much the training runs.
        final: Whether it is to judge at the end of the training, with more images: as many as
            are worth a twentieth of the training's arithmetic. That is a budget of arithmetic and
            not of time, so that the same training is judged by the same images on every machine.
        torch_device: Torch device of the images.
    """

    def __init__(
        self,
        panel: Panel,
        data: ImageData,
        training: TrainingSize,
        *,
        final: bool = False,
        torch_device: torch.device | str = "cpu",
    ) -> None:
        self.panel, self.training = panel, training
        recalibration, search = FEW
        if final:
            images = SHARE * training.steps * training.passes / len(panel.members)
            factor = min(max(images / sum(MANY), sum(FEW) / sum(MANY)), 1.0)
            recalibration, search = (round(factor * n) for n in MANY)
        self.images = JudgedImages(
            data,
            recalibration_images=min(recalibration, data.info.train_images),
            search_images=min(search, data.info.search_images),
            torch_device=torch_device,
            keep_bytes=KEEP_BYTES,
        )

    @property
    def steps_worth(self) -> float:
        """Number of training steps whose arithmetic judging the panel once takes, by the mean
        subnet of the panel."""
        images = self.images.recalibration_images + self.images.search_images
        return images * len(self.panel.members) / self.training.passes

    def __call__(
        self, supernet: Supernet, step: int, threads: SideBySide | None = None
    ) -> PanelResult:
        """The accuracies after a number of steps.

        Args:
            supernet: The supernet with the weights to judge; it is left as it was.
            step: Number of steps done.
            threads: Threads that judge several subnets at the same time; None: one after another.

        Raises:
            CheckpointError: Logits are not numbers, since the training diverged.
            DataError: An image cannot be read.
        """
        members = sorted(self.panel.members, key=lambda member: member.arch.resolution)
        judge = partial(self._judge, supernet)
        device = next(supernet.parameters()).device
        # making a subnet draws initial values before it takes those of the supernet
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            judged = map(judge, members) if threads is None else threads.map(judge, members)
            found = dict(zip(members, judged, strict=True))
        return PanelResult(step=step, subnets=tuple(found[m] for m in self.panel.members))

    def _judge(self, supernet: Supernet, member: PanelMember) -> PanelAccuracy:
        training, search = self.images.at(member.arch.resolution)
        subnet = recalibrate(Subnet.cut(supernet, member.arch), training, len(training))
        count = sum(len(labels) for _, labels in search)
        return PanelAccuracy.of(member, accuracy(subnet, search), count)
