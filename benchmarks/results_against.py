"""What the benchmarks that run an alternative beside ours said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Result = Mapping[str, Any]


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


def _freed_memory(r: Result) -> tuple[str, str, str]:
    kept, given_back = r["kept"], r["given_back"]
    return (
        f"a training step of {r['subnets']} subnets of {r['level']:g} MMACs in `{r['space']}` and "
        f"their student, freed memory kept: {kept['step_s']:.2f} s",
        f"freed memory given back to the system: {given_back['step_s']:.2f} s",
        f"{r['ratio']:.2f}",
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
    "freed_memory": _freed_memory,
}


def against_rows(lines: Mapping[str, Any]) -> list[list[str]]:
    """Ours and the alternative of each benchmark that has a line."""
    head = ["command", "ours", "alternative", "ratio"]
    rows = [[f"`{lines[n]['command']}`", *AGAINST[n](lines[n]["result"])] for n in lines]
    return [head, *rows]
