"""A whole search without a supernet: scores in place of accuracies, no images, no weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel
from elasticvit.errors import TargetError
from elasticvit.events import EventHandler, Phase, ignore
from elasticvit.precisions import FP32
from elasticvit.searching.archive import Archive
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.outputs import write_outputs
from elasticvit.searching.proxy import Score
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.result import SearchResult
from elasticvit.searching.summary import front_of, name_winner, result_of, summarise_archs
from elasticvit.searching.verified import (
    Verify,
    at_latest_costs,
    choose,
    promising,
    unverified,
)
from elasticvit.space import SearchSpace

FINALISTS = 64  # architectures of a goal that may be timed
FRONT = 64  # architectures of the front that the result keeps, at most


class ScoreJob:
    """One search by scores, which are exact and cost nothing, so that it always has the paper's
    size and needs no state: it takes seconds.

    Args:
        space: Space that is searched.
        goals: The goals.
        score: Gives the score of each architecture of a batch, from 0 to 100, shape (n,).
        source: What the scores are, as `SearchResult.accuracy_source`.
        seed: Random seed of the search.
        latency: Cost model that the result's milliseconds come from, if there is one.
        precision: Precision that the chosen subnet is to be deployed in, of all latencies.
        feasible: Result of `Goals.feasible`.
        seeds: Architectures to begin with, as far as they keep a goal.
    """

    def __init__(
        self,
        space: SearchSpace,
        goals: Goals,
        score: Score,
        *,
        source: str,
        seed: int = 0,
        latency: CostModel | None = None,
        precision: str = FP32,
        feasible: Sequence[Arch] | None = None,
        seeds: ArchBatch | None = None,
    ) -> None:
        self.space, self.goals, self.score, self.source = space, goals, score, source
        self.seed, self.latency, self.feasible, self.seeds = seed, latency, feasible, seeds
        self.precision = precision

    def run(
        self,
        folder: Path,
        config: EvolutionConfig,
        *,
        events: EventHandler = ignore,
        verify: Verify = unverified,
        top: int = 1,
    ) -> SearchResult:
        """Search, and write the result into `folder`.

        Args:
            folder: Folder of this search.
            config: Size of the evolution, for each goal.
            events: Receives the events of `evolve`.
            verify: Chooses among the best of a goal, for instance by timing them.
            top: Number of the best architectures of each goal that are written.
        """
        started_s = time.monotonic()
        archives = [self._search(goal, i, config, events) for i, goal in enumerate(self.goals)]
        events(Phase(text="drawing the front"))
        choices = [
            choose(goal, partial(self._rank, number, archives, config, events), verify)
            for number, goal in enumerate(self.goals)
        ]
        latest = choices[-1].verified.goal
        choices = at_latest_costs(choices, latest)
        winners = [name_winner(self.space, choice, self.latency) for choice in choices]
        archs = archives[0].archs.concat(*(archive.archs for archive in archives[1:]))
        archs = archs.distinct()
        evaluations = len(archs)
        archs = archs.take(promising([choice.verified for choice in choices], archs))
        scores = self.score(archs)
        caps = latest.caps
        costs = np.stack([cap.cost.price(archs) for cap in caps], axis=1)
        every = Archive(
            archs=archs,
            accuracy=scores,
            load=costs[:, 0],
            born=np.zeros(len(archs), dtype=np.int64),
            complete=True,
        )
        rows = every.front(costs)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, FRONT).round().astype(int))]
        chosen = ArchBatch.of([winner.arch for winner in winners])
        shown = archs.take(rows).concat(chosen).unique()
        points = summarise_archs(
            self.space, shown, self.score(shown), latest.latency or self.latency, caps
        )
        result = result_of(
            winners,
            space=self.space.name,
            data="",
            classes=self.space.layout.classes,
            search_images=0,
            test_images=0,
            front=front_of(points),
            accuracy_source=self.source,
            run="",
            seed=self.seed,
            precision=self.precision,
            evaluations=evaluations,
            complete=True,
            evolution=config.sizes,
        )
        page = SearchPage(
            result=result,
            space=self.space,
            goals=Goals(tuple(choice.verified.goal for choice in choices)),
            archs=archs,
            accuracy=scores,
            latency=self.latency,
            took_s=time.monotonic() - started_s,
        )
        write_outputs(folder, page, choices, top=top, events=events)
        return result

    def _rank(
        self,
        number: int,
        archives: list[Archive],
        config: EvolutionConfig,
        events: EventHandler,
        goal: Goal,
    ) -> Archive | None:
        """The finalists of a goal, of all that was searched; if its costs were corrected it is
        searched anew, which the archives grow by; None if no architecture keeps it."""
        if goal != self.goals[number]:
            try:
                archives.append(self._search(goal, number, config, events, again=True))
            except TargetError:
                return None
        archs = archives[0].archs.concat(*(archive.archs for archive in archives[1:])).unique()
        load = goal.loads(archs)
        kept = archs.take(load <= 1)
        every = Archive(
            archs=kept,
            accuracy=self.score(kept),
            load=load[load <= 1],
            born=np.zeros(len(kept), dtype=np.int64),
            complete=True,
        )
        return every.rows(every.ranking()[:FINALISTS])

    def _search(
        self,
        goal: Goal,
        number: int,
        config: EvolutionConfig,
        events: EventHandler,
        *,
        again: bool = False,
    ) -> Archive:
        return evolve(
            self.space,
            Goals((goal,)),
            self.score,
            replace(config, at_once=config.evaluations),
            rng=np.random.default_rng([self.seed, number]),
            feasible=None if self.feasible is None or again else self.feasible[number],
            seeds=self.seeds,
            events=events,
        )
