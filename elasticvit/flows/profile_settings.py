"""Settings of the profile flow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.flows.settings import check_distinct, check_minutes, check_ranges, device_names
from elasticvit.names import HOST, check_name
from elasticvit.precisions import FP32, check_precision
from elasticvit.reading import shown
from elasticvit.space import SearchSpace

DEFAULT_MINUTES = 10.0
SHORTEST_MINUTES = 0.02
LONGEST = 1000  # characters of an address or a serial number
CORES = re.compile(r"auto|big|mid|little|(0[xX])?0*[1-9a-fA-F][0-9a-fA-F]{0,255}")
RANGES = {"rounds": (2, 99), "threads": (1, 64), "seed": (0, 2**31 - 1)}


@dataclass(frozen=True, kw_only=True)
class ProfileSettings:
    """Settings of the profile flow.

    Attributes:
        device: Names of the devices, which are profiled at the same time: `host`, phones of the
            catalogue or of the workspace's `devices.toml`, or devices that other packages add.
        space: Search space: a `SearchSpace`, a preset or a TOML file. None: the one that was used
            last, or `mobile`.
        budget_minutes: Time budget for measuring in minutes. None: as long as a good fit needs, at
            most ten minutes.
        rounds: Number of rounds in which each model is timed.
        threads: Number of inference threads.
        cores: CPU cores: `auto`, `big`, `mid`, `little` or a hexadecimal mask such as `f0`.
        precision: Precision that the models are timed in: `fp32`, `fp16`, `int8` (weights in 8
            bits) or `int8-full` (activations as well); each has a table and a predictor of its own.
        seed: Random seed of the choice of models and of the held-out split.
        address: Network address `HOST[:PORT]` of the phone, to use instead of USB.
        serial: Serial number of the phone on USB. None: the only connected phone.
        runner: Path of TFLite's `benchmark_model` program for phones. None: the workspace's, which
            is the last one that worked.

    Raises:
        SettingError: A value is out of range, a device is named twice, or an address or serial
            number is given for several devices.
    """

    device: str | tuple[str, ...] = HOST
    space: SearchSpace | str | None = None
    budget_minutes: float | None = None
    rounds: int = 3
    threads: int = 1
    cores: str = "auto"
    precision: str = FP32
    seed: int = 0
    address: str | None = None
    serial: str | None = None
    runner: Path | str | None = None

    def __post_init__(self) -> None:
        names = self.devices
        if not names:
            raise SettingError(f"device is {self.device!r}; name at least one", settings=["device"])
        for name in names:
            check_name("device", name, SettingError, "device")
        check_distinct("device", names)
        if len(names) > 1 and (self.address or self.serial):
            raise SettingError(
                f"{len(names)} devices, but one address or serial number; name one device",
                settings=["device"],
            )
        check_minutes("budget_minutes", self.budget_minutes, SHORTEST_MINUTES)
        check_ranges(self, RANGES)
        check_precision(self.precision)
        if not isinstance(self.cores, str) or not CORES.fullmatch(self.cores):
            raise SettingError(
                f"cores is {shown(self.cores)}; it must be auto, big, mid, little or a hexadecimal "
                "mask such as f0",
                settings=["cores"],
            )
        for setting in ("address", "serial"):
            value = getattr(self, setting)
            if value is not None and not (0 < len(value) <= LONGEST and value.isprintable()):
                raise SettingError(
                    f"{setting} is {shown(value)}; it must be 1 to {LONGEST} printable characters",
                    settings=[setting],
                )

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of the devices."""
        return device_names(self.device)
