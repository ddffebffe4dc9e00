"""Makes permissions bind a process of root, as they bind everyone else."""

from __future__ import annotations

import ctypes
import os

from attacks.attack import Impossible

VERSION = 0x20080522  # of the system call `capset`, for 64 capabilities
OVERRIDING = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
PR_CAPBSET_DROP = 24


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def obey_permissions() -> None:
    """Give up the right to ignore permissions of files, for this process and what it starts.

    Raises:
        Impossible: The system does not allow it.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = _Header(VERSION, 0), (_Data * 2)()
    if libc.capget(ctypes.byref(header), data):
        raise Impossible("the capabilities of this process cannot be read")
    for number in OVERRIDING:
        if libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0):
            raise Impossible("this process may not give up capabilities")
        for name in ("effective", "permitted", "inheritable"):
            setattr(data[0], name, getattr(data[0], name) & ~(1 << number))
    if libc.capset(ctypes.byref(header), data):
        raise Impossible("this process may not give up capabilities")
