"""Settings of the flow that times model files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.flows.places import check_path
from elasticvit.flows.profile_settings import ProfileSettings
from elasticvit.flows.settings import check_whole, device_names
from elasticvit.names import HOST
from elasticvit.reading import shown

FEWEST_ROUNDS = 15  # of each model, if no number is asked for
FEWEST_IN_ALL = 30  # likewise of all models, below which background load is not corrected for
MOST_MODELS = 100


@dataclass(frozen=True, kw_only=True)
class ModelTimingSettings:
    """Settings of the flow that times model files.

    Attributes:
        model: Path of a TFLite file, or paths of several, which are timed in turns.
        device: Names of the devices, as in `ProfileSettings`.
        rounds: Number of rounds in which each model is timed. None: 15, and more of a single
            model, so that background load can be corrected for.
        threads: Number of inference threads.
        cores: CPU cores: `auto`, `big`, `mid`, `little` or a hexadecimal mask such as `f0`.
        seed: Random seed of the order of the models in each round.
        address, serial, runner: Where the phone is and what times models on it, as in
            `ProfileSettings`.

    Raises:
        SettingError: A value is out of range, a device is named twice, or no model is named.
    """

    model: Path | str | Sequence[Path | str]
    device: str | tuple[str, ...] = HOST
    rounds: int | None = None
    threads: int = 1
    cores: str = "auto"
    seed: int = 0
    address: str | None = None
    serial: str | None = None
    runner: Path | str | None = None

    def __post_init__(self) -> None:
        given = [self.model] if isinstance(self.model, (Path, str)) else self.model
        if not isinstance(given, Sequence) or not 0 < len(given) <= MOST_MODELS:
            raise SettingError(
                f"model is {shown(self.model)}; name 1 to {MOST_MODELS} TFLite files",
                settings=["model"],
            )
        for path in given:
            check_path("model", path)
        object.__setattr__(self, "model", tuple(Path(path) for path in given))
        if self.rounds is not None:
            object.__setattr__(self, "rounds", check_whole("rounds", self.rounds, 2, 99))
        ProfileSettings(  # the same rules
            device=self.device,
            threads=self.threads,
            cores=self.cores,
            seed=self.seed,
            address=self.address,
            serial=self.serial,
            runner=self.runner,
        )

    @property
    def models(self) -> tuple[Path, ...]:
        """The paths of the models."""
        assert isinstance(self.model, tuple)
        return self.model

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of the devices."""
        return device_names(self.device)


def rounds_of(rounds: int | None, models: int) -> int:
    """Number of rounds that each of several models is timed in.

    Args:
        rounds: The number that was asked for; None if none was.
        models: Number of models.
    """
    return rounds or max(FEWEST_ROUNDS, -(-FEWEST_IN_ALL // models))
