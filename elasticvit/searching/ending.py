"""How a search ends: the finalists of each goal are judged again, the winners are tested once, on
images that neither training nor the search has looked at, and all is summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.cost import CostModel
from elasticvit.events import EventHandler, Phase
from elasticvit.searching import finalists
from elasticvit.searching.archive import Archive
from elasticvit.searching.evaluate import SupernetEvaluator
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.halving import Ranking
from elasticvit.searching.result import SearchResult, subnet_file
from elasticvit.searching.summary import front_of, name_winner, result_of, summarise_archs
from elasticvit.searching.verified import Choice, Verify, at_latest_costs, choose, promising
from elasticvit.searching.winner import Winner
from elasticvit.space import SearchSpace
from elasticvit.training.data import ImageData


@dataclass(frozen=True, kw_only=True, eq=False)
class Ending:
    """The end of one search.

    Attributes:
        space: The space that was searched.
        goals: The goals, each of which has a winner.
        data: The data set.
        first_images: Number of images that the search has judged with.
        thorough: Judges finalists, on more images.
        latency: Cost model that the result's milliseconds come from, if there is one.
        events: Receives a `Phase` for each part.
    """

    space: SearchSpace
    goals: Goals
    data: ImageData
    first_images: int
    thorough: SupernetEvaluator
    latency: CostModel | None
    events: EventHandler

    def choices(self, archive: Archive, count: int, verify: Verify) -> list[Choice[Ranking]]:
        """What is chosen for each goal. Winners of tighter goals are among the finalists of looser
        ones, so that more latency never brings less accuracy.

        Args:
            archive: What was judged, with the accuracies that finalists are taken by.
            count: Number of finalists of each goal.
            verify: Chooses among the finalists of a goal, for instance by timing them.
        """
        found: dict[int, Choice[Ranking]] = {}
        won = self.space.sample(0, np.random.default_rng(0))
        for number in self.goals.tightest_first():
            rank = partial(
                finalists.judge_again,
                archive=archive,
                won=won,
                count=count,
                judge=self.thorough,
                first_images=self.first_images,
                announce=self._announce,
            )
            choice = choose(self.goals[number], rank, verify)
            row = choice.verified.row
            won = won.concat(choice.ranking.archs.take(slice(row, row + 1)))
            found[number] = choice
        latest = choice.verified.goal
        return at_latest_costs([found[number] for number in range(len(self.goals))], latest)

    def _announce(self, goal: Goal, count: int) -> None:
        which = "" if len(self.goals) == 1 else f" of {goal}"
        images = self.thorough.most_images
        self.events(Phase(text=f"judging {count} finalists{which} on up to {images} images"))

    def test(self, number: int, choice: Choice[Ranking], folder: Path) -> Winner:
        """Test the winner of a goal once, and save its subnet.

        Args:
            number: Number of the goal, from 1.
            choice: What was chosen for it.
            folder: Folder of the search.
        """
        ranking, row = choice.ranking, choice.verified.row
        arch, other = ranking.archs[row], choice.verified.runner_up(len(ranking.archs))
        which = "subnet" if len(self.goals) == 1 else f"subnet of {choice.verified.goal}"
        images = self.data.info.test_images
        self.events(Phase(text=f"testing the chosen {which} on {images} images"))
        chosen = self.thorough.subnet(arch)
        loader = self.data.loader("test", resolution=arch.resolution, batch_size=64)
        test_accuracy = self.thorough.accuracy(chosen, loader)
        chosen.cpu().save(folder / subnet_file(number))
        return name_winner(
            self.space,
            choice,
            self.latency,
            error=float(ranking.error[row]),
            confidence=None if other is None else ranking.better(row, other),
            test_accuracy=test_accuracy,
        )

    def result(
        self, winners: Sequence[Winner], choices: Sequence[Choice[Ranking]], **others: Any
    ) -> SearchResult:
        """The result, from the winners and what they were chosen from.

        Args:
            others: The fields of `SearchResult` that are the search's and not its end's.
        """
        goal = choices[0].verified.goal  # all have the same costs
        archs, scores, _ = _all_finalists(choices)
        shown = promising([choice.verified for choice in choices], archs)
        archs, scores = archs.take(shown), scores[shown]
        points = summarise_archs(self.space, archs, scores, goal.latency or self.latency, goal.caps)
        return result_of(
            winners,
            space=self.space.name,
            data=self.data.info.spec,
            classes=self.data.info.classes,
            normalisation=self.data.given_normalisation,
            search_images=int(choices[0].ranking.images[0]),
            test_images=self.data.info.test_images,
            front=front_of(points),
            **others,
        )


def longest_judged(archs: ArchBatch, images: IndexArray) -> IndexArray:
    """One row an architecture, in the order of their genes: of several that of the most images, and
    of these the first. A finalist of several goals may have been left behind early for one of them.

    Args:
        archs: Architectures, n of them, not all distinct.
        images: Number of images that each row was judged with, shape (n,).
    """
    order = np.argsort(-images, kind="stable")
    _, first = np.unique(archs.genes[order], axis=0, return_index=True)
    return order[first]


def errors_again(choices: Sequence[Choice[Ranking]]) -> dict[Arch, float]:
    """Standard errors of the finalists, which were judged again; those of the most images hold."""
    archs, _, errors = _all_finalists(choices)
    return dict(zip(archs, errors.tolist(), strict=True))


def _all_finalists(
    choices: Sequence[Choice[Ranking]],
) -> tuple[ArchBatch, FloatArray, FloatArray]:
    """The finalists of all goals, each once, n of them, with accuracies and standard errors, both
    of shape (n,); those of the most images hold."""
    rankings = [choice.ranking for choice in choices]
    archs = rankings[0].archs.concat(*(ranking.archs for ranking in rankings[1:]))
    rows = longest_judged(archs, np.concatenate([ranking.images for ranking in rankings]))
    accuracy = np.concatenate([ranking.accuracy for ranking in rankings])
    error = np.concatenate([ranking.error for ranking in rankings])
    return archs.take(rows), accuracy[rows], error[rows]
