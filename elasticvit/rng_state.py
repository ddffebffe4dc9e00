"""State of a random generator as a JSON file holds it, checked before numpy takes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

WORD = 2**128  # numbers of the generator are below it


class PCG64Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """The two numbers of numpy's PCG64.

    Attributes:
        state: Position, below 2**128.
        inc: Odd number that tells streams apart, below 2**128.
    """

    state: int
    inc: int

    def __post_init__(self) -> None:
        if not 0 <= self.state < WORD:
            raise ValueError("state must be a whole number from 0 to 2**128 - 1")
        if not (0 <= self.inc < WORD and self.inc % 2):
            raise ValueError("inc must be an odd whole number from 1 to 2**128 - 1")


class RngState(msgspec.Struct, frozen=True, kw_only=True):
    """State of numpy's default generator, as `np.random.PCG64().state` gives it."""

    bit_generator: Literal["PCG64"]
    state: PCG64Numbers
    has_uint32: Literal[0, 1]
    uinteger: Annotated[int, Meta(ge=0, le=2**32 - 1)]

    @classmethod
    def of(cls, rng: np.random.Generator) -> RngState:
        """The state of a generator.

        Raises:
            TypeError: The generator is not of numpy's default kind.
        """
        if not isinstance(rng.bit_generator, np.random.PCG64):
            raise TypeError(
                f"random generator {type(rng.bit_generator).__name__}; what "
                "numpy.random.default_rng makes is needed (PCG64)"
            )
        return msgspec.convert(rng.bit_generator.state, cls)

    def restore(self, rng: np.random.Generator) -> None:
        """Bring a generator into this state."""
        rng.bit_generator.state = self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, which numpy takes as well."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain
