"""This computer as a device.

`device` is the host as a `devices.protocol.Device`. It sends requests over pipes (`framing`) to a
worker `process`, which runs `worker`: it loads the `runtime`, times models with it and runs the
`calibration` models around them. `facts` are read from /sys and /proc.
"""

from devices.host.device import HostDevice

__all__ = ["HostDevice"]
