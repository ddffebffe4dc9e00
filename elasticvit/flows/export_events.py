"""What the export flow reports, in the order in which it happens."""

from __future__ import annotations

from dataclasses import dataclass

from elasticvit.events import Event, Progress
from elasticvit.precisions import FP32


@dataclass(frozen=True, kw_only=True)
class ExportPlanned(Event):
    """What the export will do, before anything is loaded.

    Attributes:
        subject: What is exported: a search, named by its folder, or another network in words.
        format: Name of the export format; of several with commas between them.
        images: Largest number of images that the file is compared with torch on.
        timed: Whether a device can time files of this format.
    """

    subject: str
    format: str
    images: int
    timed: bool


@dataclass(frozen=True, kw_only=True)
class ExportStarted(Event):
    """A network is being converted.

    Attributes:
        name: The architecture, or the name of the network.
        format: Name of the export format.
        precision: Precision of the file.
    """

    name: str
    format: str
    precision: str = FP32


@dataclass(frozen=True, kw_only=True)
class ModelConverted(Event):
    """The model's file is made, and not yet compared with torch.

    Attributes:
        bytes: Size of the file.
        seconds: Seconds that the conversion took.
    """

    bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ComparisonProgress(Progress):
    """Test images that torch and the file have been compared on."""


@dataclass(frozen=True, kw_only=True)
class FreshRunStarted(Event):
    """The file is being loaded and run in fresh processes of this computer."""


@dataclass(frozen=True, kw_only=True)
class TimingStarted(Event):
    """The file is being timed.

    Attributes:
        device: Name of the device.
    """

    device: str


@dataclass(frozen=True, kw_only=True)
class DeviceCheckStarted(Event):
    """The file's logits on a device are being compared with those here.

    Attributes:
        device: Name of the device.
    """

    device: str
