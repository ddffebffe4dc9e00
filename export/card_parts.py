"""The parts of the card of an exported model: its input, its latency, its proofs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from elasticvit.reading import NotNegative, Percent, Positive, Whole

Fit = Literal["resize_then_crop", "crop_then_resize"]


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How to feed the model: RGB in 0..1, then (x - mean) / std a channel.

    Attributes:
        shape: Shape of the input tensor, (1, R, R, channels).
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        layout: Order of the axes.
        dtype: Type of the values.
        channels: Order of the channels.
        fit: How a picture becomes a square of R pixels: `resize_then_crop` brings its shorter side
            to R / crop pixels, rounded down, by Pillow's bicubic filter, and cuts out the middle;
            `crop_then_resize` cuts out the middle square and brings it to R pixels by torch's
            bicubic interpolation (with a filter that averages where it shrinks). None if not known.
        crop: Share of the shorter side that the network sees; None if not known.
    """

    shape: tuple[Whole, Whole, Whole, Whole]
    mean: tuple[float, ...]
    std: tuple[Positive, ...]
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["float32"] = "float32"
    channels: Literal["RGB"] = "RGB"
    fit: Fit | None = None
    crop: Annotated[float, Meta(gt=0, le=1)] | None = None


@dataclass(frozen=True, kw_only=True)
class ExportTiming:
    """Latency of the exported file on a device, beside what the search predicted.

    Attributes:
        device: Name of the device.
        source: Where the figures come from, such as `host:CPU model`.
        runtime: Name and version of the runtime.
        threads: Number of inference threads.
        cores: The cores that were used, such as `1` or `4-7`.
        measured_ms: Latency by the estimator of the latency table, so that it may stand beside
            the prediction.
        estimator: The estimator in words.
        median_ms: Median of all runs, which other programs on the device make longer.
        low_ms: Median of the fastest round.
        high_ms: Median of the slowest round.
        rounds: Number of rounds.
        runs: Number of runs in all rounds.
        predicted_ms: Predicted latency on this device; None if the search did not price it.
        upper_ms: Upper bound of the predicted latency; None if there is none.
        target_ms: Latency cap of the search on this device; None if there was none.
    """

    device: str
    source: str
    runtime: str
    threads: Whole
    cores: str
    measured_ms: Positive
    estimator: str
    median_ms: Positive
    low_ms: Positive
    high_ms: Positive
    rounds: Whole
    runs: Whole
    predicted_ms: Positive | None = None
    upper_ms: Positive | None = None
    target_ms: Positive | None = None

    @property
    def ratio(self) -> float | None:
        """Predicted latency over measured latency; None if there is no prediction."""
        return None if self.predicted_ms is None else self.predicted_ms / self.measured_ms

    @property
    def kept(self) -> bool | None:
        """Whether the measured latency keeps the cap of the search; None if there was none."""
        return None if self.target_ms is None else self.measured_ms <= self.target_ms


@dataclass(frozen=True, kw_only=True)
class ProofFile:
    """The file with test images and torch's logits (`export.proof_images`).

    Attributes:
        file: Its name beside the card.
        sha256: Its SHA-256.
        images: Number of images.
    """

    file: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    images: Whole


@dataclass(frozen=True, kw_only=True)
class DeviceCheck:
    """Logits of the file on a device beside those that it gives on the exporting computer.

    Attributes:
        device: Name of the device.
        source: Where the figures come from.
        runtime: Name and version of the runtime there.
        images: Number of test images.
        finite: Whether all logits there are finite, and as many as here.
        max_abs_diff: Largest difference of a logit; None unless they are finite.
        max_rel_diff: Largest difference of a logit, in standard deviations of the logits here; None
            unless they are finite.
        agreement: Images with the same highest logit, in percent.
        accepted: Largest `max_rel_diff` that is accepted.
    """

    device: str
    source: str
    runtime: str
    images: Whole
    finite: bool
    max_abs_diff: NotNegative | None
    max_rel_diff: NotNegative | None
    agreement: Percent
    accepted: Positive

    @property
    def passed(self) -> bool:
        """Whether the file computes on the device what it computes here."""
        return self.max_rel_diff is not None and self.max_rel_diff <= self.accepted

    def __str__(self) -> str:
        """What was seen, to be read after the file's name."""
        where = f"on {self.device} ({self.runtime}): of {self.images} images"
        if self.max_abs_diff is None:
            return f"{where} not all logits are finite"
        return (
            f"{where} {self.agreement:.0f} % get the same class as on the exporting computer, "
            f"logits differ by at most {self.max_abs_diff:.1e}"
        )
