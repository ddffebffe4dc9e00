"""Devices that time models: this computer, phones over ADB, and a fake for tests.

`protocol` defines what a device is, `registry` opens one by its name, `catalog` lists known phones,
`discovery` finds the connected ones, `outside` finds devices of other packages, and `fleet` works
on several devices at once. The devices themselves are in `host` (this computer), `phone` (what is
done on a phone, over the wire of `adb`) and `fake`.
"""

from devices.outside import OpenOptions
from devices.protocol import (
    Conditions,
    Device,
    DeviceInfo,
    Measurement,
    Rejected,
    TimedModel,
    TimingConfig,
)
from devices.quality import Quality
from devices.registry import known_devices, open_device

__all__ = [
    "Conditions",
    "Device",
    "DeviceInfo",
    "Measurement",
    "OpenOptions",
    "Quality",
    "Rejected",
    "TimedModel",
    "TimingConfig",
    "known_devices",
    "open_device",
]
