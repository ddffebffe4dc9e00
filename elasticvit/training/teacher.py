"""Teachers that are networks: any module with logits, its input size and its normalisation.

They see the same images as the subnets, mixed ones too, resized and normalised as each was trained
with. `elasticvit.training.targets` says what is learned from them.

Shapes: B batch, K classes, R side of the images of the training, S side that a teacher takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elasticvit.training.augment import fitted
from elasticvit.training.distillation import TeacherInfo, temperature_of


@dataclass(frozen=True, eq=False, kw_only=True)
class TeacherNetwork:
    """A network that teaches.

    Attributes:
        info: Which network it is.
        network: The network, from images (B, 3, S, S) to logits (B, K).
        side: Side S of the images that it takes, in pixels.
        mean: Mean of each channel that its images are normalised by, for pixels in 0..1.
        std: Standard deviation of each channel that its images are normalised by.
    """

    info: TeacherInfo
    network: nn.Module
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Teachers:
    """One network or several that teach together; a `Teacher`.

    Args:
        networks: The networks, at least one; they are frozen and put into evaluation mode.
        mean: Mean of each channel that the images of the training are normalised by.
        std: Standard deviation of each channel that they are normalised by.
        device: Torch device of the training.
    """

    def __init__(
        self,
        networks: Sequence[TeacherNetwork],
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self.networks = tuple(networks)
        self.temperature = temperature_of(len(self.networks))
        self._mean, self._std = _channels(mean, device), _channels(std, device)
        for teacher in self.networks:
            teacher.network.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """The mean over the networks of softmax(logits / temperature), float32 (B, K).

        Args:
            images: Images (B, 3, R, R), normalised as those of the training, on its device.
        """
        pixels = images.float() * self._std + self._mean
        taught = [
            (self._logits(teacher, pixels).float() / self.temperature).softmax(dim=1)
            for teacher in self.networks
        ]
        return torch.stack(taught).mean(dim=0)

    def _logits(self, teacher: TeacherNetwork, pixels: Tensor) -> Tensor:
        """Logits of a network for pixels in 0..1 (B, 3, R, R)."""
        mean, std = (_channels(values, pixels.device) for values in (teacher.mean, teacher.std))
        logits: Tensor = teacher.network((fitted(pixels, teacher.side) - mean) / std)
        return logits


def weights_of(network: nn.Module) -> str:
    """SHA-256 of the names, forms and values of all parameters and statistics of a network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(-1, 1, 1)
