"""Variants of the blocks of a network, apart from the networks: run files hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Variants of the blocks; the defaults are the clean forms.

    Attributes:
        norm: `per_token` layer norm, or `joint` over tokens and channels.
        qkv: `per_head`: a head always owns the same rows of the qkv matrix; `sliced`: the
            active [q | k | v] rows are viewed as (heads, 16 + 16 + v), so that a head reads
            a contiguous slice of them. `joint` and `sliced` together are the authors' network.
        head_dropout: dropout before the classifier, in training; from 0 to below 1.
    """

    norm: Literal["per_token", "joint"] = "per_token"
    qkv: Literal["per_head", "sliced"] = "per_head"
    head_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
