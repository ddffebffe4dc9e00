"""The number format that a training computes in: weights stay fp32, most layers may run in 16 bits.

Losses, gradients of weights, the optimiser and the moving average are fp32 in any case.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

import msgspec
import torch
from msgspec import Meta
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ScalerState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the gradient scaler of fp16, as checkpoints hold it.

    Attributes:
        scale: Factor that losses are multiplied by.
        growth_tracker: Number of steps since the factor last changed.
    """

    scale: Annotated[float, Meta(gt=0)]
    growth_tracker: Annotated[int, Meta(ge=0)]


def chosen_precision(name: str, device: torch.device) -> str:
    """The precision that a name stands for on a device: `auto` is bf16 on a GPU that computes in
    it, fp16 on an older one, and fp32 on the CPU."""
    if name != "auto":
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


class Precision:
    """Runs forward passes in a precision, and updates weights that were trained in it.

    An update whose losses or gradients are not finite is skipped on the device itself, so that
    nothing has to be read to protect the weights: the optimiser must be a fused one.

    Args:
        name: `fp32`, `bf16` or `fp16`.
        device: Torch device that computes.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self._scaler = GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        return torch.autocast(
            self.device.type, dtype=TYPES.get(self.name, torch.bfloat16), enabled=self.name in TYPES
        )

    def scaled(self, loss: Tensor) -> Tensor:
        """A loss to take gradients of; those of fp16 would vanish without a factor."""
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def unscale(self, optimiser: torch.optim.Optimizer) -> None:
        """Take the factor of `scaled` out of the gradients."""
        self._scaler.unscale_(optimiser)

    def checked(self, norm: Tensor) -> Tensor:
        """The norm of the gradients; with fp16 0 where it is not finite, as is usual there: the
        update is skipped and the factor of `scaled` lowered."""
        return norm.nan_to_num(0.0, 0.0) if self._scaler.is_enabled() else norm

    def update(self, optimiser: torch.optim.Optimizer, losses: Tensor) -> None:
        """Take the optimiser's step unless a loss or a gradient is not finite.

        Args:
            optimiser: A fused optimiser, whose gradients went through `unscale`.
            losses: The losses behind these gradients, and their norm.
        """
        if self._scaler.is_enabled():  # a loss that is not finite has such gradients, too
            self._scaler.step(optimiser)
            self._scaler.update()
            return
        skip = 1 - torch.isfinite(losses).all().float()
        optimiser.found_inf = skip  # type: ignore[attr-defined]
        try:
            optimiser.step()
        finally:
            del optimiser.found_inf  # type: ignore[attr-defined]

    def state(self) -> ScalerState | None:
        """State of the gradient scaler; None if this precision has none."""
        if not self._scaler.is_enabled():
            return None
        plain = self._scaler.state_dict()
        return ScalerState(scale=plain["scale"], growth_tracker=plain["_growth_tracker"])

    def restore(self, state: ScalerState | None) -> None:
        """Go on from a state."""
        if state is not None and self._scaler.is_enabled():
            own = self._scaler.state_dict()
            changes = {"scale": state.scale, "_growth_tracker": state.growth_tracker}
            self._scaler.load_state_dict({**own, **changes})
