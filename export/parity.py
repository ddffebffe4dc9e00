"""Exported model against torch model, on the same real images.

Logits, top-1 classes and accuracies are compared. A difference of logits is measured in standard
deviations of torch's logits, since their scale differs between networks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from elasticvit.errors import ExportError, NextStep
from elasticvit.precisions import FP16, FP32
from elasticvit.reading import NotNegative, Percent, Whole
from export.quiet import cause_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from export.backend import LoadedModel

# in standard deviations of the logits; rounding in float32 stays below 1e-4; in 8 bits the accuracy
# alone counts
MAX_REL_DIFFS = {FP32: 1e-3, FP16: 5e-2}
MAX_ACCURACY_LOSS = 0.5  # percentage points


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Exported model against torch on the same images.

    Attributes:
        images: Number of images.
        max_abs_diff: Largest difference of a logit.
        max_rel_diff: Largest difference of a logit, in standard deviations of torch's logits.
        agreement: Top-1 agreement: images with the same highest logit, in percent.
        torch_accuracy: Top-1 accuracy of the torch model on these images, in percent.
        exported_accuracy: Top-1 accuracy of the exported model on these images, in percent.
    """

    images: Whole
    max_abs_diff: NotNegative
    max_rel_diff: NotNegative
    agreement: Percent
    torch_accuracy: Percent
    exported_accuracy: Percent

    def check(self, what: str, precision: str = FP32) -> None:
        """Refuse an exported model that differs from the torch model by more than rounding.

        Args:
            what: Name of the exported model in the error.
            precision: Precision of the exported model.

        Raises:
            ExportError: The logits or the accuracies differ by too much.
        """
        limit = MAX_REL_DIFFS.get(precision, sys.float_info.max)
        if not self.max_rel_diff <= limit:  # also when it is not a number
            raise ExportError(
                f"{what} differs from torch: logits by up to {self.max_abs_diff:.3g}, "
                f"{self.max_rel_diff:.2g} of their standard deviation; at most {limit:g} "
                "is rounding. The file was not kept; try another format",
                settings=["format"],
            )
        if (
            precision in MAX_REL_DIFFS
            and abs(self.exported_accuracy - self.torch_accuracy) > MAX_ACCURACY_LOSS
        ):
            raise ExportError(
                f"{what} reaches {self.exported_accuracy:.2f} % on {self.images} images, torch "
                f"{self.torch_accuracy:.2f} %; at most {MAX_ACCURACY_LOSS:g} points apart are "
                "accepted. The file was not kept; try another format",
                settings=["format"],
            )


def compare(
    network: nn.Module,
    model: LoadedModel,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Parity:
    """Run torch and the exported model over images.

    Args:
        network: The torch model, not yet fused, in evaluation mode.
        model: The exported model.
        batches: Normalised images (B, C, R, R) and labels (B,).
        limit: Greatest number of images; None for all.
        progress: Called after every image with the number of images done.

    Raises:
        ExportError: There is no image, torch's logits are not finite, or the exported model fails
            or gives something else than logits.
    """
    import torch

    ours: list[npt.NDArray[Any]] = []
    theirs: list[npt.NDArray[Any]] = []
    truth: list[npt.NDArray[Any]] = []
    done = 0
    for images, labels in batches:
        if limit is not None:
            images, labels = images[: limit - done], labels[: limit - done]
        with torch.inference_mode():
            ours.append(network(images).numpy())
        pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
        for image in pixels:
            theirs.append(_logits(model, image[None], ours[0].shape[1:]))
            done += 1
            if progress is not None:
                progress(done)
        truth.append(labels.numpy())
        if limit is not None and done >= limit:
            break
    if not done:
        raise ExportError("no images to compare on; the data set's test part is empty")
    reference, exported = np.concatenate(ours), np.stack(theirs)
    if not np.isfinite(reference).all():
        raise ExportError(
            "the torch model's own outputs are not finite; train or search again before exporting",
            next_step=NextStep("train", {"fresh": True}),
        )
    label = np.concatenate(truth)
    diff = float(np.abs(reference - exported).max())
    return Parity(
        images=done,
        max_abs_diff=diff,
        max_rel_diff=diff / max(float(reference.std()), 1e-12),
        agreement=_percent(reference.argmax(1) == exported.argmax(1)),
        torch_accuracy=_percent(reference.argmax(1) == label),
        exported_accuracy=_percent(exported.argmax(1) == label),
    )


def _logits(
    model: LoadedModel, image: npt.NDArray[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """What the exported model says of an image (1, R, R, channels): logits of a shape."""
    try:
        logits = np.asarray(model(image))
    except Exception as error:  # runtimes raise anything
        raise ExportError(
            f"the exported model fails on an image: {cause_of(error)}. The file was not kept; try "
            "another format",
            settings=["format"],
        ) from error
    if logits.shape != shape or logits.dtype.kind != "f":
        raise ExportError(
            f"the exported model gives {logits.dtype} outputs of shape {logits.shape}, torch "
            f"logits of shape {shape}. The file was not kept; try another format",
            settings=["format"],
        )
    return logits


def _percent(hits: npt.NDArray[Any]) -> float:
    return 100.0 * float(np.mean(hits))
