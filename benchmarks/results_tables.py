"""How the results look: Markdown tables from what the commands said.

A table shows only those of its names that have a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results_against import AGAINST, against_rows
from results_export import precision_rows, precision_summary
from results_profiles import profile_rows, profile_summary
from results_search import proxy_rows, search_rows, search_summary
from results_training import (
    alone_rows,
    cheaper_rows,
    conflict_rows,
    fine_tuning_rows,
    rate_rows,
    technique_rows,
    timm_rows,
)

Line = dict[str, Any]
Rows = Callable[[Mapping[str, Any]], list[list[str]]]


@dataclass(frozen=True)
class Table:
    """A table of some results.

    Attributes:
        caption: Caption above the table.
        names: Names of the results that it shows.
        rows: Function from the available lines to the cells of all rows, the head first.
        summary: The same for the README; None if the table is not in it.
    """

    caption: str
    names: tuple[str, ...]
    rows: Rows
    summary: Rows | None = None


def render(lines: Mapping[str, Line], *, whole: bool = True) -> str:
    """The tables with a line, each with the CPU and the day; then where each was measured.

    Args:
        lines: Results by name.
        whole: Whether every table is there, and whole; the README has summaries of some.
    """
    parts = []
    for table in TABLES:
        there = {name: lines[name] for name in table.names if name in lines}
        rows = table.rows if whole else table.summary
        if there and rows is not None:
            parts += [f"**{table.caption}** ({_where(there)})", _markdown(rows(there))]
    if lines and whole:
        parts.append(_provenance(lines))
    return "\n\n".join(parts)


def _where(lines: Mapping[str, Line]) -> str:
    """CPUs and days of some results."""
    by_cpu: dict[str, set[str]] = {}
    for line in lines.values():
        cpu = str(line["machine"]["cpu"]).replace("(R)", "").removesuffix(" Processor")
        by_cpu.setdefault(cpu, set()).add(str(line["date"]))
    return "; ".join(f"{cpu}, {' and '.join(sorted(days))}" for cpu, days in by_cpu.items())


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def _provenance(lines: Mapping[str, Line]) -> str:
    by_machine: dict[str, list[str]] = {}
    for name, line in lines.items():
        facts = dict(line["machine"])
        cpu, cores = facts.pop("cpu"), facts.pop("cores")
        where = f"{cpu}, {cores} core(s), {', '.join(f'{n} {v}' for n, v in facts.items())}"
        by_machine.setdefault(where, []).append(f"{name} ({line['date']}, {line['commit']})")
    return "\n".join(f"Measured on {w}: {', '.join(names)}." for w, names in by_machine.items())


def _demo(lines: Mapping[str, Line]) -> list[list[str]]:
    (line,) = lines.values()
    search, export = line["result"]["search"], line["result"]["export"]
    head = ["command", "took", "target", "predicted (upper bound)", "measured"]
    head += ["accuracy in torch", "in TFLite", "top-1 agreement"]
    row = [
        f"`{line['command']}`",
        f"{line['seconds'] / 60:.1f} min",
        f"{search['target']:g} ms",
        f"{search['predicted_ms']:.3f} ({search['upper_ms']:.3f}) ms",
        f"{export['measured_ms']:.3f} ms",
        f"{export['torch_accuracy']:.2f} %",
        f"{export['exported_accuracy']:.2f} %",
        f"{export['agreement']:.2f} % of {export['images']} images",
    ]
    return [head, row]


TABLES = (
    Table("The whole way", ("demo",), _demo, _demo),
    Table(
        "Latency prediction: held-out errors",
        ("profile_tiny", "profile_mobile"),
        profile_rows,
        profile_summary,
    ),
    Table(
        "Three subnets of the supernet that comes with the package, and the same architectures "
        "trained alone, each for a third of its time: test accuracy on CIFAR-10",
        ("alone",),
        alone_rows,
        alone_rows,
    ),
    Table(
        "Three networks of timm trained from scratch, each for a quarter of the time of the "
        "supernet that comes with the package, on CIFAR-10",
        ("beside_timm",),
        timm_rows,
        timm_rows,
    ),
    Table(
        "Sampling, in about the same time of one core, on CIFAR-10: a fixed panel of subnets",
        ("cheaper",),
        cheaper_rows,
    ),
    Table(
        "The same on two cores, on which two subnets of a step run at the same time",
        ("cheaper_two_cores",),
        cheaper_rows,
    ),
    Table(
        "A subnet of the CIFAR-10 supernet that comes with the package, trained on digits: test "
        "accuracy",
        ("fine_tuning",),
        fine_tuning_rows,
    ),
    Table(
        "The learning rate of recipe `cpu-minutes` on sets of several kinds (digits and CIFAR-10's "
        "classes): mean test accuracy of a panel",
        ("learning_rate",),
        rate_rows,
    ),
    Table(
        "Against gradient conflicts, at equal steps on CIFAR-10: a fixed panel of subnets",
        ("conflict",),
        conflict_rows,
        technique_rows,
    ),
    Table(
        "Searches under five caps: accuracy of the winners, a mean over caps, by evaluations",
        ("search",),
        search_rows,
        search_summary,
    ),
    Table("Proxies: rank correlation with test accuracies", ("proxies",), proxy_rows),
    Table(
        "Formats and precisions of exported files (random weights, noise images; XNNPACK computes "
        "fp16 in fp32 on x86)",
        ("precision",),
        precision_rows,
        precision_summary,
    ),
    Table(
        "Their accuracy on 2,000 of CIFAR-10's test images (random subnets of the supernet that "
        "comes with the package)",
        ("precision_trained",),
        precision_rows,
    ),
    Table(
        "Against the alternatives, in the same run each", tuple(AGAINST), against_rows, against_rows
    ),
)
