"""One training step whose subnets run at the same time, each in a thread.

Losses and gradients are those of one subnet after another (`step.run_step`), added in the same
order. A student runs forwards at once, and waits for what the sampled subnets said before it goes
back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from elasticvit.arch import Arch
from elasticvit.nn.layers import BatchStatistics, statistics_later
from elasticvit.nn.side_by_side import SideBySide
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.step import SampledLosses, StepValues, SubnetPasses, step_values

Backward = Callable[[Tensor], object]
Gradients = tuple[Tensor | None, ...]  # of each parameter of the supernet


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ran:
    """What the passes of a subnet leave behind."""

    gradients: Gradients
    statistics: BatchStatistics


def most_waiting(parallel: int) -> int:
    """Number of subnets of a step that have begun and whose gradients are not added yet, at most:
    one more than threads, so that none of these waits for the next one to be added."""
    return parallel + 1


def run_step_side_by_side(passes: SubnetPasses, draw: Draw, threads: SideBySide) -> StepValues:
    """Add the gradients of one step to the supernet's, as many subnets at the same time as there
    are threads.

    Args:
        passes: Runs a subnet.
        draw: The subnets of this step.
        threads: The threads.
    """
    told: list[Future[Tensor]] = [Future() for _ in draw.archs]
    sampled: dict[int, SampledLosses] = {}
    distances: dict[int, Tensor] = {}

    def teacher() -> Tensor:
        return torch.stack([probabilities.result() for probabilities in told]).mean(dim=0)

    def run_sampled(i: int, arch: Arch, backward: Backward) -> None:
        try:
            sampled[i] = passes.sampled(arch, told[i].set_result, backward)
        except BaseException as error:
            if not told[i].done():  # the students wait for it
                told[i].set_exception(error)
            raise

    def run_student(i: int, arch: Arch, backward: Backward) -> None:
        distances[i] = passes.student(arch, teacher, backward)

    # threads take them in this order, so no student waits for a subnet that has not begun
    runs = [partial(run_sampled, i, arch) for i, arch in enumerate(draw.archs)]
    runs += [partial(run_student, i, arch) for i, arch in enumerate(draw.students)]
    parameters = list(passes.supernet.parameters())
    waiting = most_waiting(threads.parallel)
    with closing(threads.map(partial(_ran, parameters), runs, waiting=waiting)) as found:
        for ran in found:
            _add(parameters, ran.gradients)
            for norm, mean, variance in ran.statistics:
                norm.take(mean, variance)
            del ran  # its gradients are as large as the supernet
    return step_values(
        draw.level, [sampled[i] for i in sorted(sampled)], [distances[i] for i in sorted(distances)]
    )


def _ran(parameters: Sequence[Tensor], run: Callable[[Backward], None]) -> _Ran:
    """Run the passes of a subnet in this thread."""
    gradients: list[Gradients] = []

    def backward(loss: Tensor) -> None:
        gradients.append(torch.autograd.grad(loss, parameters, allow_unused=True))

    with statistics_later() as statistics:
        run(backward)
    return _Ran(gradients=gradients[0], statistics=statistics)


def _add(parameters: Sequence[Tensor], gradients: Gradients) -> None:
    """Add gradients to those of the parameters, which keep the memory layout of the weights."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        if parameter.grad is not None:
            parameter.grad.add_(gradient)
        elif gradient.stride() == parameter.stride():
            parameter.grad = gradient
        else:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
