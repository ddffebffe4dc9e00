"""Zero-cost proxies that run freshly initialised networks, for `proxies.py`.

Both need a forward pass or two of each architecture, so that they are thousands of times dearer
than the proxies of `elasticvit.searching.proxy`. Images are random numbers of mean 0 and deviation
1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.kernels import Layout
from elasticvit.nn import Subnet

IMAGES = 32


class SignKernel(TorchFunctionMode):
    """Sums, over all activations of a network, how many units have the same sign in two images."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = torch.zeros(IMAGES, IMAGES, dtype=torch.float64)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is F.hardswish:
            code = (args[0].reshape(IMAGES, -1) > 0).float()
            self.kernel += (code @ code.T + (1 - code) @ (1 - code).T).double()
        return func(*args, **(kwargs or {}))


def images_apart(subnet: Subnet, images: Tensor) -> float:
    """How differently a network's activations part images: the logarithm of the determinant of the
    kernel of their signs (Mellor et al., "Neural Architecture Search without Training", ICML
    2021)."""
    with torch.no_grad(), SignKernel() as signs:
        subnet(images)
    return float(torch.linalg.slogdet(signs.kernel)[1])


def saliency(subnet: Subnet, images: Tensor) -> float:
    """Sum of |weight x gradient| of a loss on random labels (SNIP: Lee et al., ICLR 2019), as the
    zero-cost proxies of Abdelfattah et al. (ICLR 2021) use it."""
    logits = subnet(images)
    labels = torch.arange(IMAGES) % logits.shape[1]
    weights = list(subnet.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), weights)
    parts = [(w * g).detach().abs().sum() for w, g in zip(weights, gradients, strict=True)]
    return float(torch.stack(parts).sum())


NETWORK_PROXIES = {"naswot": images_apart, "snip": saliency}


def network_scores(archs: ArchBatch, layout: Layout, seed: int = 0) -> dict[str, FloatArray]:
    """Scores of architectures, by proxy, shape (n,)."""
    found: dict[str, list[float]] = {name: [] for name in NETWORK_PROXIES}
    for arch in archs:
        subnet, images = _fresh(arch, layout, seed)
        for name, score in NETWORK_PROXIES.items():
            found[name].append(score(subnet, images))
    return {name: np.array(values) for name, values in found.items()}


def _fresh(arch: Arch, layout: Layout, seed: int) -> tuple[Subnet, Tensor]:
    """A network whose batch norms use the statistics of the batch, none of them zero, since a
    residual branch that starts at zero would hide what is in it."""
    torch.manual_seed(seed)
    subnet = Subnet(arch, layout).train()
    with torch.no_grad():
        for name, parameter in subnet.named_parameters():
            if name.endswith("weight") and parameter.ndim == 1:
                parameter.fill_(1.0)
    images = torch.randn(IMAGES, 3, arch.resolution, arch.resolution)
    return subnet, images
