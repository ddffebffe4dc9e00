"""What models compute on a device, beside how long they take.

A runtime can be wrong on one phone only: a delegate that another vendor built, a driver, a CPU
without an instruction. So a device may also run a model on inputs that are given and hand back the
outputs. Devices of other packages need not; `compute` says so by an error.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from devices.protocol import Device
from elasticvit.arrays import Float32Array
from elasticvit.errors import DeviceError

Floats = npt.NDArray[Any]


@runtime_checkable
class Computes(Protocol):
    """A device that hands back what a model computes."""

    def compute(self, model: bytes, inputs: Float32Array, name: str) -> Float32Array:
        """Outputs of a model.

        Args:
            model: TFLite flatbuffer with one float32 input and one float32 output.
            inputs: The input of each run, (n, *shape).
            name: Name of the input in the model.

        Returns:
            The output of each run, (n, values).

        Raises:
            DeviceError: The model does not run there, or the device's runner takes no inputs.
        """
        ...


def compute(device: Device, model: bytes, inputs: Float32Array, name: str) -> Float32Array:
    """Outputs of a model on a device that is open; see `Computes.compute`.

    Raises:
        DeviceError: The device hands no outputs back, fails, or gives too few of them.
    """
    if not isinstance(device, Computes):
        raise DeviceError(
            f"device {device.info.name} times models and hands back no outputs; check the file on "
            "another device",
            settings=("device",),
        )
    outputs = device.compute(model, np.ascontiguousarray(inputs, np.float32), name)
    if outputs.ndim != 2 or len(outputs) != len(inputs):
        raise DeviceError(
            f"device {device.info.name} gave outputs of shape {outputs.shape} for {len(inputs)} "
            "inputs; update its runner",
            settings=("device", "runner"),
        )
    return outputs
