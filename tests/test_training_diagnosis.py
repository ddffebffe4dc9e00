"""Cosines of gradients: what they are, and that measuring them leaves no trace."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_small import DATA, MICRO, trainer

from elasticvit.arch import Arch
from elasticvit.nn import Supernet
from elasticvit.nn.blocks import AUTHORS
from elasticvit.nn.checkpointing import frozen_statistics
from elasticvit.training.diagnosis import gradient_cosines

RNG = np.random.default_rng(3)
ARCHS = [MICRO.smallest, *MICRO.sample(3, RNG), MICRO.largest]


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return next(iter(DATA.loader("train", resolution=24, batch_size=16, shuffle=True)))


def supernet(authors: bool = False) -> Supernet:
    torch.manual_seed(0)
    net = Supernet(MICRO, AUTHORS) if authors else Supernet(MICRO)
    for name, parameter in net.named_parameters():
        if "bn" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return net.train()


def by_hand(net: Supernet, images: torch.Tensor, labels: torch.Tensor, arch: Arch) -> torch.Tensor:
    """Gradient of the supernet itself; not a number where the subnet uses no parameter."""
    net.zero_grad(set_to_none=True)
    with frozen_statistics(net):
        F.cross_entropy(net(images, arch), labels).backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]
    net.zero_grad(set_to_none=True)
    return torch.cat([g.reshape(-1) for g in gradients]).double()


@pytest.mark.parametrize("authors", [False, True])
def test_cosines_are_those_of_the_gradients_that_both_subnets_have(authors: bool) -> None:
    net, (images, labels) = supernet(authors), batch()
    found = gradient_cosines(net, images, labels, ARCHS)
    assert np.allclose(found, found.T)
    assert np.allclose(np.diag(found), 1)
    gradients = [by_hand(net, images, labels, arch) for arch in ARCHS]
    for i, a in enumerate(gradients):
        for j, b in enumerate(gradients):
            # next to no gradient of a parameter that is used is exactly zero
            shared = (a != 0) & (b != 0)
            a_b = a[shared] @ b[shared] / (a[shared].norm() * b[shared].norm())
            assert found[i, j] == pytest.approx(float(a_b), abs=0.01), (i, j)


def test_a_subnet_agrees_with_itself() -> None:
    net, (images, labels) = supernet(), batch()
    found = gradient_cosines(net, images, labels, [ARCHS[1], ARCHS[1], ARCHS[2]])
    assert found[0, 1] == pytest.approx(1)
    assert abs(found[0, 2]) < 1


def test_few_gradients_at_a_time_give_the_same() -> None:
    net, (images, labels) = supernet(), batch()
    whole = gradient_cosines(net, images, labels, ARCHS)
    parts = gradient_cosines(net, images, labels, ARCHS, keep_bytes=1)
    assert np.allclose(whole, parts, atol=1e-6)


def test_measuring_leaves_no_trace() -> None:
    job = trainer()
    net, (images, labels) = job.supernet, batch()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    states = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    gradient_cosines(net, images, labels, ARCHS)
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert repr(np.random.get_state()) == states[2]  # noqa: NPY002
