"""How much subnets of a supernet pull its weights in one direction: cosines of their gradients.

The paper explains by this measure why subnets of distant complexity should not train in one step:
the cosine falls as complexities move apart, and rises for good subnets (ElasticViT, section 3).

Shapes: B batch, P parameters of the supernet, n subnets.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticvit.arch import Arch
from elasticvit.arrays import FloatArray
from elasticvit.kernels import walk
from elasticvit.nn import Subnet, Supernet

KEEP_BYTES = 2**29  # gradients that are held at a time
INDEX_BYTES, VALUE_BYTES = 8, 4
MOST_EXACT = 2**24  # numbers that a 32-bit float holds exactly


@dataclass(frozen=True, eq=False)
class _Gradient:
    """The gradient of one subnet.

    Attributes:
        where: Indices of the supernet's parameters that the subnet uses, rising, shape (k,).
        values: Gradient of the loss by these, shape (k,).
    """

    where: Tensor
    values: Tensor


def gradient_cosines(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    archs: Sequence[Arch],
    keep_bytes: int = KEEP_BYTES,
) -> FloatArray:
    """Cosine similarity of the gradients of each pair of subnets.

    The gradient of a subnet is that of its mean cross entropy with the labels, not smoothed and
    not distilled, by the parameters of the supernet, its batch norms normalising by the batch as
    in training. For subnets a and b let S be the scalar parameters (single elements of weights,
    biases, norms and position biases) that the forward passes of both use; then the cosine is

        sum over S of g_a g_b / sqrt(sum over S of g_a^2 * sum over S of g_b^2).

    An element outside of S is of no effect, on the norms neither: what is measured is whether
    the two agree about the weights that they share, not how many these are.

    Nothing of the supernet changes: weights, gradients and statistics, and the random generators
    of torch. Each subnet is cut out and runs by itself.

    Args:
        supernet: The supernet.
        images: Normalised images (B, 3, R, R), on the supernet's torch device; B at least 2.
        labels: Labels (B,).
        archs: The subnets.
        keep_bytes: Bytes of gradients that may be held at a time. Where all n do not fit they
            are calculated again, at most n times.

    Returns:
        Array (n, n), symmetric, with ones on the diagonal; not a number where a subnet's gradient
        is zero all over S.
    """
    n = len(archs)
    cosines = np.eye(n)
    places = _Places(supernet)
    device = images.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        start = 0
        while start < n:
            held: list[_Gradient] = []
            spent = 0
            stop = start
            while stop < n and (len(held) < 2 or spent < keep_bytes):
                held.append(_gradient(supernet, places, images, labels, archs[stop]))
                spent += held[-1].where.numel() * (INDEX_BYTES + VALUE_BYTES)
                stop += 1
            for j in range(start + 1, n):
                other = (
                    held[j - start]
                    if j < stop
                    else _gradient(supernet, places, images, labels, archs[j])
                )
                dense, used = places.spread(other)
                for i in range(start, min(j, stop)):
                    cosines[i, j] = cosines[j, i] = _cosine(held[i - start], dense, used)
            start = stop
    return cosines


def _cosine(one: _Gradient, dense: Tensor, used: Tensor) -> float:
    """Cosine of a gradient and another one, given as `_Places.spread` does."""
    shared = used[one.where]
    a, b = one.values[shared].double(), dense[one.where[shared]].double()
    return float(a @ b / (a.norm() * b.norm()))


class _Places:
    """Where the parameters of a subnet lie among those of the supernet.

    The subnet is cut out of a copy of the supernet whose parameters are their own indices, so
    that whatever takes the weights of a subnet (rows, columns, centres of filters, heads) takes
    their places.

    Args:
        supernet: The supernet.
    """

    def __init__(self, supernet: Supernet) -> None:
        self.device = next(supernet.parameters()).device
        self.indices = copy.deepcopy(supernet).cpu()
        self.starts: dict[int, int] = {}
        self.count = 0
        for parameter in self.indices.parameters():
            size = parameter.numel()
            assert size <= MOST_EXACT, f"a tensor of {size} parameters"
            parameter.data = torch.arange(size, dtype=torch.float32).view(parameter.shape)
            self.starts[id(parameter)] = self.count
            self.count += size

    def of(self, arch: Arch) -> list[Tensor]:
        """Indices of the supernet's parameters, for each parameter of the subnet, of its shape."""
        found = []
        blocks = Subnet.cut(self.indices, arch).blocks
        for (place, _), block in zip(walk(arch, self.indices.space.layout), blocks, strict=True):
            source = dict(self.indices.block(place).named_parameters())
            for name, parameter in block.named_parameters():
                start = self.starts[id(source[name])]
                found.append((parameter.detach().long() + start).to(self.device))
        return found

    def spread(self, gradient: _Gradient) -> tuple[Tensor, Tensor]:
        """A gradient by all parameters of the supernet (P,), and which of them it uses (P,)."""
        dense = torch.zeros(self.count, device=self.device)
        used = torch.zeros(self.count, dtype=torch.bool, device=self.device)
        dense[gradient.where], used[gradient.where] = gradient.values, True
        return dense, used


def _gradient(
    supernet: Supernet, places: _Places, images: Tensor, labels: Tensor, arch: Arch
) -> _Gradient:
    """The gradient of one subnet; the same random numbers for each, where it has dropout."""
    torch.manual_seed(0)
    subnet: nn.Module = Subnet.cut(supernet, arch).train()
    with torch.enable_grad():
        loss = F.cross_entropy(subnet(images), labels)
        gradients = torch.autograd.grad(loss, list(subnet.parameters()), allow_unused=True)
    dense = torch.zeros(places.count, device=places.device)
    used = torch.zeros(places.count, dtype=torch.bool, device=places.device)
    for where, gradient in zip(places.of(arch), gradients, strict=True):
        flat = where.reshape(-1)
        used[flat] = True
        if gradient is not None:  # a position bias is used once for each pair of tokens
            dense.index_add_(0, flat, gradient.reshape(-1).float())
    kept = used.nonzero().squeeze(1)
    return _Gradient(kept, dense[kept])
