"""What is said at the end about images that could not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elasticvit.events import Notice

if TYPE_CHECKING:
    from elasticvit.training.data import ImageData

USES = {  # of the parts of a data set
    "train": "training images",
    "search": "images held out to choose by",
    "test": "images held out for the final figure",
}


def unreadable_notices(images: ImageData) -> list[Notice]:
    """A warning for each part of a data set of which images could not be read so far."""
    notices = []
    for name, part in (("train", images.train), ("search", images.search), ("test", images.test)):
        if len(part.unreadable):
            notices.append(
                Notice(
                    text=f"{len(part.unreadable):,} of {len(part):,} {USES[name]} could not be "
                    "read, and another image of the same class took the place of each: "
                    f"{part.unreadable.names()}",
                    warning=True,
                )
            )
    return notices
