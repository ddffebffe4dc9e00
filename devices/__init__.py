"""Devices that time models: this computer, phones over ADB, and a fake for tests."""

from devices.protocol import (
    Conditions,
    Device,
    DeviceInfo,
    Measurement,
    Rejected,
    TimedModel,
    TimingConfig,
)
from devices.registry import open_device

__all__ = [
    "Conditions",
    "Device",
    "DeviceInfo",
    "Measurement",
    "Rejected",
    "TimedModel",
    "TimingConfig",
    "open_device",
]
