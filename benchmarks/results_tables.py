"""How the results look: Markdown tables from what the commands said.

A table shows only those of its names that have a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results_export import precision_rows, precision_summary
from results_search import proxy_rows, search_rows, search_summary
from results_training import (
    cheaper_rows,
    conflict_rows,
    fine_tuning_rows,
    rate_rows,
    technique_rows,
    timm_rows,
)

Line = dict[str, Any]
Rows = Callable[[Mapping[str, Any]], list[list[str]]]
Result = Mapping[str, Any]
SUMS, SUBNETS = "subnets, as sums of kernels", "subnets"


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


def _fitted(r: Result) -> str:
    kernels = sum(count for kind, count in r["measured"].items() if kind != "subnet")
    return f"{kernels} kernels, {r['measured']['subnet']} subnets"


def _close(errors: Mapping[str, float] | None) -> str:
    if errors is None:  # a profile that was too short for any
        return "none timed"
    return (
        f"{errors['within_5_pct']:.0f} / {errors['within_10_pct']:.0f} %, "
        f"{errors['rmspe_pct']:.1f} %"
    )


PROFILE_ROWS: dict[str, Callable[[Result], str]] = {
    "time for measuring": lambda r: f"{r['seconds'] / 60:.1f} min",
    "fitted with": _fitted,
    "held-out subnets": lambda r: f"{r['held_out']['subnet']}",
    "sums of kernels: bias": lambda r: f"{r['errors'][SUMS]['bias_pct']:+.1f} %",
    "predicted: bias": lambda r: f"{r['errors'][SUBNETS]['bias_pct']:+.1f} %",
    "predicted: within 5 / 10 %, RMSPE": lambda r: _close(r["errors"][SUBNETS]),
    "noise floor, the same subnets timed twice": lambda r: _close(r["noise_floor"]),
    "held-out kernels: within 5 / 10 %, RMSPE": lambda r: _close(r["errors"].get("kernels")),
    "upper bound: holds for / meant for": lambda r: (
        f"{r['errors'][SUBNETS]['upper_pct']:.0f} / "
        f"{r['errors'][SUBNETS]['upper_nominal_pct']:.0f} %"
    ),
    "the same over random partitions of all subnets": lambda r: (
        f"{r['coverage']['upper_pct']:.1f} / {r['coverage']['upper_nominal_pct']:.0f} % "
        f"({r['coverage']['splits']} partitions)"
        if "coverage" in r
        else ""
    ),
}


PROFILE_SUMMARY = (
    "time for measuring",
    "held-out subnets",
    "sums of kernels: bias",
    "predicted: within 5 / 10 %, RMSPE",
    "noise floor, the same subnets timed twice",
    "upper bound: holds for / meant for",
)


def _profiles(
    lines: Mapping[str, Line], shown: Sequence[str] = tuple(PROFILE_ROWS)
) -> list[list[str]]:
    results = [line["result"] for line in lines.values()]
    commands = [line["command"].partition(" --json")[0] for line in lines.values()]
    head = ["", *(f"`{command}`" for command in commands)]
    return [head, *([name, *map(PROFILE_ROWS[name], results)] for name in shown)]


def _profiles_summary(lines: Mapping[str, Line]) -> list[list[str]]:
    return _profiles(lines, PROFILE_SUMMARY)


def _count(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.1f} M"
    return f"{value / 1e3:.0f} k" if value >= 1e3 else f"{value:.0f}"


def _pricing(r: Result) -> tuple[str, str, str]:
    rate = {name: _count(value) for name, value in r["archs_per_second"].items()}
    return (
        f"{rate['tables']} `{r['space']}` architectures a second on one core",
        f"loop {rate['loop']}; string-keyed table {rate['dictionary']}",
        f"{r['tables_over_loop']:.0f}; {r['tables_over_dictionary']:.0f}",
    )


def _sampling(r: Result) -> tuple[str, str, str]:
    low, high = min(r["rejection_ms"]), max(r["rejection_ms"])
    return (
        f"{r['reservoir_ms']:.2f} ms a draw within a complexity level",
        f"one-at-a-time rejection, {low:.0f} to {high:.0f} ms by level",
        f"{r['reservoir_over_rejection']:.0f}",
    )


def _kernel_models(r: Result) -> tuple[str, str, str]:
    return (
        f"{r['direct_ms']:.1f} ms a kernel model (worst {r['direct_ms_worst']:.0f} ms); the "
        f"converter's operators in {r['same_operators']} of {r['kernels']}, outputs within "
        f"{r['max_abs_diff']:.1g}, {r['latency_ratio']:.3f} times its latency",
        f"converter, {r['converter_ms']:.0f} ms",
        f"{r['converter_over_direct']:.0f}",
    )


def _model_timing(r: Result) -> tuple[str, str, str]:
    small, large = r["models"]
    spread = {way: r[way]["spread_pct"] for way in ("session", "loop", "loop_in_worker")}
    told = {
        way: f"{s[small]:.1f} and {s[large]:.1f} %, their ratio by {s['ratio']:.1f} %"
        for way, s in spread.items()
    }
    return (
        f"repeated latencies of {small} and {large} differ by {told['session']} (standard "
        f"deviations); a model against itself {r['twice']['ratio']:.3f}, at most "
        f"{100 * r['twice']['farthest']:.1f} % off",
        f"LiteRT's plain loop, {told['loop']}; that loop with our process's priority, "
        f"{told['loop_in_worker']}",
        f"{spread['loop']['ratio'] / spread['session']['ratio']:.1f}; "
        f"{spread['loop_in_worker']['ratio'] / spread['session']['ratio']:.1f} (of the ratio)",
    )


def _regressors(r: Result) -> tuple[str, str, str]:
    most = str(max(int(count) for count in r if count.isdigit()))
    error = {way: scores["rmspe"] for way, scores in r[most].items()}
    others = ("process", "work_trees", "xgboost")
    return (
        f"{error['ours']:.1f} % RMSPE from {most} kernels a kind "
        f"({r[most]['ours']['within_5']:.0f} % within 5 %)",
        f"scikit-learn's Gaussian process, {error['process']:.1f} %; xgboost on what a linear "
        f"model of the work leaves, {error['work_trees']:.1f} %; xgboost alone, "
        f"{error['xgboost']:.1f} %",
        "; ".join(f"{error[way] / error['ours']:.2f}" for way in others),
    )


def _transfer(r: Result) -> tuple[str, str, str]:
    ours, plain, most = r["50"]["transfer"], r["50"]["residuals"], r["ceiling"]
    more = r["100"]["transfer"]
    return (
        f"50 measurements of a new phone: {ours['kernels_within_5']:.1f} % of kernels within 5 % "
        f"({ours['kernels_within_10']:.1f} % within 10 %), {ours['subnets_within_5']:.1f} % of "
        f"subnets within 5 %; 100: {more['kernels_within_5']:.1f} % "
        f"({more['kernels_within_10']:.1f} %); all {most['measured']} that may be measured bring "
        f"{most['kernels_within_5']:.1f} % ({most['kernels_within_10']:.1f} %)",
        f"plain Gaussian process: {plain['kernels_within_5']:.1f} % "
        f"({plain['kernels_within_10']:.1f} %), {plain['subnets_within_5']:.1f} %",
        "",
    )


def _adb_overhead(r: Result) -> tuple[str, str, str]:
    return (
        f"{r['overhead_ms_per_kernel']:.1f} ms a kernel on a phone besides its timing",
        f"one command a kernel, {r['one_by_one_overhead_ms_per_kernel']:.1f} ms",
        f"{r['ratio']:.1f}",
    )


def _judging_threads(r: Result) -> tuple[str, str, str]:
    return _threads(r, f"{r['archs']} architectures of `tiny` judged", "one_by_one")


def _training_threads(r: Result) -> tuple[str, str, str]:
    return _threads(r, f"{r['steps']} training steps of `{r['space']}`", "all_threads")


def _threads(r: Result, what: str, other: str) -> tuple[str, str, str]:
    quiet, busy = r["as_it_is"], r["one_core_busy"]
    return (
        f"{what} side by side: {quiet['side_by_side_s']:.1f} s; with another program on one of "
        f"{r['threads']} cores {busy['side_by_side_s']:.1f} s",
        f"one after the other on all threads of torch: {quiet[f'{other}_s']:.1f} s; "
        f"{busy[f'{other}_s']:.1f} s",
        f"{quiet[f'{other}_ratio']:.2f}; {busy[f'{other}_ratio']:.2f}",
    )


AGAINST: dict[str, Callable[[Result], tuple[str, str, str]]] = {
    "pricing": _pricing,
    "sampling": _sampling,
    "kernel_models": _kernel_models,
    "model_timing": _model_timing,
    "regressors": _regressors,
    "transfer": _transfer,
    "adb_overhead": _adb_overhead,
    "judging_threads": _judging_threads,
    "training_threads": _training_threads,
}


def _against(lines: Mapping[str, Line]) -> list[list[str]]:
    head = ["command", "ours", "alternative", "ratio"]
    rows = [[f"`{lines[n]['command']}`", *AGAINST[n](lines[n]["result"])] for n in lines]
    return [head, *rows]


TABLES = (
    Table("The whole way", ("demo",), _demo, _demo),
    Table(
        "Latency prediction: held-out errors",
        ("profile_tiny", "profile_mobile"),
        _profiles,
        _profiles_summary,
    ),
    Table(
        "Networks of timm trained from scratch, each for as long as the whole supernet that comes "
        "with the package, on CIFAR-10",
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
    Table("Against the alternatives, in the same run each", tuple(AGAINST), _against, _against),
)
