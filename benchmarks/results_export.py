"""Rows of the README about exported files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def precision_rows(lines: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row an architecture and a precision."""
    (line,) = lines.values()
    head = [f"`{line['command']}`", "precision", "MB", "times as fast as fp32"]
    differs = "largest difference of a logit, standard deviations"
    rows = [[*head, differs, "cosine", "accuracy (torch)", "partitions"]]
    for one in line["result"]["rows"]:
        accuracy = ""
        if "accuracy" in one:
            accuracy = f"{one['accuracy']:.2f} % ({one['torch_accuracy']:.2f} %)"
        rows.append(
            [
                one["name"] if one["precision"] == "fp32" else "",
                one["precision"],
                f"{one['mb']:.1f}",
                f"{one['speed_up']:.2f}",
                f"{one['max_rel_diff']:.1g}",
                f"{one['cosine']:.5f}",
                accuracy,
                str(one["partitions"]),
            ]
        )
    return rows
