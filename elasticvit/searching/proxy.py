"""Scores that stand for accuracy where no supernet is trained.

A score says nothing of how many images will be classified right; it only orders architectures. What
a search under a latency cap needs is the order among architectures of about the same cost, which is
harder than the order over a whole space, where whatever grows with size does well.
`benchmarks/proxies.py` measures both on accuracies of a trained supernet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost, StageTables
from elasticvit.cost_parameters import ParameterCost
from elasticvit.errors import SettingError
from elasticvit.kernels import (
    FFN,
    QK_DIM,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    MBConv,
)
from elasticvit.reading import shown
from elasticvit.space import SearchSpace

Score = Callable[[ArchBatch], FloatArray]


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A score of architectures.

    Attributes:
        name: Name of the proxy.
        what: What it is made of, for people.
        worth: What is known of its rank correlation with accuracies.
        of: Gives the score of a space's architectures: a function of a batch, shape (n,); more is
            better.
    """

    name: str
    what: str
    worth: str
    of: Callable[[SearchSpace], Score]

    @property
    def about(self) -> str:
        """What it is and what it is worth, for people."""
        return f"{self.what}, which is no accuracy; {self.worth}"


def entropy(kernel: Kernel) -> float:
    """Logarithms of the number of inputs that each layer of a kernel sums over, added up: what a
    network can express by the principle of maximum entropy (Sun et al., "MAE-DET", ICML 2022;
    Shen et al., "DeepMAD", CVPR 2023, equation 4)."""
    match kernel:
        case FirstConv():
            fans = [9 * kernel.cin]
        case Downsample():
            return entropy(kernel.as_mbconv)
        case MBConv():
            fans = [kernel.kernel**2, kernel.inner]
            fans += [kernel.cin] if kernel.expansion > 1 else []
        case Attention():
            fans = [kernel.width, QK_DIM, kernel.size**2, kernel.heads * kernel.v_dim]
        case FFN():
            fans = [kernel.width, kernel.inner]
        case Head():
            fans = [kernel.width, kernel.inner, kernel.hidden]
        case _:
            raise TypeError(f"{type(kernel).__name__} is not a kernel kind")
    return float(np.log(fans).sum())


def _macs(space: SearchSpace) -> Score:
    cost = MacsCost(space)
    return lambda batch: np.log(cost.price(batch))


def _parameters(space: SearchSpace) -> Score:
    cost = ParameterCost(space)
    return lambda batch: np.log(cost.price(batch))


def _entropy(space: SearchSpace) -> Score:
    return StageTables(space, lambda kernels: np.array([entropy(k) for k in kernels])).sum


def _capacity(space: SearchSpace) -> Score:
    macs, parameters = MacsCost(space), ParameterCost(space)

    def score(batch: ArchBatch) -> FloatArray:
        both: FloatArray = np.log(macs.price(batch)) + np.log(parameters.price(batch))
        return both

    return score


WORTH = (
    "its rank correlation (Kendall's tau) with the test accuracies of 1,000 subnets of tiny on "
    "CIFAR-10 is {all:.2f} in all, but {same:+.2f} among those of the same multiply-accumulates, "
    "where chance is 0 and other images give 0.34"
)
# `python benchmarks/proxies.py`: over all architectures, and over pairs of the same MACs
TAU = {
    "macs": (0.50, 0.04),
    "capacity": (0.49, -0.04),
    "parameters": (0.45, -0.04),
    "entropy": (0.33, -0.12),
}
PROXIES: Mapping[str, Proxy] = {
    name: Proxy(
        name=name, what=what, worth=WORTH.format(all=TAU[name][0], same=TAU[name][1]), of=of
    )
    for name, what, of in (
        ("macs", "logarithm of multiply-accumulates", _macs),
        ("capacity", "logarithm of multiply-accumulates times parameters", _capacity),
        ("parameters", "logarithm of the number of parameters", _parameters),
        ("entropy", "entropy of the layers (DeepMAD)", _entropy),
    )
}


def find_proxy(name: str) -> Proxy:
    """A proxy by its name.

    Raises:
        SettingError: There is none of that name.
    """
    if name not in PROXIES:
        raise SettingError(
            f"proxy is {shown(name)}; known are {', '.join(PROXIES)}", settings=["proxy"]
        )
    return PROXIES[name]


def scaled(space: SearchSpace, score: Score) -> Score:
    """A score from 0 for the smallest architecture of the space to 100 for the largest."""
    low, high = score(ArchBatch.of([space.smallest, space.largest]))
    width = max(float(high - low), 1e-12)
    return lambda batch: np.clip(100 * (score(batch) - low) / width, 0, 100)
