"""What a search reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from elasticvit.arch import Arch
from elasticvit.events import Progress


@dataclass(frozen=True, kw_only=True)
class SearchProgress(Progress):
    """How far an evolution is; `done` and `total` count evaluated architectures.

    Attributes:
        generation: Number of the generation under way; 0 is the initial population.
        generations: Number of the last generation.
        best: The most accurate architecture so far.
        best_accuracy: Its accuracy, as the evaluator gave it.
        best_load: The largest share of a target that it uses up.
        best_costs: Its costs, one a cap, in the units of the caps.
    """

    generation: int
    generations: int
    best: Arch
    best_accuracy: float
    best_load: float
    best_costs: tuple[float, ...]
