"""Events of a search, besides `elasticvit.searching.progress.SearchProgress` and notices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elasticvit.events import Event
from elasticvit.searching.caps import Cap, Reach
from elasticvit.searching.plan import SearchPlan
from elasticvit.searching.progress import SearchProgress
from elasticvit.searching.top import RankedArch, TopRanked
from elasticvit.searching.winner import Measured

__all__ = [
    "CapsResolved",
    "FinalistMeasured",
    "RankedArch",
    "ResolvedCap",
    "ScoresChosen",
    "SearchPlanned",
    "SearchProgress",
    "SearchStarted",
    "TopRanked",
]


@dataclass(frozen=True, kw_only=True)
class SearchStarted(Event):
    """What is searched, before anything is loaded.

    Attributes:
        run: Folder of the training run, or name of the supernet.
        budget_s: Seconds that the whole search is meant to take.
        longest_s: Seconds that it may take on a slow machine; those of the budget if one is named.
    """

    run: str
    budget_s: float
    longest_s: float


@dataclass(frozen=True, kw_only=True)
class ScoresChosen(Event):
    """There is no supernet: what orders the architectures instead.

    Attributes:
        source: What the scores are, such as `proxy macs`.
        about: What is known of their worth.
    """

    source: str
    about: str


@dataclass(frozen=True, kw_only=True)
class ResolvedCap:
    """A cap, what the space can do, and where the numbers come from.

    Attributes:
        cap: The cap; that of the first goal if there are several.
        targets: The target of each goal.
        reach: Range of `Cap.bound` over the space.
        coverage: Nominal coverage of the upper bound that is capped; None without a bound.
        origin: Where the latencies come from, for people; None for multiply-accumulates.
        remarks: In what the prices differ from what will run.
    """

    cap: Cap
    targets: tuple[float, ...]
    reach: Reach
    coverage: float | None = None
    origin: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def binds(self) -> bool:
        """Whether any architecture of the space exceeds the target."""
        return min(self.targets) < self.reach.high


@dataclass(frozen=True, kw_only=True)
class CapsResolved(Event):
    """The caps are known, and can be met.

    Attributes:
        space: Name of the space.
        caps: The caps of the first goal, latencies first.
    """

    space: str
    caps: tuple[ResolvedCap, ...]


@dataclass(frozen=True, kw_only=True)
class FinalistMeasured(Event):
    """A finalist was timed on a device.

    Attributes:
        measured: What was measured, beside prediction and target.
    """

    measured: Measured


@dataclass(frozen=True, kw_only=True)
class SearchPlanned(Event):
    """The size of the search is decided; the evolution begins.

    Attributes:
        plan: Size of the search and the time it will take.
        recalibration_images: Images that each architecture is recalibrated on.
        search_images: Images that each architecture is judged on.
        resumes: Folder of the interrupted search that is resumed; None for a new one.
        evaluated: Number of architectures that the interrupted search has evaluated.
    """

    plan: SearchPlan
    recalibration_images: int
    search_images: int
    resumes: Path | None
    evaluated: int = 0
