"""Names of ImageNet's classes, as timm ships them; numbers for classes that have no names."""

from __future__ import annotations

SUBSET, CLASSES = "imagenet-1k", 1000


def imagenet_labels(classes: int, subset: str = SUBSET) -> tuple[str, ...]:
    """Names of the classes of a network that was trained on ImageNet.

    Args:
        classes: Number of classes.
        subset: ImageNet's subset in timm's words.

    Returns:
        One name a class; the numbers from 0 if timm has no such list, or one of another length.
    """
    from timm.data import ImageNetInfo

    try:
        info = ImageNetInfo(subset)
        labels = tuple(str(label) for label in info.label_descriptions())
    except (AssertionError, KeyError, OSError):
        return class_numbers(classes)
    return labels if len(labels) == classes else class_numbers(classes)


def class_numbers(classes: int) -> tuple[str, ...]:
    """Numbers in place of names."""
    return tuple(str(number) for number in range(classes))
