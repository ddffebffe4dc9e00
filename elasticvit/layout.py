"""What every architecture of a space has in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from elasticvit.errors import SpaceError
from elasticvit.reading import shown

MOST_CLASSES = 1_000_000
STAGES = 16  # most stages of a kind
LAYOUT_LIMITS = {
    "head_expansion": 64,
    "head_hidden": 65_536,
    "classes": MOST_CLASSES,
    "in_channels": 64,
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What every architecture of a space has in common.

    Attributes:
        conv_strides, conv_se: stride (1 or 2) and squeeze-and-excitation of each MBConv stage.
        attn_strides: stride of the downsampling block of each transformer stage.
        head_expansion, head_hidden: the head's first and second linear layer.
        classes: number of classes.
        in_channels: channels of the input image.

    Raises:
        SpaceError: a stride that is not 1 or 2, stages without squeeze-and-excitation named, or a
            number out of range.
    """

    conv_strides: tuple[int, ...] = (2, 2)
    conv_se: tuple[bool, ...] = (False, True)
    attn_strides: tuple[int, ...] = (2, 1, 2, 2)
    head_expansion: int = 6
    head_hidden: int = 1984
    classes: int = 1000
    in_channels: int = 3

    def __post_init__(self) -> None:
        for name in ("conv_strides", "attn_strides"):
            strides = getattr(self, name)
            if len(strides) > STAGES or any(s not in (1, 2) for s in strides):
                raise SpaceError(
                    f"layout: {name} is {shown(list(strides))}; it must be at most {STAGES} "
                    "strides, each 1 or 2"
                )
        if len(self.conv_se) != len(self.conv_strides):
            raise SpaceError(
                f"layout: conv_se is {shown(list(self.conv_se))}; it must be true or false for "
                f"each of the {len(self.conv_strides)} stages in conv_strides"
            )
        for name, most in LAYOUT_LIMITS.items():
            value, least = getattr(self, name), int(name != "classes")  # 0: without a classifier
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise SpaceError(
                    f"layout: {name} is {shown(value)}; it must be a whole number from {least} to "
                    f"{most:,}"
                )

    @property
    def n_conv(self) -> int:
        return len(self.conv_strides)

    @property
    def n_attn(self) -> int:
        return len(self.attn_strides)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, for TOML and JSON."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
