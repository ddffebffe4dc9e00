"""What an export can be of: a network, the images that it is compared on, and what is known of it.

The subnet of a search is one (`export_search`); the others are weights that were not searched here:
an architecture out of a supernet (`export_supernet`) and a network of timm's (`export_timm`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from elasticvit.events import Notice
from elasticvit.precisions import FP32, Precision

if TYPE_CHECKING:
    from elasticvit.flows.export_search import Prediction
    from elasticvit.nn import Subnet
    from elasticvit.nn.timm_network import TimmNetwork
    from elasticvit.training.data import ImageData
    from export.card_parts import Fit


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How weights expect pictures to be brought to the size of the input; see
    `export.card_parts.ImageInput`.

    Attributes:
        fit: What is done first; None if not known, or if it is another way.
        crop: Share of the shorter side that the network sees; None likewise.
    """

    fit: Fit | None = None
    crop: float | None = None


class ExportSubject(Protocol):
    """A network to export.

    Attributes:
        subnet: The network, on the CPU in evaluation mode.
        macs_m: Multiply-accumulates, in millions.
        device: Device that it was chosen for; None if for none.
        predictions: Predicted latency by device.
        sources: JSON-ready facts about where it comes from.
        precision: Precision that it was chosen for.
        labelled: Whether the images have true classes, so that there is an accuracy.
        remarks: What a person should know of it.
        fitting: How its weights expect pictures; None: as its images are read.
    """

    @property
    def subnet(self) -> Subnet | TimmNetwork: ...
    @property
    def macs_m(self) -> float: ...
    @property
    def device(self) -> str | None: ...
    @property
    def predictions(self) -> Mapping[str, Prediction]: ...
    @property
    def sources(self) -> Mapping[str, Any]: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def remarks(self) -> tuple[Notice, ...]: ...
    @property
    def fitting(self) -> Fitting | None: ...

    def images(self) -> ImageData:
        """The images that the file is compared with torch on.

        Raises:
            DataError: They are gone or unreadable, or of other classes.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class OutsideSubject:
    """A network that no search of the workspace chose (see `ExportSubject`).

    Attributes:
        data: The images.
    """

    subnet: Subnet | TimmNetwork
    data: ImageData
    labelled: bool
    macs_m: float
    sources: Mapping[str, Any]
    device: str | None = None
    precision: Precision = FP32
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    remarks: tuple[Notice, ...] = ()
    fitting: Fitting | None = None

    def images(self) -> ImageData:
        """The images that the file is compared with torch on."""
        return self.data


def fitting_of(images: ImageData, resolution: int) -> Fitting:
    """How the readers of a data set bring its pictures to a size."""
    from elasticvit.training.decoded_batches import seen_share

    if images.test.pixels is not None:
        return Fitting(fit="crop_then_resize", crop=1.0)
    return Fitting(fit="resize_then_crop", crop=seen_share(resolution))


def without_images(count: int) -> Notice:
    """What is said of an export that has random images alone."""
    return Notice(
        text=f"there is no data set, so the file is compared with torch on at most {count} random "
        "images: outputs alone, without an accuracy; name data of the same classes for one"
    )
