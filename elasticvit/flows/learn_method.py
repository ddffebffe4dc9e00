"""How a new device is learnt: what is measured of it, and what is taken from source devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import PredictorError, SettingError
from elasticvit.flows.learn_settings import LearnSettings
from elasticvit.flows.profile_result import Errors
from elasticvit.precisions import FP32, profile_step
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from lut.dataset import Dataset
    from lut.plan import PlanConfig
    from lut.store import Store
    from predictors.predictor import Predictor
    from predictors.source_devices import SourceDevices

FEW_SUBNETS = 12  # timed besides: they show what a sum of kernels misses


@dataclass(frozen=True)
class TransferMethod:
    """Measures a few informative kernels, and transfers the predictors of source devices to them.

    Attributes:
        space: Search space with the kernels to predict.
        origins: Provenance of each source device's predictor, by device name.
        sources: The source devices.
        count: Number of kernels to choose for measuring.
        precision: Precision of the source devices' latencies, and of the new device's.
        chooses: Kernels are chosen before profiling and not during it.
    """

    space: SearchSpace
    origins: Mapping[str, str]
    sources: SourceDevices
    count: int
    precision: str = FP32
    chooses: bool = False

    @classmethod
    def of(
        cls, workspace: Workspace, settings: LearnSettings, space: SearchSpace
    ) -> TransferMethod:
        """The method for the source devices that the settings name.

        Raises:
            PredictorError: A source device has no predictor in the workspace, or none in the
                precision, or its predictor does not cover the space.
        """
        from elasticvit.cost import reachable_kernels
        from predictors.provenance import origin
        from predictors.source_devices import SourceDevices
        from predictors.workspace_predictors import load_device_predictor

        kernels = reachable_kernels(space)
        precision, cpu = settings.precision, CpuSetting(settings.threads, settings.cores)
        known = {}
        for name in settings.sources:
            try:
                known[name] = load_device_predictor(workspace, name, precision, prefer=cpu)
            except PredictorError as error:
                if "device" in error.settings:  # a source is named in another setting
                    error.settings = ("like",)
                raise
        for name, predictor in known.items():
            outside = predictor.outside(kernels)
            if outside:
                raise PredictorError(
                    f"{name} cannot be a source device: {outside[0].key} and {len(outside) - 1} "
                    f"more kernels of space {space.name} lie outside what was measured on it; "
                    "profile it longer, or name another source device",
                    settings=["like"],
                    next_step=profile_step(name, precision, space=space.name),
                )
        origins = {name: origin(predictor) for name, predictor in known.items()}
        sources = SourceDevices.of({name: p.kernels for name, p in known.items()}, space)
        return cls(space, origins, sources, settings.budget_kernels, precision)

    @property
    def planning(self) -> str:
        """What `plan` does, for progress."""
        return f"choosing {self.count} kernels by the predictors of {', '.join(self.origins)}"

    def plan(self, store: Store, device: str, config: PlanConfig) -> PlanConfig:
        """The plan with the most informative kernels that are not held out, and a few subnets.

        The choice is the same in every run.

        Raises:
            SettingError: The budget exceeds the number of kernels.
        """
        import numpy as np

        from lut.dataset import split_of
        from lut.held_out import HeldOutSplit
        from predictors.transfer import Transfer

        noted = store.noted(device, "split_seed")
        split = HeldOutSplit(seed=config.seed)
        if noted:
            split = split_of(store, device, self.precision)
        free = [k for k in self.sources.kernels if not split.held_out(k.key)]
        if self.count > len(free):
            raise SettingError(
                f"budget_kernels is {self.count}: space {self.space.name} has {len(free)} kernels "
                f"that may be chosen; name fewer, or profile {device} in full",
                settings=["budget_kernels"],
                next_step=profile_step(device, self.precision),
            )
        rng = np.random.default_rng(split.seed)
        chosen = Transfer(self.sources).choose(self.count, rng, candidates=free)
        return replace(config, chosen=tuple(chosen), max_subnets=FEW_SUBNETS)

    def dataset(self, data: Dataset) -> Dataset:
        """The measurements of the space's kernels and of all subnets."""
        known = set(self.sources.kernels)
        return replace(
            data,
            fit_kernels={k: ms for k, ms in data.fit_kernels.items() if k in known},
            held_kernels={k: ms for k, ms in data.held_kernels.items() if k in known},
        )

    def fit(self, device: str, data: Dataset) -> Predictor:
        """The predictor of a device, fitted to the measurements that are not held out.

        Raises:
            PredictorError: Too little was measured.
        """
        import numpy as np

        from predictors.fit import with_subnets
        from predictors.transfer import transfer_predictor

        learnt = transfer_predictor(
            data.fit_kernels,
            self.sources,
            self.space,
            device=device,
            source=data.series.source,
            rng=np.random.default_rng(0),
            precision=self.precision,
            cpu=data.series.cpu,
        )
        return with_subnets(learnt, data.fit_subnets, self.space)

    def notes(self, predictor: Predictor, data: Dataset, errors: Errors) -> list[str]:
        """Sentences on the source devices, the number of measurements and the expected error."""
        from predictors.evaluate import SUBNETS

        known = "; ".join(f"{name} ({origin})" for name, origin in self.origins.items())
        sentences = [
            f"source devices: {known}",
            f"{predictor.device} learnt from them, from {len(data.fit_kernels)} of its own kernels "
            f"of the {len(self.sources.kernels)} in space {self.space.name}, and from "
            f"{len(data.fit_subnets)} whole subnets",
        ]
        bounds = predictor.interval
        if bounds.coverage is not None:
            checked = "" if SUBNETS in errors else "; no whole subnet was held out to check it"
            sentences.append(
                f"a whole subnet should take {100 * (bounds.lower - 1):+.1f} % to "
                f"{100 * (bounds.upper - 1):+.1f} % of its prediction, each bound with a "
                f"probability of {bounds.coverage:.0%}{checked}"
            )
        return sentences

    def facts(self, predictor: Predictor, data: Dataset) -> dict[str, Any]:
        """JSON-ready facts on source devices, number of measurements and expected error."""
        return {
            "transfer": {
                "like": dict(self.origins),
                "budget_kernels": self.count,
                "kernels": len(data.fit_kernels),
                "subnets": len(data.fit_subnets),
                "interval": asdict(predictor.interval),
            }
        }
