"""Networks of timm's as they are exported: the network, its input, and its form for deployment."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elasticvit.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class TimmInput:
    """How a network of timm's is fed.

    Attributes:
        side: Side of the square images in pixels.
        channels: Channels of the images.
        mean, std: Mean and standard deviation of each channel, for pixels in 0..1.
        crop: Share of the shorter side that is cut out of the middle of a picture, once that has
            been resized by Pillow's bicubic filter; None where timm fits pictures otherwise.
    """

    side: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float | None


class TimmNetwork(nn.Module):
    """A network of timm's in evaluation mode.

    Args:
        name: Name in timm.
        network: The network; logits (B, classes) of images (B, C, R, R).

    Attributes:
        arch, layout: None, since it is of no search space.
        resolution, in_chans, num_classes: Side and channels of the images; number of classes.
        input: How it is fed.

    Raises:
        ModelError: Its images are not square, or it gives something else than logits.
    """

    arch: None = None
    layout: None = None

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        if getattr(network, "num_classes", None) == 0:
            raise ModelError(
                f"timm's {name} has no classes (num_classes is 0), so it gives features, not "
                "logits; name a network that classifies images, or weights with a classifier",
                settings=["timm"],
            )
        self.name, self.network = name, network.eval().requires_grad_(False)
        self.input = _input(name, network)
        self.resolution, self.in_chans = self.input.side, self.input.channels
        with torch.no_grad():  # not inference mode: networks may keep what they compute
            logits = self.network(self.example())
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            raise ModelError(
                f"timm's {name} does not give logits (1, classes); name a network that classifies "
                "images",
                settings=["timm"],
            )
        self.num_classes = int(logits.shape[1])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, R, R)."""
        logits: Tensor = self.network(images)
        return logits

    def example(self, count: int = 1) -> Tensor:
        """Random images (count, C, R, R), always the same."""
        side, channels = self.input.side, self.input.channels
        generator = torch.Generator().manual_seed(0)
        return torch.randn(count, channels, side, side, generator=generator)

    def deployed(self) -> nn.Module:
        """A copy with branches that were for training alone merged into one, where the network
        knows how to (RepViT, FastViT, MobileOne)."""
        from timm.utils.model import reparameterize_model

        network: nn.Module = reparameterize_model(copy.deepcopy(self.network))
        with torch.no_grad():
            network.eval()(self.example())  # fills what is computed once, such as position biases
        return network

    def macs(self) -> int:
        """Multiply-accumulates of one image in the form for deployment, as torch counts them."""
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode

        network, image = self.deployed(), self.example()
        products = sdpa_kernel(SDPBackend.MATH)  # torch counts nothing for a CPU's fused attention
        with products, FlopCounterMode(display=False) as counter, torch.no_grad():
            network(image)
        return int(counter.get_total_flops()) // 2


def enliven(network: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    """Give a freshly initialised network weights like trained ones, in place.

    Fresh norms and scales hold zeros, ones and tiny constants by which whole branches vanish, which
    a converter then leaves out. Every parameter whose values are all equal is drawn anew, and batch
    norms get the statistics of some images.

    Args:
        network: The network.
        images: Normalised images (B, C, R, R), B at least 2.
        generator: Source of all that is drawn.
    """
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.numel() and bool((value == value.flatten()[0]).all()):
                draw = torch.rand(value.shape, generator=generator) - 0.5
                value.copy_(0.2 * draw if "bias" in name.rpartition(".")[2] else 1 + 0.5 * draw)
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        network.eval()
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        network(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()


def _input(name: str, network: nn.Module) -> TimmInput:
    from timm.data import resolve_model_data_config

    facts: dict[str, Any] = resolve_model_data_config(network)
    channels, height, width = (int(n) for n in facts["input_size"])
    if height != width:
        raise ModelError(
            f"timm's {name} takes images of {height}x{width} pixels; only square ones can be "
            "exported",
            settings=["timm"],
        )
    crop, bicubic = float(facts["crop_pct"]), facts["interpolation"] == "bicubic"
    return TimmInput(
        side=height,
        channels=channels,
        mean=_floats(facts["mean"]),
        std=_floats(facts["std"]),
        crop=crop if bicubic and facts["crop_mode"] == "center" and 0 < crop <= 1 else None,
    )


def _floats(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
