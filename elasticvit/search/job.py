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

from elasticvit.cost import CostModel, FloatArray, MacsCost
from elasticvit.nn.supernet import Supernet
from elasticvit.search import finalists
from elasticvit.search.archive import SearchState
from elasticvit.search.caps import Cap, fingerprint, initial_population, loads
from elasticvit.search.evaluate import (
    QUICK_GMACS,
    THOROUGH_FACTOR,
    Sizes,
    SupernetEvaluator,
    accuracy,
    weights_hash,
)
from elasticvit.search.evolution import EvolutionConfig, Progress, evolve
from elasticvit.search.pareto import on_front
from elasticvit.search.plan import FINALISTS, Plan, make_plan, time_evaluation
from elasticvit.search.report import draw_front
from elasticvit.search.result import (
    RESULT_FILE,
    SUBNET_FILE,
    CapResult,
    FrontPoint,
    SearchResult,
)
from elasticvit.training.data import ImageData

STATE_FILE = "state.json"
TYPICAL = 9  # architectures under the caps that stand for all when sizes are chosen


class SearchJob:
    """One search.

    Args:
        supernet: trained weights; its space is searched.
        data: the data set that it was trained on.
        caps: hard limits; the first one's cost is the axis of the front.
        seed: of the search.
        run: where the weights come from, for the record.
        latency: predictor that the result's milliseconds come from, if there is one.
        device: torch device.

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
        device: str | None = None,
    ) -> None:
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.space, self.data, self.caps = supernet.space, data, tuple(caps)
        self.seed, self.run_name, self.latency = seed, run, latency
        self.macs = MacsCost(self.space)
        self.typical = initial_population(
            self.space, self.caps, TYPICAL, np.random.default_rng(seed)
        )
        macs_m = float(np.median(self.macs.price(self.typical)))
        gmacs = QUICK_GMACS[device]
        self.quick, self.thorough = (
            SupernetEvaluator(supernet, data, Sizes.within(g, macs_m, data), device=device)
            for g in (gmacs, gmacs * THOROUGH_FACTOR)
        )
        self.twice = self.thorough.sizes != self.quick.sizes
        self.identity: dict[str, Any] = {
            "targets": [[cap.cost.name, cap.cost.unit, cap.limit] for cap in self.caps],
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
    ) -> Plan:
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
            folders: candidates, oldest first.
            asked: what the user asked for, as given to `run`.

        Raises:
            CheckpointError: the newest candidate's state cannot be read.
        """
        wanted = {**self.identity, "asked": asked, "caps": fingerprint(self.space, self.caps)}
        for folder in reversed(folders):
            if (folder / RESULT_FILE).exists() or not (folder / STATE_FILE).exists():
                continue
            settings = dict(SearchState.load(folder / STATE_FILE).settings)
            sizes = settings.pop("evolution", None)
            if settings == wanted and sizes is not None:
                return folder, EvolutionConfig(**sizes)
        return None

    def run(
        self,
        folder: Path,
        config: EvolutionConfig,
        *,
        finalist_count: int = FINALISTS,
        asked: Any = None,
        progress: Callable[[Progress], None] | None = None,
        stop: Callable[[], bool] | None = None,
        stage: Callable[[str], None] | None = None,
    ) -> SearchResult:
        """Search, or go on with the search in `folder`; save result and subnet there.

        Args:
            folder: of this search.
            config: sizes of the evolution.
            finalist_count: architectures that are judged again.
            asked: JSON-ready record of what the user asked for; part of what makes two
                searches the same.
            progress, stop: as `evolve` takes them.
            stage: told what comes after the evolution.
        """
        tell = stage or (lambda text: None)
        archive = evolve(
            self.space,
            self.caps,
            self.quick,
            config,
            rng=np.random.default_rng(self.seed),
            state_path=folder / STATE_FILE,
            settings={**self.identity, "asked": asked},
            progress=progress,
            stop=stop,
        )
        last, scores = finalists.select(archive, finalist_count)
        if self.twice:
            tell(f"judging {len(last)} finalists on {self.thorough.sizes.search_images} images")
            scores = self.thorough(last)
        final = finalists.ranked(last, scores, loads(self.caps, last))
        chosen, again = self.thorough.judge(final.archs[0])
        final.accuracy[0] = again  # the saved weights' own, where a device is not reproducible
        tell(f"testing the chosen subnet on {self.data.info.test_images} images")
        loader = self.data.loader("test", resolution=chosen.arch.resolution, batch_size=64)
        test_accuracy = accuracy(chosen, loader)
        chosen.cpu().save(folder / SUBNET_FILE)
        result = self._result(final, test_accuracy, len(archive.archs), archive.complete, config)
        draw_front(folder, result, self.caps[0].cost.price(archive.archs), archive.accuracy)
        result.save(folder)  # last: a folder with a result is a finished search
        return result

    def _result(
        self,
        final: finalists.Finalists,
        test_accuracy: float,
        evaluations: int,
        complete: bool,
        config: EvolutionConfig,
    ) -> SearchResult:
        archs, first = final.archs, self.caps[0]
        predicted_ms, upper_ms = self._milliseconds(final)
        macs_m = self.macs.price(archs)
        cost = first.cost.price(archs)
        rows = np.flatnonzero(on_front(np.stack([cost, -final.accuracy], axis=1)))
        front = tuple(
            FrontPoint(
                arch=archs[int(i)],
                predicted_ms=None if predicted_ms is None else float(predicted_ms[i]),
                upper_ms=None if upper_ms is None else float(upper_ms[i]),
                macs_m=float(macs_m[i]),
                accuracy=float(final.accuracy[i]),
            )
            for i in rows[np.argsort(cost[rows], kind="stable")]
        )
        best = archs.take(slice(0, 1))
        caps = []
        for cap in self.caps:
            upper = cap.known_bound(best)
            caps.append(
                CapResult(
                    device=cap.device,
                    unit=cap.cost.unit,
                    target=cap.limit,
                    predicted=float(cap.cost.price(best)[0]),
                    upper=None if upper is None else float(upper[0]),
                )
            )
        return SearchResult(
            space=self.space.name,
            data=self.data.info.spec,
            classes=self.data.info.classes,
            device=first.device,
            source=first.source,
            unit=first.cost.unit,
            target=first.limit,
            arch=archs[0],
            predicted_ms=None if predicted_ms is None else float(predicted_ms[0]),
            upper_ms=None if upper_ms is None else float(upper_ms[0]),
            macs_m=float(macs_m[0]),
            accuracy=float(final.accuracy[0]),
            test_accuracy=test_accuracy,
            search_images=self.thorough.sizes.search_images,
            test_images=self.data.info.test_images,
            front=front,
            caps=tuple(caps),
            run=self.run_name,
            seed=self.seed,
            evaluations=evaluations,
            complete=complete,
            evolution={k: v for k, v in asdict(config).items() if k != "at_once"},
        )

    def _milliseconds(
        self, final: finalists.Finalists
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Predicted latencies of the finalists and their upper bounds, where there are any."""
        if self.latency is None:
            return None, None
        cap = Cap(cost=self.latency, limit=1.0)
        return self.latency.price(final.archs), cap.known_bound(final.archs)
