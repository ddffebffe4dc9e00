"""The errors this project raises at its users.

Every message names the bad value, the rule it broke and what to do next, in words that hold for
the library and for the commands alike. What else would help is a fact of the error: the settings
of the flow that change the outcome, and the flow that makes what is missing. The commands print
the message without a traceback, turn these facts into their own options, and leave with
`exit_code`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NextStep:
    """A flow that makes what is missing.

    Attributes:
        flow: Name of the flow: `profile`, `train`, `search` or `export`.
        settings: The settings that matter, by name.
    """

    flow: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class EvitError(Exception):
    """Something that the user can mend; the commands show it as one message, exit code 2.

    Attributes:
        settings: Names of settings of the flow that change the outcome, such as `extrapolate`.
        next_step: The flow that makes what is missing; None if there is none.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, settings: Sequence[str] = (), next_step: NextStep | None = None
    ) -> None:
        super().__init__(message)
        self.settings, self.next_step = tuple(settings), next_step


class SettingError(EvitError, ValueError):
    """A setting of a flow that makes no sense, or contradicts another."""


class ArchError(EvitError, ValueError):
    """An architecture that is malformed or lies outside the search space."""


class SpaceError(EvitError, ValueError):
    """A search space that contradicts itself, or an unknown one."""


class ModelError(EvitError, ValueError):
    """A model that cannot be made or changed as asked, or weights that are not published."""


class FileError(EvitError):
    """A file or folder that the file system does not let us write."""


class WorkspaceError(EvitError):
    """A workspace that is missing, foreign, or not yet filled by an earlier command."""


class DataError(EvitError, ValueError):
    """A data set that is unknown, unreadable or unusable."""


class CheckpointError(EvitError):
    """A checkpoint that is truncated or belongs to something else."""


class TrainingError(EvitError):
    """A training run whose loss is no longer finite."""


class StoreError(EvitError):
    """A latency table that is corrupt, of another schema or written by a newer version."""


class PredictorError(EvitError):
    """A predictor that is missing, too new, or asked for kernels outside its measured range."""


class ProcessError(EvitError):
    """One of several processes that work together is gone."""


class TargetError(EvitError, ValueError):
    """A latency or complexity target that no architecture of the space meets."""


class ExportError(EvitError):
    """A model that could not be converted, or whose outputs differ from torch's."""


class DeviceError(EvitError):
    """A device that cannot do what was asked."""


class DeviceUnknown(DeviceError):
    """No device of this name in the catalogue or in the workspace."""


class DeviceUnreachable(DeviceError):
    """The device does not answer, or the link to it broke."""


class DeviceUnauthorised(DeviceError):
    """The device has not accepted this computer's key."""


class RunnerMissing(DeviceError):
    """The program that times models on the device is not there."""


class DeviceTooHot(DeviceError):
    """The device did not cool down in time."""
