"""Settings of the search flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import SettingError, TargetError
from elasticvit.flows.places import check_path
from elasticvit.flows.search_front import check_front
from elasticvit.flows.search_starts import CHECKPOINTS, STARTS, USUAL
from elasticvit.flows.search_targets import COSTS, MOST_GOALS, check_targets, several
from elasticvit.flows.settings import check_distinct, check_minutes, check_ranges, device_names
from elasticvit.names import check_name
from elasticvit.precisions import check_precision
from elasticvit.reading import shown
from elasticvit.searching.config import MOST_EVALUATIONS, EvolutionConfig

if TYPE_CHECKING:
    from elasticvit.space import SearchSpace
    from predictors.predictor import Predictor

SHORTEST_MINUTES = 0.05
Target = float | Sequence[float]
RANGES = {
    "front": (2, MOST_GOALS),
    "verify": (0, 64),
    "top": (1, 64),
    "evaluations": (2, MOST_EVALUATIONS),
    "population": (2, 4096),
    "generations": (1, 4096),
    "seed": (0, 2**31 - 1),
    "threads": (1, 256),
    "device_threads": (1, 64),
}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of the search flow.

    Attributes:
        target_ms: Latency cap in milliseconds per image: one number for all devices, or one for
            each device in the order of `device`. In place of a number a list of several: a goal
            each, for which one architecture is chosen.
        target: Caps by name, each a number or a list of several goals: latencies in milliseconds
            by the device's name, and `mmacs` (multiply-accumulates in millions), `params`
            (parameters in millions), `memory` (peak of activations in MB) and `size` (exported
            file in MB), which no device in `target` can be called.
        device: Names of the devices that `target_ms` applies to. None: all devices of `predictor`,
            or else the device that was profiled last.
        target_mmacs: The same as `mmacs` of `target`.
        front: Number of goals that span the whole front of accuracy against one cost, in even
            ratios from the cheapest architecture to the most expensive one, or to the target of
            that cost if one is named. The cost is the first latency that is capped, or else that of
            `device` or of the device that was profiled last, or else the first other cost that is
            capped, or multiply-accumulates. All other targets hold for every goal.
        precision: Precision that the winner is to be deployed in, of all latencies and of the
            export that follows: `fp32`, `fp16`, `int8` or `int8-full`. None: the one that the
            devices were profiled in last.
        device_threads, device_cores: Inference threads and CPU cores that the latencies are of,
            where a device was profiled with several. None: those that each device was profiled
            with last, or else one thread on cores `auto`.
        run: Folder of the training run with the supernet. None: the workspace's latest run.
        checkpoint: Which weights of the training run: `latest`, or `best` by the mean accuracy of
            the panel that was judged while it trained.
        supernet: A trained supernet in place of that of a training run: the name of one that comes
            with the package, a file of this project's, or the authors' checkpoint.
        data: Data set to judge `supernet` on, with its classes: a folder of images, a file, or
            another form that training takes. Images are normalised by its own statistics.
        proxy: Name of the proxy that architectures are ordered by, in place of a supernet's
            accuracies (`searching.proxy`). None: `macs` where there is no training run.
        accuracies: File with accuracies of architectures (CSV or parquet, columns `architecture`
            and `accuracy`), which a regression is fitted to, in place of a supernet's.
        space: Space that is searched without a supernet: itself, a preset or a TOML file. None:
            the workspace's last one.
        predictor: Predictors, or the folders they were saved in, by device name; predictors of
            other devices are loaded from the workspace.
        out: Folder to write the result to: new in a folder that exists, empty, or holding an
            interrupted search with the same settings; the workspace is not changed then. None: a
            new folder in the workspace, which becomes its latest search.
        evaluations: Number of architectures that are judged, most of them chosen by an accuracy
            predictor. None: chosen by the time budget.
        population: Number of parents in each generation of the paper's evolution, at most 4096,
            which takes the place of the accuracy predictor then. None: chosen by the time budget.
        generations: Number of its generations, at most 4096. None: chosen by the time budget. A
            search has at most 100,000 evaluations, which are population * (1 + 4 * generations).
        budget_minutes: Time budget of the whole search in minutes. None: about 3 minutes, up to
            15 on a slow machine.
        verify: Number of the best finalists that are timed on the device before one is chosen; as
            many again are while the best one that is left was not timed, or misses its cap. What is
            measured goes into the workspace's latency table and predictor. None: 3 where the device
            was profiled in this workspace and answers now, without `out` and `predictor`. 0: none.
        top: Number of the best architectures of each goal, at most 64. If it is more than one, as
            many are judged again and written to `top.csv`, with their subnets.
        start: Architectures that the search begins with, besides those that fill the space: any of
            `bank` (the memory banks of the training run), `published` and `searches` (winners and
            fronts of the workspace's latest searches, on which the result then depends).
        keep: Genes that are fixed, by name: `{"resolution": 192, "attn1.width": 64}`.
        extrapolate: Whether kernels outside the measured range are priced, with wider bounds,
            instead of refused.
        seed: Random seed.
        threads: Number of CPU threads: on a CPU, architectures that are judged at the same time
            (up to eight, with more threads each beyond that). None: torch's current number.
        torch_device: Torch device that the networks run on, such as `cpu` or `cuda:1`. None: CUDA
            if available, else the CPU.

    Raises:
        SettingError: A value is out of range, a device is named twice, or the search would have
            too many evaluations.
    """

    target_ms: Target | Sequence[Target] | None = None
    target: Mapping[str, Target] | None = None
    device: str | list[str] | tuple[str, ...] | None = None
    target_mmacs: Target | None = None
    front: int | None = None
    precision: str | None = None
    device_threads: int | None = None
    device_cores: str | None = None
    run: Path | str | None = None
    checkpoint: str = "latest"
    supernet: Path | str | None = None
    data: str | None = None
    proxy: str | None = None
    accuracies: Path | str | None = None
    space: SearchSpace | str | None = None
    predictor: Mapping[str, Path | str | Predictor] | None = None
    out: Path | str | None = None
    evaluations: int | None = None
    population: int | None = None
    generations: int | None = None
    verify: int | None = None
    top: int = 1
    start: tuple[str, ...] | list[str] = USUAL
    keep: Mapping[str, int] | None = None
    budget_minutes: float | None = None
    extrapolate: bool = False
    seed: int = 0
    threads: int | None = None
    torch_device: str | None = None

    def __post_init__(self) -> None:
        check_targets(self)
        for name in self.devices:
            check_name("device", name, SettingError, "device")
        check_distinct("device", self.devices)
        check_precision(self.precision, optional=True)
        self._check_start()
        self._check_sources()
        self._check_kept()
        check_minutes("budget_minutes", self.budget_minutes, SHORTEST_MINUTES)
        check_ranges(self, RANGES)
        if self.front is not None:
            check_front(self, len(self.devices))
        self._check_evaluations()
        for name in ("run", "out", "accuracies", "supernet"):
            check_path(name, getattr(self, name))
        if self.torch_device is not None and not isinstance(self.torch_device, str):
            raise SettingError(
                f"torch_device is {shown(self.torch_device)}; it must be a text such as cpu or "
                "cuda:1",
                settings=["torch_device"],
            )

    def _check_start(self) -> None:
        unknown = [name for name in self.start if name not in STARTS]
        if unknown or isinstance(self.start, str):
            raise SettingError(
                f"start is {shown(self.start)}; it may name {', '.join(STARTS)}",
                settings=["start"],
            )

    def _check_sources(self) -> None:
        """Check that accuracies come from one place."""
        named = [
            n for n in ("run", "supernet", "proxy", "accuracies") if getattr(self, n) is not None
        ]
        if len(named) > 1:
            raise SettingError(
                f"{' and '.join(named)} are all named; name one source of accuracies",
                settings=named,
            )
        for other in ("run", "supernet"):
            if self.space is not None and other in named:
                raise SettingError(
                    f"space and {other} are both named; a trained supernet has its space",
                    settings=["space", other],
                )
        if self.checkpoint not in CHECKPOINTS:
            raise SettingError(
                f"checkpoint is {shown(self.checkpoint)}; it is one of {', '.join(CHECKPOINTS)}",
                settings=["checkpoint"],
            )
        if self.checkpoint != "latest" and named and named != ["run"]:
            raise SettingError(
                f"checkpoint is {self.checkpoint}, but {named[0]} is named; only training runs "
                "have checkpoints: leave checkpoint out, or name a run",
                settings=["checkpoint", "run"],
            )
        if self.data is not None and self.supernet is None:
            raise SettingError(
                "data is named without supernet; a training run is judged on its own data set",
                settings=["data"],
            )

    def _check_kept(self) -> None:
        if self.keep is not None and not isinstance(self.keep, Mapping):
            raise SettingError(
                f"keep is {shown(self.keep)}; it must be a mapping of genes to their values",
                settings=["keep"],
            )
        for name, value in (self.keep or {}).items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise SettingError(
                    f"keep {shown(name)} is {shown(value)}; it must be a whole number",
                    settings=["keep"],
                )

    def _check_evaluations(self) -> None:
        """Check the sizes that are named together; one alone leaves the other to the budget."""
        if self.evaluations is not None and (self.population or self.generations):
            raise SettingError(
                "evaluations and the sizes of the paper's evolution (population, generations) are "
                "both named; name one of them",
                settings=["evaluations", "population", "generations"],
            )
        if self.population is None or self.generations is None:
            return
        try:
            EvolutionConfig.of(self.population, self.generations)
        except TargetError as error:
            raise SettingError(str(error), settings=error.settings) from error

    @property
    def targets_ms(self) -> tuple[tuple[float, ...], ...]:
        """The latency targets in milliseconds: one for all devices or one for each, and for each
        that of every goal, or one for all; empty if there are none."""
        value = self.target_ms
        if value is None:
            return ()
        return tuple(map(several, value if isinstance(value, list | tuple) else [value]))

    @property
    def named_targets(self) -> dict[str, tuple[float, ...]]:
        """The latency targets by device, and for each that of every goal, or one for all."""
        named = (self.target or {}).items()
        return {name: several(value) for name, value in named if name not in COSTS}

    @property
    def cost_targets(self) -> dict[str, tuple[float, ...]]:
        """The targets of other costs by their name in `COSTS`, each that of every goal, or one for
        all."""
        macs = {} if self.target_mmacs is None else {"mmacs": self.target_mmacs}
        named = {**macs, **(self.target or {})}.items()
        return {name: several(value) for name, value in named if name in COSTS}

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices; empty if none is named."""
        return device_names(self.device)

    @property
    def has_target(self) -> bool:
        """Whether a target is named; if a device is named, it must be a latency target."""
        latency = bool(self.targets_ms or self.named_targets)
        return latency or bool(self.cost_targets and not self.devices)
