"""A whole search: supernet and data in, chosen subnet and `search.json` out.

The evolution judges with few images; its finalists are judged again with many, and the chosen
one is tested once, on images that neither training nor the search has looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elasticvit.arch import Arch
from elasticvit.cost import CostModel, MacsCost
from elasticvit.events import EventHandler, Phase, ignore
from elasticvit.nn.supernet import Supernet
from elasticvit.searching import finalists
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap, find_feasible, fingerprint, loads
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evaluate import (
    THOROUGH_FACTOR,
    Sizes,
    SupernetEvaluator,
    accuracy,
    quick_gmacs,
    weights_hash,
)
from elasticvit.searching.evolution import evolve
from elasticvit.searching.plan import FINALISTS, SearchPlan, make_plan, time_evaluation
from elasticvit.searching.population import initial_population
from elasticvit.searching.report import draw_front
from elasticvit.searching.result import RESULT_FILE, SUBNET_FILE, SearchResult
from elasticvit.searching.state_file import STATE_FILE, evolution_of, read_state
from elasticvit.searching.summary import front_of, summarise_archs, summarise_caps
from elasticvit.training.data import ImageData

TYPICAL = 9  # architectures under the caps that stand for all when sizes are chosen


class SearchJob:
    """One search.

    Args:
        supernet: Trained supernet; its space is searched.
        data: Data set that it was trained on.
        caps: Hard caps; the first one's cost is the axis of the front.
        seed: Random seed of the search.
        run: Folder that the weights come from, for the record.
        latency: Cost model that the result's milliseconds come from, if there is one.
        feasible: Result of `find_feasible` for these caps, if it is known already.
        torch_device: Torch device to run on, such as `cpu` or `cuda:1`; by default CUDA's
            current one if there is any, else the CPU.

    Raises:
        TargetError: no architecture keeps the caps.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: ImageData,
        caps: Sequence[Cap],
        *,
        seed: int = 0,
        run: str = "",
        latency: CostModel | None = None,
        feasible: Arch | None = None,
        torch_device: torch.device | str | None = None,
    ) -> None:
        place = torch.device(torch_device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.space, self.data, self.caps = supernet.space, data, tuple(caps)
        self.seed, self.run_name, self.latency = seed, run, latency
        rng = np.random.default_rng(seed)
        self.feasible = feasible or find_feasible(self.space, self.caps, np.random.default_rng(0))
        self.typical = initial_population(
            self.space, self.caps, TYPICAL, rng, feasible=self.feasible
        )
        macs_m = float(np.median(MacsCost(self.space).price(self.typical)))
        gmacs = quick_gmacs(place)
        self.quick, self.thorough = (
            SupernetEvaluator(supernet, data, Sizes.within(g, macs_m, data), torch_device=place)
            for g in (gmacs, gmacs * THOROUGH_FACTOR)
        )
        self.twice = self.thorough.sizes != self.quick.sizes
        self.settings: dict[str, Any] = {
            "targets": [[cap.cost.name, cap.cost.unit, cap.target] for cap in self.caps],
            "weights": weights_hash(supernet),
            "data": data.info.spec,
            "seed": seed,
            "sizes": asdict(self.quick.sizes),
        }

    def plan(
        self,
        *,
        population: int | None = None,
        generations: int | None = None,
        budget_s: float | None = None,
    ) -> SearchPlan:
        """Time a few evaluations and choose the sizes that are not named (`make_plan`)."""
        each_s = time_evaluation(self.quick, self.typical)
        image_s = each_s / self.quick.sizes.images
        return make_plan(
            evaluation_s=each_s,
            finalist_s=image_s * self.thorough.sizes.images if self.twice else 0.0,
            test_s=image_s * (self.thorough.sizes.images + self.data.info.test_images),
            population=population,
            generations=generations,
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
        wanted = {**self.settings, "asked": asked, "caps": fingerprint(self.space, self.caps)}
        for folder in reversed(folders):
            if (folder / RESULT_FILE).exists() or not (folder / STATE_FILE).exists():
                continue
            path = folder / STATE_FILE
            settings = read_state(path).settings
            if {name: v for name, v in settings.items() if name != "evolution"} == wanted:
                return folder, evolution_of(settings, path)
        return None

    def run(
        self,
        folder: Path,
        config: EvolutionConfig,
        *,
        finalist_count: int = FINALISTS,
        asked: Any = None,
        events: EventHandler = ignore,
        stop: Callable[[], bool] | None = None,
    ) -> SearchResult:
        """Search, or go on with the search in `folder`; save result and subnet there.

        Args:
            folder: Folder of this search.
            config: Size of the evolution.
            finalist_count: Number of architectures that are judged again.
            asked: JSON-ready sizes that the user asked for; part of what makes two searches the
                same.
            events: Receives the events of `evolve`, and a `Phase` for each part after it.
            stop: Asked between evaluations; when true, the evolution ends with what there is.
        """
        archive = evolve(
            self.space,
            self.caps,
            self.quick,
            config,
            rng=np.random.default_rng(self.seed),
            feasible=self.feasible,
            state_path=folder / STATE_FILE,
            settings={**self.settings, "asked": asked},
            events=events,
            stop=stop,
        )
        last, scores = finalists.select(archive, finalist_count)
        if self.twice:
            images = self.thorough.sizes.search_images
            events(Phase(text=f"judging {len(last)} finalists on {images} images"))
            scores = self.thorough(last)
        final = finalists.ranked(last, scores, loads(self.caps, last))
        chosen, again = self.thorough.judge(final.archs[0])
        final.accuracy[0] = again  # the saved weights' own, where a device is not reproducible
        events(Phase(text=f"testing the chosen subnet on {self.data.info.test_images} images"))
        loader = self.data.loader("test", resolution=chosen.arch.resolution, batch_size=64)
        test_accuracy = accuracy(chosen, loader)
        chosen.cpu().save(folder / SUBNET_FILE)
        result = self._result(final, test_accuracy, archive, config)
        draw_front(folder, result, self.caps[0].cost.price(archive.archs), archive.accuracy)
        result.save(folder)  # last: a folder with a result is a finished search
        return result

    def _result(
        self,
        final: finalists.Finalists,
        test_accuracy: float,
        archive: Archive,
        config: EvolutionConfig,
    ) -> SearchResult:
        points = summarise_archs(self.space, final.archs, final.accuracy, self.latency)
        chosen = points[0]
        return SearchResult(
            space=self.space.name,
            data=self.data.info.spec,
            classes=self.data.info.classes,
            arch=chosen.arch,
            predicted_ms=chosen.predicted_ms,
            upper_ms=chosen.upper_ms,
            macs_m=chosen.macs_m,
            accuracy=chosen.accuracy,
            test_accuracy=test_accuracy,
            search_images=self.thorough.sizes.search_images,
            test_images=self.data.info.test_images,
            front=front_of(points, self.caps[0].cost.price(final.archs)),
            caps=summarise_caps(self.caps, final.archs.take(slice(0, 1))),
            run=self.run_name,
            seed=self.seed,
            evaluations=len(archive.archs),
            complete=archive.complete,
            evolution=config.sizes,
        )
