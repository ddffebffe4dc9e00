"""A whole search: supernet and data in, chosen subnet and `search.json` out.

The search judges with few images, chosen by an accuracy predictor or bred as in the paper; the
finalists of each goal are judged again with more, and the chosen ones are tested once, on images
that neither training nor the search has looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel, MacsCost
from elasticvit.events import EventHandler, Notice, ignore
from elasticvit.nn.supernet import Supernet
from elasticvit.precisions import FP32
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.ending import Ending, errors_again
from elasticvit.searching.evaluate import Spread, weights_hash
from elasticvit.searching.evolution import evolve
from elasticvit.searching.front_guide import guide_of
from elasticvit.searching.goal import Goals
from elasticvit.searching.guessing import guessing_doubt
from elasticvit.searching.guided import agreement_of
from elasticvit.searching.judge import standard_errors
from elasticvit.searching.judgement_store import JudgementStore
from elasticvit.searching.judges import make_judges
from elasticvit.searching.outputs import write_outputs
from elasticvit.searching.plan import FINALISTS, SearchPlan, make_plan, time_evaluation
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.result import SearchResult
from elasticvit.searching.state import unfinished_search
from elasticvit.searching.state_file import STATE_FILE
from elasticvit.searching.verified import Verify, unverified
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
        spread: Judges several architectures at the same time; by default one after the other.
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
        self.parallel = 1 if spread is None else spread.parallel
        self.batches = 1 if spread is None else spread.batches
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
        if data.turned:  # by earlier versions they were not
            self.settings["upright"] = True

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
        finalist_s = image_s * self.thorough.sizes.images * len(self.goals) / self.parallel
        tested = self.thorough.sizes.images + self.data.info.test_images / self.batches
        return make_plan(
            evaluation_s=each_s / self.parallel,
            finalist_s=finalist_s if self.twice else 0,
            test_s=image_s * tested,
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

    def outdated(self, folders: Sequence[Path], asked: Any) -> Path | None:
        """The newest of the folders with an interrupted search that is this one but for what costs
        say of architectures, which has changed since; arguments and errors as of `unfinished`."""
        wanted = {**self.settings, "asked": asked}
        found = unfinished_search(folders, wanted, apart=("caps",))
        return None if found is None else found[0]

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
        config = replace(config, at_once=config.at_once * self.parallel)
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
        ending = Ending(
            space=self.space,
            goals=self.goals,
            data=self.data,
            first_images=self.quick.most_images,
            thorough=self.thorough,
            latency=self.latency,
            events=events,
        )
        choices = ending.choices(expected, max(finalist_count, top), verify)
        winners = [ending.test(n, choice, folder) for n, choice in enumerate(choices, 1)]
        result = ending.result(
            winners,
            choices,
            agreement=agreement,
            run=self.run_name,
            seed=self.seed,
            precision=self.precision,
            evaluations=len(archive.archs),
            complete=archive.complete,
            evolution=config.sizes,
        )
        page = SearchPage(
            result=result,
            space=self.space,
            goals=Goals(tuple(choice.verified.goal for choice in choices)),
            archs=archive.archs,
            accuracy=archive.accuracy,
            images=images,
            again=errors_again(choices),
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
