"""The errors this project raises at its users.

Every message names the bad value, the rule it broke and what to do next. The commands
print it without a traceback and leave with `exit_code`.
"""

from __future__ import annotations


class EvitError(Exception):
    """Something the user can mend; shown as one message, exit code 2."""

    exit_code = 2


class ArchError(EvitError, ValueError):
    """An architecture that is malformed or lies outside the search space."""


class SpaceError(EvitError, ValueError):
    """A search space that contradicts itself, or an unknown one."""


class WorkspaceError(EvitError):
    """A workspace that is missing, foreign, or not yet filled by an earlier command."""


class DataError(EvitError, ValueError):
    """A data set that is unknown, unreadable or unusable."""


class CheckpointError(EvitError):
    """A checkpoint that is truncated or belongs to something else."""


class TrainingError(EvitError):
    """A training that failed, or a setting of it that makes no sense."""


class StoreError(EvitError):
    """A latency table that is corrupt, of another schema or written by a newer version."""


class PredictorError(EvitError):
    """A predictor that is missing, too new, or asked for what it never saw."""


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


class ModelRejected(DeviceError):
    """The device's runtime refused or crashed on a model."""


class DeviceTooHot(DeviceError):
    """The device did not cool down in time."""
