"""The table of `evit-export`: what was expected of each file beside what it does."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from elasticvit.cli.wording import file_size
from elasticvit.flows.export_result import ExportedFile

NONE = "-"


def proof_table(files: Sequence[ExportedFile]) -> Table:
    """A row a figure, a column a file; what torch and the search expect stands before them.

    Args:
        files: The files of one bundle.
    """
    cards = [one.card for one in files]
    first = cards[0]
    table = Table(title=first.title, title_justify="left")
    table.add_column("")
    table.add_column("expected", justify="right")
    for card in cards:
        table.add_column(card.file, justify="right", overflow="fold")

    def row(name: str, expected: str, values: Sequence[str | None]) -> None:
        if any(value is not None for value in values):
            table.add_row(name, expected, *(NONE if v is None else v for v in values))

    def number(value: float | None, form: str) -> str | None:
        return None if value is None else format(value, form)

    parities = [card.parity for card in cards]
    fresh = [card.fresh for card in cards]
    timings = [card.timing for card in cards]
    p = first.parity
    row("size", "", [file_size(card.bytes) for card in cards])
    if p.torch_accuracy is not None:
        row(
            f"accuracy, % of {p.images:,} images",
            f"{p.torch_accuracy:.2f} ± {p.accuracy_error:.2f}",
            [number(one.exported_accuracy, ".2f") for one in parities],
        )
        row(
            "points less than torch",
            f"<= {files[0].drop.allowed:g}",
            [
                f"{one.drop:.2f}" + ("" if one.drop_error is None else f" ± {one.drop_error:.2f}")
                for one in parities
            ],
        )
    row("same class as torch, %", "100.00", [f"{one.agreement:.2f}" for one in parities])
    row("largest difference of a logit", "", [f"{one.max_abs_diff:.1e}" for one in parities])
    row("- in standard deviations", "", [f"{one.max_rel_diff:.1e}" for one in parities])
    row("smallest cosine of logits", "1", [number(one.min_cosine, ".8f") for one in parities])
    row(
        "operators",
        "",
        [f"{sum(c.operators.values())}" if c.operators else None for c in cards],
    )
    row("partitions of the CPU delegate", "1", [number(c.partitions, "d") for c in cards])
    row("load here, ms", "", [number(f.load_ms, ".2f") if f else None for f in fresh])
    row(
        "- from a cache of weights, ms",
        "",
        [number(f.cached_load_ms, ".2f") if f else None for f in fresh],
    )
    row("first inference here, ms", "", [number(f.first_ms, ".3f") if f else None for f in fresh])
    row("steady inference here, ms", "", [number(f.steady_ms, ".3f") if f else None for f in fresh])
    row("memory here", "", [file_size(f.memory_bytes) if f else None for f in fresh])
    for device in dict.fromkeys(t.device for t in timings if t is not None):
        here = [t if t is not None and t.device == device else None for t in timings]
        predicted = next((t.predicted_ms for t in here if t and t.predicted_ms), None)
        row(
            f"ms on {device}",
            number(predicted, ".3f") or NONE,
            [number(t.measured_ms, ".3f") if t else None for t in here],
        )
    row("predicted / measured", "1.000", [number(t.ratio, ".3f") if t else None for t in timings])
    return table
