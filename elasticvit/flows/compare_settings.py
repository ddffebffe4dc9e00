"""Settings of the flow that compares exported models and other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.flows.model_timing_settings import MOST_MODELS, ModelTimingSettings
from elasticvit.flows.places import check_path
from elasticvit.names import HOST
from elasticvit.reading import shown


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Settings of the flow that compares models.

    Attributes:
        models: What is compared, at least two; the first is what the others are measured by. Each
            is the folder of an export, the folder of a search (whose winners are written directly
            as TFLite), or a TFLite file; as a text, `NAME=` before the path gives it a name.
        device: Name of the device. None: the one that was profiled last, or `host`.
        rounds, threads, cores, seed: As in `ModelTimingSettings`.

    Raises:
        SettingError: A value is out of range, or fewer than two models are named.
    """

    models: Sequence[Path | str]
    device: str | None = None
    rounds: int | None = None
    threads: int = 1
    cores: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        several = isinstance(self.models, Sequence) and not isinstance(self.models, str)
        if not several or not 2 <= len(self.models) <= MOST_MODELS:
            raise SettingError(
                f"models is {shown(self.models)}; name 2 to {MOST_MODELS} folders of exports or "
                "searches, or TFLite files",
                settings=["models"],
            )
        for path in self.models:
            check_path("models", path)
        object.__setattr__(self, "models", tuple(self.models))
        ModelTimingSettings(  # the same rules
            model="any",
            device=self.device or HOST,
            rounds=self.rounds,
            threads=self.threads,
            cores=self.cores,
            seed=self.seed,
        )
