"""Contract suites: what every device and every cost model must do, for pytest.

A package that brings a device inherits `DeviceContract` in a test file of its own and provides the
device; one that brings a cost model inherits `CostContract`, one that brings an export format
`FormatContract`:

    import pytest
    from elasticvit.testing import DeviceContract

    class TestMyDevice(DeviceContract):
        @pytest.fixture
        def device(self):
            return MyDevice()

Importing this package asks pytest to rewrite the assertions of the suites, so that a failure shows
the values. `tiny_models` makes small TFLite models without a converter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "elasticvit.testing holds test suites and needs pytest; run `pip install pytest`"
    ) from error

pytest.register_assert_rewrite(
    "elasticvit.testing.device", "elasticvit.testing.cost", "elasticvit.testing.export_format"
)

from elasticvit.testing.cost import CostContract  # noqa: E402 - after the rewriting is registered
from elasticvit.testing.device import DeviceContract  # noqa: E402

if TYPE_CHECKING:
    from elasticvit.testing.export_format import FormatContract

__all__ = ["CostContract", "DeviceContract", "FormatContract"]


def __getattr__(name: str) -> Any:
    if name == "FormatContract":  # loads torch
        from elasticvit.testing.export_format import FormatContract

        return FormatContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
