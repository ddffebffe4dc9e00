"""Gradient clipping against timm's."""

from __future__ import annotations

import torch
from timm.utils.agc import adaptive_clip_grad
from torch import nn

from elasticvit.nn import Supernet
from elasticvit.space import TINY
from elasticvit.training.clipping import clip_gradients


def with_gradients(scale: float) -> list[nn.Parameter]:
    torch.manual_seed(0)
    parameters = list(Supernet(TINY).parameters())
    for parameter in parameters[::2]:  # the others were not used in the step
        parameter.grad = scale * torch.randn_like(parameter)
    return parameters


def test_gradients_are_those_of_timm() -> None:
    for scale in (1e-4, 0.01, 1.0):  # nearly none, some and nearly all units are clipped
        ours, theirs = with_gradients(scale), with_gradients(scale)
        clip_gradients(ours, 0.1)
        adaptive_clip_grad(theirs, 0.1)
        clipped = 0
        for a, b, before in zip(ours, theirs, with_gradients(scale), strict=True):
            assert (a.grad is None) == (b.grad is None)
            if a.grad is not None and b.grad is not None and before.grad is not None:
                torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=0)
                clipped += int(not torch.equal(a.grad, before.grad))
        assert clipped > 0


def test_a_unit_never_gets_more_than_its_share() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    weight.grad = torch.tensor([[0.0, 0.25], [3.0, 4.0]])
    clip_gradients([weight], 0.1)
    torch.testing.assert_close(weight.grad, torch.tensor([[0.0, 0.25], [0.03, 0.04]]))


def test_no_gradients_is_nothing_to_do() -> None:
    clip_gradients([nn.Parameter(torch.ones(3))], 0.1)
