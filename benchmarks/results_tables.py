"""How the README's results look: Markdown tables from what the commands said.

A table shows only those of its names that have a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results_export import precision_rows
from results_search import proxy_rows, search_rows

Line = dict[str, Any]
Result = Mapping[str, Any]
SUMS, SUBNETS = "subnets, as sums of kernels", "subnets"


@dataclass(frozen=True)
class Table:
    """A table of some results.

    Attributes:
        caption: Caption above the table.
        names: Names of the results that it shows.
        rows: Function from the available lines to the cells of all rows, the head first.
    """

    caption: str
    names: tuple[str, ...]
    rows: Callable[[Mapping[str, Line]], list[list[str]]]


def render(lines: Mapping[str, Line]) -> str:
    """The tables with a line, then where and when each was measured."""
    parts = []
    for table in TABLES:
        there = {name: lines[name] for name in table.names if name in lines}
        if there:
            parts += [f"**{table.caption}**", _markdown(table.rows(there))]
    if lines:
        parts.append(_provenance(lines))
    return "\n\n".join(parts)


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


def _profiles(lines: Mapping[str, Line]) -> list[list[str]]:
    results = [line["result"] for line in lines.values()]
    commands = [line["command"].partition(" --json")[0] for line in lines.values()]
    head = ["", *(f"`{command}`" for command in commands)]
    return [head, *([name, *map(cell, results)] for name, cell in PROFILE_ROWS.items())]


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


AGAINST: dict[str, Callable[[Result], tuple[str, str, str]]] = {
    "pricing": _pricing,
    "sampling": _sampling,
    "kernel_models": _kernel_models,
    "model_timing": _model_timing,
    "regressors": _regressors,
    "transfer": _transfer,
    "adb_overhead": _adb_overhead,
}


def _against(lines: Mapping[str, Line]) -> list[list[str]]:
    head = ["command", "ours", "alternative", "ratio"]
    rows = [[f"`{lines[n]['command']}`", *AGAINST[n](lines[n]["result"])] for n in lines]
    return [head, *rows]


TECHNIQUES = {
    "sandwich": "sandwich rule (BigNAS)",
    "adjacent": "walk over adjacent levels",
    "smallest": "... and three smallest subnets",
    "bank": "... and memory bank and path preference (all that the paper has)",
    "start": "... and one subnet trained first (30 % of the steps)",
    "grow": "all that the paper has, and levels let in over half of the steps",
}


CHEAPER = {
    "paper": "the paper's: three subnets a step, all levels equally often",
    "one subnet": "one subnet a step",
    "cheap levels": "cheap levels more often (bias 0.5)",
    "small first": "levels let in over half of the steps",
    "cheap": "all three (recipe `cpu-minutes`)",
    "cheap, half": "all three, in half of the time",
}


def _mean(arm: Mapping[str, Any]) -> str:
    """Mean accuracy over seeds, with their standard deviation if there are several."""
    spread = "" if arm["sd"] is None else f" (standard deviation {arm['sd']:.1f})"
    return f"{arm['mean']:.1f} %{spread}"


def _conflict(lines: Mapping[str, Line]) -> list[list[str]]:
    (line,) = lines.values()
    arms, cosine = line["result"]["arms"], line["result"]["cosine"]
    rows = [[f"`{line['command']}`", "panel's mean test accuracy", "over the sandwich rule"]]
    for name, arm in arms.items():
        gain = "" if name == "sandwich" else f"{arm['gain']:+.1f} points"
        rows.append([TECHNIQUES[name], _mean(arm), gain])
    by_distance = "; ".join(
        f"{b['median']:.2f} ({b['macs_ratio'][0]:g} to {b['macs_ratio'][1]:g} times the MACs)"
        for b in cosine["by_distance"]
    )
    rows.append(["cosine of two subnets' gradients, median by distance", by_distance, ""])
    if "good_pairs" in cosine:
        pairs = f"{cosine['good_pairs']:.2f}; random pairs of a level {cosine['random_pairs']:.2f}"
        rows.append(["... of good pairs of a level", pairs, ""])
    return rows


def _cheaper(lines: Mapping[str, Line]) -> list[list[str]]:
    (line,) = lines.values()
    result = line["result"]
    rows = [
        [
            f"`{line['command']}`",
            "steps",
            "seconds",
            "panel's mean test accuracy",
            "over the paper's sampling",
        ]
    ]
    for name, arm in result["arms"].items():
        gain = "" if name == "paper" else f"{arm['gain']:+.1f} points"
        rows.append([CHEAPER[name], str(arm["steps"]), str(arm["took_s"]), _mean(arm), gain])
    return rows


def _fine_tuning(lines: Mapping[str, Line]) -> list[list[str]]:
    (line,) = lines.values()
    result = line["result"]
    ways = [name for name in result["rows"][0] if name != "epochs"]
    rows = [[f"`{line['command']}`: epochs", *ways]]
    for row in result["rows"]:
        rows.append([str(row["epochs"]), *(_mean(row[way]) for way in ways)])
    return rows


TABLES = (
    Table("The whole way", ("demo",), _demo),
    Table(
        "Latency prediction on this host: held-out errors",
        ("profile_tiny", "profile_mobile"),
        _profiles,
    ),
    Table("Sampling, in about the same time of one core, on CIFAR-10", ("cheaper",), _cheaper),
    Table(
        "A subnet of the CIFAR-10 supernet that comes with the package, trained on digits: test "
        "accuracy",
        ("fine_tuning",),
        _fine_tuning,
    ),
    Table("Against gradient conflicts, at equal steps on CIFAR-10", ("conflict",), _conflict),
    Table(
        "Searches under five caps: accuracy of the winners, a mean over caps, by evaluations",
        ("search",),
        search_rows,
    ),
    Table("Proxies: rank correlation with test accuracies", ("proxies",), proxy_rows),
    Table(
        "Formats and precisions of exported files on this host (random weights, noise images; "
        "XNNPACK computes fp16 in fp32 on x86)",
        ("precision",),
        precision_rows,
    ),
    Table(
        "Their accuracy on CIFAR-10's test images (random subnets of the supernet that comes with "
        "the package)",
        ("precision_trained",),
        precision_rows,
    ),
    Table("Against the alternatives, in the same run each", tuple(AGAINST), _against),
)
