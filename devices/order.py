"""The order of a profile: rounds over all models, each round in another random order.

Interleaving spreads slow drifts (heat, other programs) over all models instead of biasing
those that came last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from devices.protocol import TimedModel


def as_sequence(models: Iterable[TimedModel]) -> Sequence[TimedModel]:
    """The models as a sequence, which can be iterated again; a sequence is returned as it is."""
    return models if isinstance(models, Sequence) else list(models)


def round_order(count: int, round_: int, seed: int) -> list[int]:
    """Positions of `count` models, 0 to `count` - 1, in the order of one round."""
    return [int(i) for i in np.random.default_rng((seed, round_)).permutation(count)]


def interleaved(count: int, rounds: int, seed: int) -> Iterator[tuple[int, int]]:
    """Pairs (round, position of the model) of all timings, in the order to make them."""
    for round_ in range(rounds):
        for index in round_order(count, round_, seed):
            yield round_, index
