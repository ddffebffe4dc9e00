"""Losses against the formulas of the AlphaNet paper, written out directly."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.training.losses import AlphaDivergence, label_loss


def direct(q: np.ndarray, p: np.ndarray, alpha: float, clip: float) -> float:
    """D_alpha(p || q) of one image; importance weights of the negative alpha clipped."""
    total = 0.0
    for qi, pi in zip(q, p, strict=True):
        if alpha == 1:
            total += pi * math.log(pi / qi) if pi > 0 else 0.0
        else:
            weight = min((pi / qi) ** alpha, clip) if pi > 0 else clip
            total += qi * (weight - 1) / (alpha * (alpha - 1))
    return total


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def random_pair(seed: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(6, 5, generator=g, dtype=torch.float64)
    teacher = (scale * torch.randn(6, 5, generator=g, dtype=torch.float64)).softmax(dim=1)
    return logits, teacher


@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 6))
@settings(max_examples=40, deadline=None)
def test_the_value_is_the_larger_divergence_of_each_image(seed: int, scale: float) -> None:
    logits, teacher = random_pair(seed, scale)
    q, p = softmax(logits.numpy()), teacher.numpy()
    images = [max(direct(a, b, -1, 5), direct(a, b, 1, 5)) for a, b in zip(q, p, strict=True)]
    assert AlphaDivergence()(logits, teacher).item() == pytest.approx(np.mean(images), abs=1e-9)


def test_its_gradient_is_that_of_the_divergence_where_nothing_is_clipped() -> None:
    logits, teacher = random_pair(3, 0.4)
    logits.requires_grad_()
    AlphaDivergence()(logits, teacher).backward()

    def true_value(flat: torch.Tensor) -> torch.Tensor:
        q = flat.softmax(dim=1)
        over = 0.5 * ((q * q / teacher).sum(dim=1) - 1)
        under = (teacher * (teacher / q).log()).sum(dim=1)
        return torch.maximum(over, under).mean()

    free = logits.detach().clone().requires_grad_()
    true_value(free).backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, free.grad, atol=1e-12)


def test_clipping_bounds_the_gradient_of_an_over_sure_student() -> None:
    logits = torch.tensor([[12.0, 0.0]], requires_grad=True)
    AlphaDivergence(clip=5)(logits, torch.tensor([[1e-9, 1.0]])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() < 6


def test_it_vanishes_between_equals_and_survives_zeros() -> None:
    logits, _ = random_pair(0, 2.0)
    assert AlphaDivergence()(logits, logits.softmax(dim=1)).item() == pytest.approx(0, abs=1e-12)
    one_hot = torch.eye(5, dtype=torch.float64)[:3]
    assert torch.isfinite(AlphaDivergence()(random_pair(1, 30.0)[0][:3], one_hot))


def test_no_gradient_reaches_the_teacher() -> None:
    logits, teacher = random_pair(5, 1.0)
    logits.requires_grad_()
    teacher.requires_grad_()
    AlphaDivergence()(logits, teacher).backward()
    assert teacher.grad is None


def test_label_smoothing() -> None:
    logits, _ = random_pair(2, 1.0)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    log_q = logits.log_softmax(dim=1)
    target = torch.nn.functional.one_hot(labels, 5) * 0.9 + 0.1 / 5
    expected = -(target * log_q).sum(dim=1).mean()
    assert torch.allclose(label_loss(logits, labels, 0.1), expected)
    assert torch.allclose(
        label_loss(logits, torch.nn.functional.one_hot(labels, 5).double(), 0.1), expected
    )
