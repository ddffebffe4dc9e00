"""How a profile decides what to measure, and how a predictor is fitted to the measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from elasticvit.space import SearchSpace

if TYPE_CHECKING:
    from lut.dataset import Dataset
    from lut.plan import PlanConfig
    from lut.store import Store
    from predictors.predictor import Predictor


class ProfilingMethod(Protocol):
    """What to measure of a device, and how its predictor is fitted.

    `DirectMethod` fits to the device's own measurements alone, `flows.learn_method.TransferMethod`
    also to the predictors of source devices.
    """

    @property
    def planning(self) -> str:
        """What `plan` does, for progress."""
        ...

    def plan(self, store: Store, device: str, config: PlanConfig) -> PlanConfig:
        """The plan of a device's profile, from the plan that the settings give."""
        ...

    @property
    def chooses(self) -> bool:
        """Whether kernels are chosen while profiling, where the regressors are uncertain."""
        ...

    def dataset(self, data: Dataset) -> Dataset:
        """The part of the measurements that this method uses."""
        ...

    def fit(self, device: str, data: Dataset) -> Predictor:
        """The predictor of a device.

        Raises:
            PredictorError: Too little was measured.
        """
        ...

    def notes(
        self, predictor: Predictor, data: Dataset, errors: Mapping[str, Mapping[str, float]]
    ) -> list[str]:
        """Sentences on how the predictor was made."""
        ...

    def facts(self, predictor: Predictor, data: Dataset) -> dict[str, Any]:
        """JSON-ready facts on how the predictor was made, for the profile's result."""
        ...


@dataclass(frozen=True)
class DirectMethod:
    """Measures the kernels of a space, and fits regressors to these measurements alone.

    Attributes:
        space: Search space that is profiled.
        chooses: Kernels are chosen while profiling.
    """

    space: SearchSpace
    chooses: bool = True

    @property
    def planning(self) -> str:
        return "choosing the kernels and subnets to measure"

    def plan(self, store: Store, device: str, config: PlanConfig) -> PlanConfig:
        return config

    def dataset(self, data: Dataset) -> Dataset:
        return data

    def fit(self, device: str, data: Dataset) -> Predictor:
        from predictors.evaluate import fit_dataset

        return fit_dataset(data, self.space, device=device)

    def notes(
        self, predictor: Predictor, data: Dataset, errors: Mapping[str, Mapping[str, float]]
    ) -> list[str]:
        return []

    def facts(self, predictor: Predictor, data: Dataset) -> dict[str, Any]:
        return {}
