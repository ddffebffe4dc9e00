"""Which kernels and subnets are held out: used neither for fitting nor for any choice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from lut.keys import SUBNET, canonical, kind_of

NEVER_HELD_OUT = ("first_conv", "head")  # kinds of so few kernels that they are soon measured whole


@dataclass(frozen=True, kw_only=True)
class HeldOutSplit:
    """Held-out split: a share of all keys, selected by a hash of key and random seed alone.

    The hash of a subnet is taken of its key with comma-separated genes (`SubnetKey.comma_form`),
    whichever form a table has, so that tables of all versions hold out the same subnets.

    Attributes:
        seed: Random seed of the split; stored with the profile.
        kernel_share: Share of the kernels that is held out, but none of the kinds
            `NEVER_HELD_OUT`.
        subnet_share: Share of the subnets that is held out; large because there are always more
            subnets to fit with.
        fitted: Keys in the form of `lut.keys.canonical` that are not held out whatever their hash:
            subnets that a search chose. They are no fair sample of a space to judge by.
    """

    seed: int
    kernel_share: float = 0.125
    subnet_share: float = 0.5
    fitted: frozenset[str] = frozenset()

    def held_out(self, key: str) -> bool:
        """Whether the kernel or subnet of this key is held out.

        Raises:
            ArchError: A subnet's key that cannot be read.
        """
        if kind_of(key) in NEVER_HELD_OUT:
            return False
        name = canonical(key)
        if name in self.fitted:
            return False
        digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
        share = self.subnet_share if kind_of(key) == SUBNET else self.kernel_share
        return int.from_bytes(digest[:8], "big") < share * 2**64
