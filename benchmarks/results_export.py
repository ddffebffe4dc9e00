"""Rows of the results about exported files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
SEPARATOR = " / "
COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "mb": ("MB", "{:.1f}".format),
    "speed_up": ("times as fast as fp32", "{:.2f}".format),
    "max_rel_diff": ("largest difference of a logit, standard deviations", "{:.1g}".format),
    "least_cosine": ("smallest cosine", "{:.4f}".format),
    "agreement": ("same class, %", "{:.0f}".format),
    "accuracy": ("accuracy, %", "{:.2f}".format),
    "torch_accuracy": ("in torch, %", "{:.2f}".format),
    "partitions": ("partitions", "{}".format),
    "load_ms": ("load, ms", "{:.0f}".format),
}


SUMMARY_FORMATS = ("tflite", "onnx")
SUMMARY_COLUMNS = ("mb", "speed_up", "agreement", "partitions")


def precision_summary(lines: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The rows of two formats, with fewer columns."""
    return precision_rows(lines, SUMMARY_FORMATS, SUMMARY_COLUMNS)


def precision_rows(
    lines: Mapping[str, Mapping[str, Any]],
    formats: Sequence[str] | None = None,
    columns: Sequence[str] = tuple(COLUMNS),
) -> list[list[str]]:
    """A row a subnet and format, whose cells hold a figure a precision."""
    (line,) = lines.values()
    groups: dict[tuple[str, str], list[Row]] = {}
    for one in line["result"]["rows"]:
        if formats is None or one["format"] in formats:
            groups.setdefault((one["name"], one["format"]), []).append(one)
    shown = [key for key in columns if any(key in row for rows in groups.values() for row in rows)]
    precisions = max(([row["precision"] for row in rows] for rows in groups.values()), key=len)
    head = [f"`{line['command']}`", f"format (in each cell {SEPARATOR.join(precisions)})"]
    table = [[*head, *(COLUMNS[key][0] for key in shown)]]
    name = ""
    for (subnet, form), rows in groups.items():
        cells = [_cell(rows, key) for key in shown]
        table.append([subnet if subnet != name else "", form, *cells])
        name = subnet
    return table


def _cell(rows: Sequence[Row], key: str) -> str:
    """The figures of a subnet's files, once if all are the same; a dash for a file that was
    refused, or that has none."""
    text = COLUMNS[key][1]
    values = ["-" if row.get(key) is None else text(row[key]) for row in rows]
    return values[0] if len(set(values)) == 1 else SEPARATOR.join(values)
