"""What a training is made of: its settings, complexity levels, sampler and trainer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elasticvit.cost import CostModel, MacsCost
from elasticvit.errors import NextStep, SettingError, WorkspaceError
from elasticvit.events import EventHandler, Notice
from elasticvit.flows.train_runs import run_info
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.flows.train_single import open_single
from elasticvit.flows.train_start import recipe_for
from elasticvit.flows.train_teachers import open_teaching
from elasticvit.names import HOST
from elasticvit.space import SearchSpace
from elasticvit.training.config import default_config
from elasticvit.training.data import ImageData
from elasticvit.training.decoded_batches import default_workers
from elasticvit.training.first_subnet import first_subnet
from elasticvit.training.levels import levels_for
from elasticvit.training.precision import chosen_precision
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.build import make_sampler, sampled_levels
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.single import SingleSampler, single_levels
from elasticvit.training.start_source import StartSource
from elasticvit.training.trainer import Trainer
from elasticvit.workspace import Workspace

LEAST_IMAGES = 2  # a step and process


def _cost(
    workspace: Workspace, space: SearchSpace, settings: TrainSettings, events: EventHandler
) -> CostModel:
    """The cost that complexity levels are measured in; a handler is told of which latency it is."""
    if settings.complexity == "macs":
        return MacsCost(space)
    device = workspace.device(settings.device)
    if device is None:
        raise WorkspaceError(
            f"complexity is ms, but no device was profiled in workspace {workspace.root}; profile "
            "one first, or choose complexity macs",
            settings=["complexity"],
            next_step=NextStep("profile", {"device": HOST}),
        )
    from predictors.provenance import origin
    from predictors.workspace_predictors import load_device_predictor

    predictor = load_device_predictor(
        workspace,
        device,
        workspace.precision(device),
        threads=settings.device_threads,
        cores=settings.device_cores,
    )
    events(Notice(text=f"complexity levels are latencies of {device}: {origin(predictor)}"))
    return predictor.cost(space)


class TrainPlan:
    """A training as the settings, the data set and the machine make it; it writes nothing.

    Args:
        workspace: Workspace with the device's predictor.
        settings: Settings of the flow.
        named: The space as it was named, without the data set's number of classes.
        images: The opened data set.
        ranks: This process among those that train together.
        events: Handler of training events.
        source: Weights to start from.

    Raises:
        CheckpointError: The weights to start from do not fit.
        WorkspaceError: Complexity is to be measured in ms and no device was profiled.
        PredictorError: The device has no predictor, or it cannot price the space.
        SettingError: A setting makes no sense.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: TrainSettings,
        named: SearchSpace,
        images: ImageData,
        ranks: Ranks,
        events: EventHandler,
        source: StartSource | None,
    ) -> None:
        self.settings, self.named, self.images = settings, named, images
        self.ranks, self.source = ranks, source
        space = named.with_classes(images.info.classes)
        self.single = open_single(settings, space, events)
        space = space if self.single is None else self.single.space
        cost = _cost(workspace, space, settings, events)
        distillation, self.teaching = open_teaching(
            settings.teacher, settings.soft_labels, images, ranks.device, events
        )
        if source is not None:
            source.check(space)
        config = default_config(
            images.info,
            space,
            recipe_for(images.info, ranks, settings),
            tuned=settings.init is not None
            or (self.single is not None and self.single.subnet is not None),
            start=None if source is None else source.identity,
            start_share=settings.start_share if source is None else 0.0,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            complexity=settings.complexity,
            device="" if settings.complexity == "macs" else workspace.device(settings.device),
            distillation=distillation,
            sampling=settings.sampling,
            hss=settings.hss,
            bank=settings.bank,
            preference=settings.preference,
            grow=settings.grow,
            level_bias=settings.level_bias,
            subnets=settings.subnets,
            precision=chosen_precision(settings.precision, ranks.device),
            accumulate=settings.accumulate,
        )
        if self.single is not None:
            config = self.single.configured(config)
        least = LEAST_IMAGES * ranks.count * config.accumulate
        if config.batch_size < least:
            raise SettingError(
                f"batch_size is {config.batch_size}; it must be at least {least}: each of the "
                f"{ranks.count} processes needs {LEAST_IMAGES} images a step for its batch norms"
                + (f", in each of {config.accumulate} parts" if config.accumulate > 1 else ""),
                settings=["batch_size", *(["accumulate"] if config.accumulate > 1 else [])],
            )
        self.config = config
        if self.single is None:
            self.all_levels = levels_for(space, cost, np.random.default_rng(0))
            self.levels = sampled_levels(self.all_levels, space, cost, config)
        else:
            self.levels = self.all_levels = single_levels(space, cost)
        self.info = run_info(space, images, config, self.levels, settings.seed)
        if self.single is not None and self.single.subnet is not None:
            self.info = replace(self.info, options=self.single.subnet.options)
        if source is not None:
            self.info = replace(self.info, options=source.options)
        self.cost = cost

    def sampler(self) -> Sampler:
        """A sampler that has drawn nothing yet."""
        if self.single is not None:
            return SingleSampler(self.info.space.smallest, self.levels)
        return make_sampler(
            self.info.space,
            self.cost,
            self.levels,
            self.config,
            seed=self.info.seed,
            steps=self.steps,
        )

    @property
    def steps(self) -> int:
        """Number of steps of the whole training."""
        per_epoch = max(1, self.images.info.train_images // self.config.batch_size)
        return self.config.epochs * per_epoch

    @property
    def first_steps(self) -> int:
        """Number of steps in which one subnet is trained alone."""
        return round(self.config.start_share * self.steps)

    def trainer(self) -> Trainer:
        """A trainer at its first step, with initial weights or those to start from."""
        workers = self.settings.workers
        if workers is None:
            workers = default_workers()
        start = None if self.single is None else self.single.start
        if self.source is not None:
            start = self.source.apply
        return Trainer(
            self.info,
            self.images,
            self.sampler(),
            self.ranks,
            workers,
            teaching=self.teaching,
            policy=self.settings.policy,
            start=start,
            first=first_subnet(self.info.space, self.cost, self.levels, self.first_steps),
        )
