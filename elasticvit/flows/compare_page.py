"""The page of a comparison: one HTML file that opens offline."""

from __future__ import annotations

import re
import time
from html import escape

from elasticvit.flows.compare_charts import accuracy_chart, colours, latency_bars
from elasticvit.flows.compare_result import Compared, Comparison
from elasticvit.page import facts_table, figure, page, table


def render(result: Comparison) -> str:
    """The comparison as one HTML page that needs no other file."""
    timing, colour = result.timing, colours(result.models)
    pictures = []
    if result.judged:
        pictures.append(figure("accuracy over latency", accuracy_chart(result.judged, colour)))
    pictures.append(figure("latency", latency_bars(result.models, colour)))
    sections = [
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}.</p>",
        *(f'<p class="warning">{escape(text)}</p>' for text in _warnings(result)),
        facts_table(_facts(result)),
        f"<h2>Side by side</h2>{_side_by_side(result)}",
        f'<h2>Pictures</h2><div class="charts">{"".join(pictures)}</div>',
        f"<p>{escape(_reading(result))}</p>",
        f"<h2>Runs</h2>{_runs(result)}",
        f"<h2>Files</h2>{_files(result)}",
        *_delegation(result),
        "<h2>The same again</h2>",
        f"<p><code>{escape(timing.command)}</code></p>",
        f"<p>The raw runs are in {escape(str(timing.folder))}. The files by their SHA-256:</p>",
        f"<ul>{''.join(_checksum(one) for one in result.models)}</ul>",
    ]
    return page(f"{len(result.models)} models on {timing.device}", sections)


def _checksum(one: Compared) -> str:
    return f"<li>{escape(one.name)}: <code>{one.candidate.model.facts.sha256}</code></li>"


def _breakable(name: str) -> str:
    """A name that may be broken after its separators, where a column is narrow."""
    return re.sub(r"([_/.-])", "\\1\u200b", name)


def _warnings(result: Comparison) -> list[str]:
    """What the reader must not overlook."""
    found = list(result.timing.warnings)
    if result.timing.ended is not None:
        found.insert(0, f"The session ended early: {result.timing.ended}")
    found += [f"{one.name} was refused: {one.refused}" for one in result.models if one.refused]
    sets = {
        one.candidate.accuracy.data for one in result.models if one.candidate.accuracy is not None
    }
    if len(sets) > 1:
        found.append(
            f"The accuracies are of different data sets ({', '.join(sorted(sets))}): they cannot "
            "be compared, and there is no picture of them."
        )
    return found


def _facts(result: Comparison) -> dict[str, str]:
    timing = result.timing
    facts = {"device": f"{timing.device} ({timing.source})", "runtime": timing.runtime}
    one = next(iter(timing.timings.values()))
    seen = "" if one.threads_started is None else f" ({one.threads_started} seen at work)"
    facts["threads"] = f"{one.threads}{seen}, on core(s) {one.cores}"
    facts["rounds"] = f"{timing.rounds}, all models in each, in random order"
    if timing.temperature_c is not None:
        facts["temperature"] = "{:.0f} to {:.0f} °C".format(*timing.temperature_c)
    if timing.frequency_mhz is not None:
        facts["clock"] = "{:.0f} to {:.0f} MHz".format(*timing.frequency_mhz)
    if timing.calibration_spread is not None:
        facts["evenness"] = (
            f"80 % of the calibration models' readings within {timing.calibration_spread:.1%}"
        )
    if timing.quality is not None:
        facts["remarks"] = timing.quality
    facts["ms"] = timing.estimator
    return facts


def _side_by_side(result: Comparison) -> str:
    head = ["model", "ms", "95 % interval", f"of {result.models[0].name}", "95 % interval"]
    rows = []
    for one in result.models:
        timing, ratio, accuracy = one.timing, one.ratio, one.candidate.accuracy
        rows.append(
            [
                _breakable(one.name),
                "-" if timing is None else f"{timing.ms:.4g}",
                "-" if timing is None else f"{timing.low_ms:.4g} - {timing.high_ms:.4g}",
                "-" if ratio is None else f"{ratio.value:.3f}",
                "-" if ratio is None else f"{ratio.low:.3f} - {ratio.high:.3f}",
                "-" if accuracy is None else f"{accuracy.percent:.2f} ± {accuracy.error:.2f}",
            ]
        )
    return table([*head, "accuracy, %"], rows)


def _runs(result: Comparison) -> str:
    """What was measured, without any estimate."""
    head = ["model", "runs", "median, ms", "fastest round", "slowest round", "load, ms"]
    rows = [
        [
            _breakable(one.name),
            f"{timing.runs:,}",
            f"{timing.median_ms:.4g}",
            f"{timing.fastest_ms:.4g}",
            f"{timing.slowest_ms:.4g}",
            *("-" if ms is None else f"{ms:.3g}" for ms in (timing.load_ms, timing.first_ms)),
        ]
        for one in result.models
        if (timing := one.timing) is not None
    ]
    return table([*head, "first run, ms"], rows)


def _files(result: Comparison) -> str:
    head = ["model", "input", "weights", "MB", "MMACs, counted", "partitions"]
    head += ["not delegated"]
    rows = []
    for one in result.models:
        count = sum(one.candidate.model.facts.operators.values())
        facts, taken = one.candidate.model.facts, one.candidate.model.delegation
        rows.append(
            [
                _breakable(one.name),
                ", ".join(given.text for given in facts.inputs) or "-",
                facts.weight_type or "-",
                f"{facts.bytes / 1e6:.2f}",
                f"{facts.macs_m:.4g}",
                "-" if taken is None else f"{taken.partitions}",
                "-" if taken is None else f"{sum(taken.left.values())} of {count}",
            ]
        )
    return table(head, rows)


def _delegation(result: Comparison) -> list[str]:
    """What each model is, and which of its operators the CPU delegate leaves."""
    lines = []
    for one in result.models:
        model, said = one.candidate.model, []
        if one.candidate.described:
            said.append(one.candidate.described)
        if model.delegation is not None and not model.delegation.whole:
            left = ", ".join(f"{n} {name}" for name, n in model.delegation.left.items())
            said.append(f"left to the reference kernels: {left or 'no operator'}")
        said += model.notes
        if said:
            lines.append(f"<li><b>{escape(one.name)}</b>: {escape('; '.join(said))}</li>")
    return [f"<ul>{''.join(lines)}</ul>"] if lines else []


def _reading(result: Comparison) -> str:
    """How table and pictures are read."""
    parts = [
        "All models were timed in turns in one session. Ratios are made of pairs, both models in "
        "the same round; an interval that holds 1 does not tell the two apart."
    ]
    if result.judged:
        one = result.judged[0].candidate.accuracy
        assert one is not None
        parts.append(
            f"Accuracies are of {one.data}, with one standard error to either side; where files "
            "were judged on different numbers of images, only large differences count. A ring is a "
            "model that another one beats in both."
        )
    parts.append(
        "Multiply-accumulates are counted from the file: convolutions, fully connected layers and "
        "matrix products."
    )
    return " ".join(parts)
