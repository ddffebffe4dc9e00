"""The rule by which a file is rejected that is less accurate than torch's network.

Both answer the same images, so they are compared image by image. A file is rejected if

1. its accuracy is lower than torch's by more percentage points than are allowed, and
2. that is no chance: if a file as accurate as torch answered, each image that only one of the two
   classifies right would be torch's or the file's with equal probability. The probability that
   torch has as many of them as it has, or more, is below 5 % (the exact test of McNemar,
   Psychometrika 12, 1947).

So a single flipped image among few rejects nothing, whatever share of the accuracy it is, while on
thousands of images a drop just above the limit does. Where the first holds and the second does not,
more images are needed to tell, and the export says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binom  # type: ignore[import-untyped]

from export.parity import Parity

MAX_ACCURACY_DROP = 0.5  # percentage points
CHANCE = 0.05  # a drop that chance brings about more often than this is no proof


@dataclass(frozen=True, kw_only=True)
class AccuracyDrop:
    """What the comparison with torch says of a file's accuracy.

    Attributes:
        parity: The comparison.
        allowed: Largest drop that is accepted, in percentage points.
        chance: Probability of as many lost images if the file were as accurate as torch.
    """

    parity: Parity
    allowed: float
    chance: float

    @classmethod
    def of(cls, parity: Parity, allowed: float = MAX_ACCURACY_DROP) -> AccuracyDrop:
        """What a comparison says.

        Args:
            parity: The comparison, with numbers of lost and gained images.
            allowed: Largest drop that is accepted, in percentage points.
        """
        lost, gained = parity.lost or 0, parity.gained or 0
        chance = float(binom.sf(lost - 1, lost + gained, 0.5))
        return cls(parity=parity, allowed=allowed, chance=chance)

    @property
    def too_large(self) -> bool:
        """Whether a drop was seen that is larger than is allowed."""
        return self.parity.drop is not None and self.parity.drop > self.allowed + 1e-9

    @property
    def rejected(self) -> bool:
        """whether the file is rejected: the drop is too large, and no chance."""
        return self.too_large and self.chance < CHANCE

    @property
    def doubtful(self) -> bool:
        """Whether the drop is too large, but may be chance."""
        return self.too_large and not self.rejected

    def __str__(self) -> str:
        """What was seen, as a sentence without a full stop."""
        p = self.parity
        if p.drop is None:
            return "the images have no true classes, so there is no accuracy"
        error = "" if p.drop_error is None else f" (standard error {p.drop_error:.2f})"
        return (
            f"{p.exported_accuracy:.2f} % of {p.images:,} test images are classified right, by "
            f"torch {p.torch_accuracy:.2f} %: {p.drop:.2f} points less{error}, at most "
            f"{self.allowed:g} are accepted; torch alone is right on {p.lost or 0}, the file alone "
            f"on {p.gained or 0}, which chance brings about with probability {self.chance:.2g}"
        )
