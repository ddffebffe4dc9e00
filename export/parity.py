"""Exported model against torch model, on the same real images.

Logits, top-1 classes and accuracies are compared. A difference of logits is measured in standard
deviations of torch's logits, since their scale differs between networks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from elasticvit.errors import ExportError, NextStep
from elasticvit.precisions import FP16, FP32
from elasticvit.reading import Cosine, Count, NotNegative, Percent, Whole
from elasticvit.share_error import share_error
from export.quiet import cause_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from export.backend import LoadedModel

# in standard deviations of the logits; rounding in float32 stays below 1e-4; in 8 bits the accuracy
# alone counts
MAX_REL_DIFFS = {FP32: 1e-3, FP16: 5e-2}

# accepted in 8 bits where there are no accuracies. It is a net for broken files, whose logits have
# little to do with torch's; rounding to 8 bits leaves 0.97 and more, with random weights, too
MIN_COSINE = 0.9

MORE = 2.0  # times the difference that was seen; other CPUs sum in another order


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Exported model against torch on the same images.

    Files of an earlier version do not tell the attributes that may be None.

    Attributes:
        images: Number of images.
        max_abs_diff: Largest difference of a logit.
        max_rel_diff: Largest difference of a logit, in standard deviations of torch's logits.
        agreement: Top-1 agreement: images with the same highest logit, in percent.
        torch_accuracy: Top-1 accuracy of the torch model on these images, in percent; None if the
            images have no true classes.
        exported_accuracy: Top-1 accuracy of the exported model on these images, in percent; None
            likewise.
        min_cosine: Smallest cosine over the images between torch's logits and the exported ones.
        lost: Number of images that torch alone classifies right.
        gained: Number of images that the exported model alone classifies right.

    Raises:
        ValueError: Fields contradict each other.
    """

    images: Whole
    max_abs_diff: NotNegative
    max_rel_diff: NotNegative
    agreement: Percent
    torch_accuracy: Percent | None
    exported_accuracy: Percent | None
    min_cosine: Cosine | None = None
    lost: Count | None = None
    gained: Count | None = None

    def __post_init__(self) -> None:
        if (self.torch_accuracy is None) != (self.exported_accuracy is None):
            raise ValueError("torch_accuracy and exported_accuracy must be known both, or neither")
        if (self.lost or 0) + (self.gained or 0) > self.images:
            raise ValueError(f"lost and gained must be at most the {self.images} images together")

    def unlabelled(self) -> Parity:
        """The comparison of outputs alone, on images without true classes."""
        return replace(self, torch_accuracy=None, exported_accuracy=None, lost=None, gained=None)

    @property
    def accuracy_error(self) -> float | None:
        """Standard error of torch's accuracy, in percentage points; None without accuracies."""
        if self.torch_accuracy is None:
            return None
        return share_error(self.torch_accuracy, self.images)

    @property
    def drop(self) -> float | None:
        """By how much the exported model is less accurate, in percentage points; None without
        accuracies."""
        if self.torch_accuracy is None or self.exported_accuracy is None:
            return None
        return self.torch_accuracy - self.exported_accuracy

    @property
    def drop_error(self) -> float | None:
        """Standard error of `drop` in percentage points, image by image: only those that one of the
        two alone classifies right count. None if they are not known."""
        if self.lost is None or self.gained is None or self.drop is None:
            return None
        apart = (self.lost + self.gained) / self.images
        return 100 * math.sqrt(max(apart - (self.drop / 100) ** 2, 0) / self.images)

    def check(self, what: str, precision: str = FP32) -> None:
        """Refuse an exported model that differs from the torch model by more than rounding; in 8
        bits, where there are no accuracies, one whose logits point elsewhere.

        Args:
            what: Name of the exported model in the error.
            precision: Precision of the exported model.

        Raises:
            ExportError: The logits differ by too much.
        """
        limit = MAX_REL_DIFFS.get(precision, sys.float_info.max)
        if not self.max_rel_diff <= limit:  # also when it is not a number
            raise ExportError(
                f"{what} differs from torch: logits by up to {self.max_abs_diff:.3g}, "
                f"{self.max_rel_diff:.2g} of their standard deviation; at most {limit:g} "
                "is rounding. The file was not kept; try another format",
                settings=["format"],
            )
        judged = precision in MAX_REL_DIFFS or self.torch_accuracy is not None
        if not judged and self.min_cosine is not None and not self.min_cosine >= MIN_COSINE:
            raise ExportError(
                f"{what} in {precision} differs from torch: the cosine of the logits of an image "
                f"is {self.min_cosine:.3g}; at least {MIN_COSINE:g} is accepted where there is no "
                "accuracy. The file was not kept; name data of the same classes, so that the "
                "accuracy is compared, or try another precision or format",
                settings=["data", "precision", "format"],
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
    from elasticvit.nn.side_by_side import torch_logits

    ours: list[npt.NDArray[Any]] = []
    theirs: list[npt.NDArray[Any]] = []
    truth: list[npt.NDArray[Any]] = []
    done = 0
    for images, labels in batches:
        if limit is not None:
            images, labels = images[: limit - done], labels[: limit - done]
        ours.append(torch_logits(network, images).numpy())
        pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
        for image in pixels:
            theirs.append(logits_of(model, image[None], ours[0].shape[1:]))
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
    return parity_of(reference, exported, np.concatenate(truth))


def parity_of(
    reference: npt.NDArray[Any], exported: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> Parity:
    """Compare logits of torch and of an exported model.

    Args:
        reference: Torch's logits, finite, (n, classes).
        exported: Logits of the exported model, (n, classes).
        labels: True classes, (n,).
    """
    diff = float(np.abs(reference - exported).max())
    ours_right, theirs_right = reference.argmax(1) == labels, exported.argmax(1) == labels
    return Parity(
        images=len(labels),
        max_abs_diff=diff,
        max_rel_diff=diff / max(float(reference.std()), 1e-12),
        agreement=_percent(reference.argmax(1) == exported.argmax(1)),
        torch_accuracy=_percent(ours_right),
        exported_accuracy=_percent(theirs_right),
        min_cosine=float(cosines(reference, exported).min()),
        lost=int((ours_right & ~theirs_right).sum()),
        gained=int((theirs_right & ~ours_right).sum()),
    )


def accepted_diff(parity: Parity, precision: str) -> float:
    """Largest difference of a logit, in standard deviations, that is accepted where a file runs
    again, elsewhere: rounding, or twice what the export saw in a precision that rounds more.

    Args:
        parity: What the export saw.
        precision: Precision of the file.
    """
    return max(MAX_REL_DIFFS.get(precision, MAX_REL_DIFFS[FP32]), MORE * parity.max_rel_diff)


def cosines(reference: npt.NDArray[Any], exported: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cosine between two logits of each image, (n,) of (n, classes) each; 1 where both are zero."""
    one, other = reference.astype(np.float64), exported.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    both_zero = ~one.any(axis=1) & ~other.any(axis=1)
    found = (one * other).sum(axis=1) / np.maximum(lengths, 1e-300)
    return np.where(both_zero, 1.0, np.clip(found, -1.0, 1.0))


def logits_of(
    model: LoadedModel, image: npt.NDArray[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """What an exported model says of an image.

    Args:
        model: The exported model.
        image: The normalised image, float32 (1, R, R, channels).
        shape: Shape of the logits.

    Raises:
        ExportError: The model fails, or gives something else than logits of that shape.
    """
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
