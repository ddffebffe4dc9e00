"""Whether two results of a command say the same, apart from times, places and measured figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

VARYING = {  # names of figures that differ from run to run
    *("took_s", "expected_s", "seconds", "measured_ms", "median_ms", "low_ms", "high_ms"),
    *("ratio", "runs", "rounds", "created", "time_s", "age_s", "drift", "convert_s", "cores"),
    *("max_abs_diff", "max_rel_diff", "step_s", "remaining_s", "interrupted_runs"),
    *("load_ms", "cached_load_ms", "first_ms", "steady_ms", "memory_bytes", "baseline_bytes"),
    "cached_memory_bytes",
}
STAMP = re.compile(r"\d{8}-\d{6}(-\d+)?")
PLACE = re.compile(r"/[^\s'\"]*/site\b")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over the values of a result, each with its path, without those that vary."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in VARYING:
                yield from leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from leaves(part, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, PLACE.sub("SITE", STAMP.sub("TIME", value))
    else:
        yield path, value


def differences(expected: Any, found: Any, carried: str | None = None) -> list[str]:
    """What differs between two results, a phrase each.

    Args:
        carried: A text that may stand in place of another one.
    """
    one, other = dict(leaves(expected)), dict(leaves(found))
    return [
        f"{path} is {other.get(path, 'missing')!r:.60} instead of {one.get(path, 'missing')!r:.60}"
        for path in sorted({*one, *other})
        if one.get(path) != other.get(path)
        and not (carried is not None and carried in str(other.get(path)))
    ]
