"""A whole search: supernet and data in, chosen subnet and `search.json` out.

The search judges with few images, chosen by an accuracy predictor or bred as in the paper; the
finalists of each goal are judged again with more, and the chosen ones are tested once, on images
that neither training nor the search has looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel, MacsCost
from elasticvit.events import EventHandler, Notice, Phase, ignore
from elasticvit.nn.supernet import Supernet
from elasticvit.precisions import FP32
from elasticvit.searching import finalists
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evaluate import Spread, accuracy, weights_hash
from elasticvit.searching.evolution import evolve
from elasticvit.searching.front_guide import guide_of
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.guessing import guessing_doubt
from elasticvit.searching.guided import agreement_of
from elasticvit.searching.halving import Ranking
from elasticvit.searching.judge import standard_errors
from elasticvit.searching.judgement_store import JudgementStore
from elasticvit.searching.judges import make_judges
from elasticvit.searching.outputs import write_outputs
from elasticvit.searching.plan import FINALISTS, SearchPlan, make_plan, time_evaluation
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.result import SearchResult, subnet_file
from elasticvit.searching.state import unfinished_search
from elasticvit.searching.state_file import STATE_FILE
from elasticvit.searching.summary import front_of, name_winner, result_of, summarise_archs
from elasticvit.searching.verified import (
    Choice,
    Verify,
    at_latest_costs,
    choose,
    promising,
    unverified,
)
from elasticvit.searching.winner import Agreement, Winner
from elasticvit.space import SearchSpace
from elasticvit.training.data import ImageData

TYPICAL = 9  # architectures under the caps that stand for all when sizes are chosen


class SearchJob:
    """One search.

    Args:
        supernet: Trained supernet.
        data: Data set that it was trained on.
        limits: Hard caps, or several goals; the first cap's cost is the axis of the front.
        space: Part of the supernet's space that is searched; all of it by default.
        seed: Random seed of the search.
        run: Folder that the weights come from, for the record.
        latency: Cost model that the result's milliseconds come from, if there is one.
        precision: Precision that the chosen subnet is to be deployed in, of all latencies; its
            accuracies are those of fp32.
        feasible: Result of `find_feasible` for these caps, or of `Goals.feasible`, if it is known
            already.
        seeds: Architectures to begin with, as far as they keep a goal.
        store: Keeps judgements for later searches.
        spread: Judges on several processes; by default this one does.
        torch_device: Torch device to run on, such as `cpu` or `cuda:1`; by default CUDA's
            current one if there is any, else the CPU.

    Raises:
        TargetError: no architecture keeps the caps.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: ImageData,
        limits: Sequence[Cap] | Goals,
        *,
        space: SearchSpace | None = None,
        seed: int = 0,
        run: str = "",
        latency: CostModel | None = None,
        precision: str = FP32,
        feasible: Arch | Sequence[Arch] | None = None,
        seeds: ArchBatch | None = None,
        store: JudgementStore | None = None,
        spread: Spread | None = None,
        torch_device: torch.device | str | None = None,
    ) -> None:
        place = torch.device(torch_device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.space, self.data, self.goals = space or supernet.space, data, Goals.of(limits)
        self.caps = self.goals[0].caps
        self.seeds = seeds
        self.seed, self.run_name, self.latency, self.precision = seed, run, latency, precision
        rng = np.random.default_rng(seed)
        self.feasible = (feasible,) if isinstance(feasible, Arch) else feasible
        self.feasible = self.feasible or self.goals.feasible(self.space, np.random.default_rng(0))
        self.typical = self.goals.population(self.space, TYPICAL, rng, feasible=self.feasible)
        macs_m = float(np.median(MacsCost(self.space).price(self.typical)))
        self.quick, self.thorough = make_judges(
            supernet, data, macs_m, torch_device=place, store=store, spread=spread
        )
        self.processes = 1 if spread is None else spread.processes
        self.twice = self.thorough.sizes != self.quick.sizes
        self.settings: dict[str, Any] = {
            "targets": [[cap.cost.name, cap.cost.unit, cap.target] for cap in self.goals.caps],
            "weights": weights_hash(supernet),
            "data": data.info.spec,
            "seed": seed,
            "sizes": asdict(self.quick.sizes),
            "choices": [list(options) for options in self.space.choices],
        }
        if precision != FP32:  # of which earlier versions said nothing
            self.settings["precision"] = precision

    def plan(
        self,
        *,
        evaluations: int | None = None,
        population: int | None = None,
        generations: int | None = None,
        config: EvolutionConfig | None = None,
        budget_s: float | None = None,
    ) -> SearchPlan:
        """Time a few evaluations and choose the sizes that are not named (`make_plan`).

        Args:
            config: Size of an interrupted search, in place of all others.
        """
        each_s = time_evaluation(self.quick, self.typical)
        image_s = each_s / self.quick.sizes.images
        finalist_s = image_s * self.thorough.sizes.images * len(self.goals) / self.processes
        return make_plan(
            evaluation_s=each_s / self.processes,
            finalist_s=finalist_s if self.twice else 0,
            test_s=image_s * (self.thorough.sizes.images + self.data.info.test_images),
            goals=len(self.goals),
            evaluations=evaluations,
            population=population,
            generations=generations,
            config=config,
            budget_s=budget_s,
        )

    def unfinished(
        self, folders: Sequence[Path], asked: Any
    ) -> tuple[Path, EvolutionConfig] | None:
        """The newest of the folders with an interrupted search that is the same as this one.

        Args:
            folders: Candidates, oldest first.
            asked: Sizes that the user asked for, as given to `run`.

        Raises:
            CheckpointError: the newest candidate's state cannot be read.
        """
        wanted = {**self.settings, "asked": asked, "caps": self.goals.fingerprint(self.space)}
        return unfinished_search(folders, wanted)

    def run(
        self,
        folder: Path,
        config: EvolutionConfig,
        *,
        finalist_count: int = FINALISTS,
        asked: Any = None,
        events: EventHandler = ignore,
        stop: Callable[[], bool] | None = None,
        verify: Verify = unverified,
        top: int = 1,
    ) -> SearchResult:
        """Search, or go on with the search in `folder`; save result and subnets there.

        Args:
            folder: Folder of this search.
            config: Size of the search.
            finalist_count: Number of architectures that are judged again, for each goal.
            asked: JSON-ready sizes that the user asked for; part of what makes two searches the
                same.
            events: Receives the events of `evolve`, and a `Phase` for each part after it.
            stop: Asked between evaluations; when true, the search ends with what there is.
            verify: Chooses among the finalists of a goal, for instance by timing them.
            top: Number of the best architectures of each goal that are written, with their
                subnets if it is more than one.
        """
        started_s = time.monotonic()
        config = replace(config, at_once=config.at_once * self.processes)
        guide = guide_of(space=self.space, goals=self.goals, config=config, errors=self._errors)
        rng = np.random.default_rng(self.seed)
        archive = evolve(
            self.space,
            self.goals,
            lambda batch: self.quick(batch).accuracy,
            config,
            rng=rng,
            feasible=self.feasible,
            seeds=self.seeds,
            propose=guide if config.guided else None,
            state_path=folder / STATE_FILE,
            settings={**self.settings, "asked": asked},
            events=events,
            stop=stop,
        )
        foreseen, judged, expected = np.empty(0), np.empty(0), archive
        if config.guided and len(archive.archs) > 1:
            foreseen, judged = guide.foreseen(archive, np.random.default_rng(self.seed))
            mean, _ = guide.fit(archive, np.random.default_rng(self.seed)).predict(archive.archs)
            expected = replace(archive, accuracy=np.clip(mean, 0, 100))
        agreement = agreement_of(foreseen, judged)
        images, classes = self.quick.sizes.search_images, self.data.info.classes
        doubts = (
            guessing_doubt(archive.accuracy, images, classes),
            None if agreement is None else agreement.doubt,
        )
        for doubt in filter(None, doubts):
            events(Notice(text=doubt, warning=True))
        choices = self._choices(expected, max(finalist_count, top), verify, events)
        winners = [
            self._winner(number, choice, folder, events) for number, choice in enumerate(choices, 1)
        ]
        result = self._result(winners, choices, archive, config, agreement)
        page = SearchPage(
            result=result,
            space=self.space,
            goals=Goals(tuple(choice.verified.goal for choice in choices)),
            archs=archive.archs,
            accuracy=archive.accuracy,
            images=images,
            again=_errors_again(choices),
            foreseen=foreseen,
            judged=judged,
            latency=self.latency,
            took_s=time.monotonic() - started_s,
        )
        write_outputs(folder, page, choices, top=top, events=events, save_subnet=self._save_subnet)
        return result

    def _save_subnet(self, arch: Arch, path: Path) -> None:
        self.thorough.subnet(arch).cpu().save(path)

    def _errors(self, accuracy: FloatArray) -> FloatArray:
        """Standard errors of accuracies in percent on the images of the search."""
        return standard_errors(accuracy, self.quick.sizes.search_images)

    def _choices(
        self, archive: Archive, count: int, verify: Verify, events: EventHandler
    ) -> list[Choice[Ranking]]:
        """What is chosen for each goal. Winners of tighter goals are among the finalists of looser
        ones, so that more latency never brings less accuracy."""
        found: dict[int, Choice[Ranking]] = {}
        won = self.space.sample(0, np.random.default_rng(0))
        for number in self.goals.tightest_first():
            rank = partial(
                finalists.judge_again,
                archive=archive,
                won=won,
                count=count,
                judge=self.thorough,
                first_images=self.quick.most_images,
                announce=partial(self._announce, events),
            )
            choice = choose(self.goals[number], rank, verify)
            row = choice.verified.row
            won = won.concat(choice.ranking.archs.take(slice(row, row + 1)))
            found[number] = choice
        latest = choice.verified.goal
        return at_latest_costs([found[number] for number in range(len(self.goals))], latest)

    def _announce(self, events: EventHandler, goal: Goal, count: int) -> None:
        which = "" if len(self.goals) == 1 else f" of {goal}"
        images = self.thorough.most_images
        events(Phase(text=f"judging {count} finalists{which} on up to {images} images"))

    def _winner(
        self,
        number: int,
        choice: Choice[Ranking],
        folder: Path,
        events: EventHandler,
    ) -> Winner:
        """Test the winner of a goal once, and save its subnet."""
        ranking, row = choice.ranking, choice.verified.row
        arch, other = ranking.archs[row], choice.verified.runner_up(len(ranking.archs))
        which = "subnet" if len(self.goals) == 1 else f"subnet of {choice.verified.goal}"
        events(Phase(text=f"testing the chosen {which} on {self.data.info.test_images} images"))
        chosen = self.thorough.subnet(arch)
        loader = self.data.loader("test", resolution=arch.resolution, batch_size=64)
        test_accuracy = accuracy(chosen, loader)
        chosen.cpu().save(folder / subnet_file(number))
        return name_winner(
            self.space,
            choice,
            self.latency,
            error=float(ranking.error[row]),
            confidence=None if other is None else ranking.better(row, other),
            test_accuracy=test_accuracy,
        )

    def _result(
        self,
        winners: Sequence[Winner],
        choices: Sequence[Choice[Ranking]],
        archive: Archive,
        config: EvolutionConfig,
        agreement: Agreement | None,
    ) -> SearchResult:
        rankings = [choice.ranking for choice in choices]
        goal = choices[0].verified.goal  # all have the same costs
        archs = rankings[0].archs.concat(*(ranking.archs for ranking in rankings[1:]))
        scores = np.concatenate([ranking.accuracy for ranking in rankings])
        _, rows = np.unique(archs.genes, axis=0, return_index=True)
        rows = rows[promising([choice.verified for choice in choices], archs.take(rows))]
        archs, scores = archs.take(rows), scores[rows]
        points = summarise_archs(self.space, archs, scores, goal.latency or self.latency, goal.caps)
        return result_of(
            winners,
            space=self.space.name,
            data=self.data.info.spec,
            classes=self.data.info.classes,
            normalisation=self.data.given_normalisation,
            search_images=int(rankings[0].images[0]),
            test_images=self.data.info.test_images,
            front=front_of(points),
            agreement=agreement,
            run=self.run_name,
            seed=self.seed,
            precision=self.precision,
            evaluations=len(archive.archs),
            complete=archive.complete,
            evolution=config.sizes,
        )


def _errors_again(choices: Sequence[Choice[Ranking]]) -> dict[Arch, float]:
    """Standard errors of the finalists, which were judged again; those of the first goal hold."""
    found: dict[Arch, float] = {}
    for ranking in (choice.ranking for choice in reversed(choices)):
        found.update(zip(ranking.archs, ranking.error.tolist(), strict=True))
    return found
