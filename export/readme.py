"""The README of a bundle, made from its cards: the subnet drawn, its figures, and how they were
measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elasticvit.arch import Arch, AttnStage, ConvStage
from elasticvit.kernels import Kernel, Layout, stage_sizes, walk
from export.bundle import KOTLIN_FILE, LABELS_FILE, MARK, PYTHON_FILE
from export.card import Card
from export.card_parts import ExportTiming

BAR = 24  # characters of the stage with the most multiply-accumulates
UNKNOWN = "not known; ask whoever trained them"


def readme(cards: Sequence[Card], code: Sequence[str] = ()) -> str:
    """Markdown about a bundle.

    Args:
        cards: The card of each file, the first one's first.
        code: Names of the files with code that runs the first file.
    """
    first = cards[0]
    names = ", ".join(f"`{card.file}`" for card in cards)
    side = first.input.shape[1]
    parts = [
        f"# {first.classes} classes from {side} x {side} pixels: "
        + ("an ElasticViT subnet" if first.model is None else first.model),
        f"{MARK} {first.elasticvit} on {first.created} (the next export to this folder replaces "
        "this text).",
        f"{names}: {first.macs_m:.4g} million multiply-accumulates, compared with "
        f"torch on {_source(first, 'data_name', 'data')}. Everything below, and more, stands in "
        f"`model.json` in a form that programs read.",
        "## Use",
        "\n".join(_use(first, code)),
        *_network(first),
        "## Figures",
        "\n".join(_figures(cards)),
        "## How they were measured",
        "\n".join(_measured(cards)),
        "## Origin",
        "\n".join(_origin(cards)),
    ]
    return "\n\n".join(parts) + "\n"


def _network(card: Card) -> Iterator[str]:
    """The subnet drawn, or the name of another network."""
    if card.arch is None or card.layout is None:
        yield f"## Network\n\n`{card.model}` of timm"
        return
    yield "## Subnet"
    yield f"`{card.arch}`"
    yield "```\n" + "\n".join(draw(card.arch, card.layout)) + "\n```"


def draw(arch: Arch, layout: Layout) -> Iterator[str]:
    """A line a stage: its blocks, what each is, the map that leaves it, and its share of the
    multiply-accumulates."""
    stages: dict[str, list[Kernel]] = {}
    for place, kernel in walk(arch, layout):
        stages.setdefault(place.stage, []).append(kernel)
    rows: dict[str, ConvStage | AttnStage] = {"stem": arch.stem}
    rows |= {f"conv{i}": row for i, row in enumerate(arch.conv, 1)}
    rows |= {f"attn{i}": row for i, row in enumerate(arch.attn, 1)}
    sizes = stage_sizes(arch.resolution, layout)
    macs = {stage: sum(kernel.macs for kernel in kernels) for stage, kernels in stages.items()}
    total, most = sum(macs.values()), max(macs.values())
    following = dict(zip(sizes, list(sizes)[1:], strict=False))
    channels, lines = arch.stem.width, []
    for stage in stages:
        row = rows.get(stage)
        channels = channels if row is None else row.width
        leaves = sizes.get(following.get(stage, ""), 1)
        shape = str(layout.classes) if stage == "head" else f"{leaves}x{leaves}x{channels}"
        bar = "#" * max(1, round(BAR * macs[stage] / most))
        share = f"{100 * macs[stage] / total:.1f} %"
        lines.append((stage, _words(stage, row, layout), shape, share, bar))
    lines.insert(0, ("input", "RGB", "x".join([str(arch.resolution)] * 2 + ["3"]), "", ""))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    for stage, words, shape, share, bar in lines:
        line = f"{stage:{widths[0]}}  {words:{widths[1]}}  {shape:>{widths[2]}}"
        yield f"{line}  {share:>{widths[3]}}  {bar}".rstrip()


def _words(stage: str, row: ConvStage | AttnStage | None, layout: Layout) -> str:
    if isinstance(row, ConvStage):
        what = f"{row.depth} x MBConv {row.kernel}x{row.kernel}, expansion {row.expansion}"
        squeezed = stage != "stem" and layout.conv_se[int(stage[4:]) - 1]
        return f"{what}, squeeze-and-excitation" if squeezed else what
    if isinstance(row, AttnStage):
        return f"{row.depth} x (attention V x{row.v_scale}, FFN x{row.mlp_ratio})"
    return "convolution 3x3, stride 2" if stage == "first" else "pooling, two linear layers"


def _use(card: Card, code: Sequence[str]) -> Iterator[str]:
    if PYTHON_FILE in code:
        yield f"- Python: `python {PYTHON_FILE} PICTURE` prints the five likeliest classes."
    if KOTLIN_FILE in code:
        yield f"- Kotlin, for Android: `{KOTLIN_FILE}`. It has not been compiled by the export."
    shape = " x ".join(map(str, card.input.shape))
    yield (
        f"- Input: {card.input.dtype} {shape} ({card.input.layout}, {card.input.channels}): pixels "
        f"in 0..1, less {list(card.input.mean)}, divided by {list(card.input.std)}."
    )
    if card.input.fit == "resize_then_crop":
        shorter = int(card.input.shape[1] / (card.input.crop or 1))
        yield (
            f"- Pictures: turned by their EXIF orientation, the shorter side to {shorter} pixels "
            "by Pillow's bicubic filter, then the middle."
        )
    elif card.input.fit == "crop_then_resize":
        yield (
            "- Pictures: turned by their EXIF orientation, the middle square, resized by torch's "
            "bicubic interpolation."
        )
    named = f"; their names are the lines of `{LABELS_FILE}`" if card.labels else ""
    yield f"- Output: float32 1 x {card.classes}, a logit a class{named}."


def _figures(cards: Sequence[Card]) -> Iterator[str]:
    def row(name: str, values: Sequence[str | None]) -> Iterator[str]:
        if any(value is not None for value in values):
            yield f"| {name} | " + " | ".join("-" if v is None else v for v in values) + " |"

    yield "| | " + " | ".join(f"`{card.file}`" for card in cards) + " |"
    yield "|---|" + "---:|" * len(cards)
    p, fresh = [card.parity for card in cards], [card.fresh for card in cards]
    yield from row("format", [card.format for card in cards])
    yield from row("size, bytes", [f"{card.bytes:,}" for card in cards])
    yield from row(f"accuracy, % of {p[0].images:,} images", [_accuracy(card) for card in cards])
    yield from row("accuracy of torch, %", [_percent(one.torch_accuracy) for one in p])
    yield from row("same class as torch, %", [f"{one.agreement:.2f}" for one in p])
    yield from row("largest difference of a logit", [f"{one.max_abs_diff:.2g}" for one in p])
    cosines = [None if one.min_cosine is None else f"{one.min_cosine:.8f}" for one in p]
    yield from row("smallest cosine of logits", cosines)
    counts = [str(sum(card.operators.values())) if card.operators else None for card in cards]
    yield from row("operators", counts)
    pieces = [None if card.partitions is None else str(card.partitions) for card in cards]
    yield from row("partitions of the CPU delegate", pieces)
    yield from row("load, ms", [f"{f.load_ms:.2f}" if f else None for f in fresh])
    cached = [f"{f.cached_load_ms:.2f}" if f and f.cached_load_ms else None for f in fresh]
    yield from row("load from a cache of weights, ms", cached)
    yield from row("first inference, ms", [f"{f.first_ms:.3f}" if f else None for f in fresh])
    yield from row("steady inference, ms", [f"{f.steady_ms:.3f}" if f else None for f in fresh])
    yield from row("memory, MB", [f"{f.memory_bytes / 1e6:.1f}" if f else None for f in fresh])
    timings = [card.timing for card in cards]
    for device in dict.fromkeys(t.device for t in timings if t is not None):
        here = [t if t is not None and t.device == device else None for t in timings]
        yield from row(f"ms on {device}", [f"{t.measured_ms:.3f}" if t else None for t in here])
        yield from row(f"ms predicted for {device}", [_predicted(t) for t in here])


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _accuracy(card: Card) -> str | None:
    if card.parity.exported_accuracy is None:
        return None
    return f"{card.parity.exported_accuracy:.2f} ± {card.parity.accuracy_error:.2f}"


def _predicted(timing: ExportTiming | None) -> str | None:
    known = timing is not None and timing.predicted_ms is not None
    return f"{timing.predicted_ms:.3f}" if timing is not None and known else None


def _measured(cards: Sequence[Card]) -> Iterator[str]:
    images = f"{cards[0].parity.images:,}"
    if cards[0].parity.torch_accuracy is None:
        yield (
            f"- Classes and logits: {images} random images, each answered by torch's network and "
            "by the file; there was no data set, so no accuracy is known."
        )
    else:
        yield (
            f"- Accuracies, classes and logits: {images} test images, each answered by torch's "
            "network and by the file; ± is a standard error."
        )
    fresh = cards[0].fresh
    if fresh is not None:
        yield (
            f"- Load, first and steady inference, memory: {fresh.computer}, {fresh.threads} "
            f"thread(s), medians of {fresh.processes} fresh process(es), one after the other; "
            "memory is the most that a process held, less what it held with the runtime imported."
        )
    for card in cards:
        timing, check = card.timing, card.device_check
        if check is not None and check.max_abs_diff is not None:
            yield (
                f"- `{card.file}` computes on {check.device} ({check.source}, {check.runtime}) "
                f"what it computes here: logits of {check.images} images differ by at most "
                f"{check.max_abs_diff:.2g}."
            )
        if timing is None:
            yield f"- `{card.file}` was not timed on a device: {card.untimed}"
            continue
        yield (
            f"- `{card.file}` on {timing.device}: {timing.source}, {timing.runtime}, "
            f"{timing.threads} thread(s) on core(s) {timing.cores}, {timing.runs} runs in "
            f"{timing.rounds} rounds; {timing.estimator}. Median {timing.median_ms:.3f} ms, rounds "
            f"{timing.low_ms:.3f} to {timing.high_ms:.3f} ms."
        )
    if cards[0].proof is not None:
        yield (
            f"- `{cards[0].proof.file}` holds {cards[0].proof.images} of the images with "
            "torch's logits, so that all of this but the device can be proven again elsewhere."
        )


def _origin(cards: Sequence[Card]) -> Iterator[str]:
    first = cards[0]
    yield f"- Data set: {_source(first, 'data_name', 'data')}."
    if first.model is None:
        yield f"- Weights: {_source(first, 'run')}; search {_source(first, 'search')}."
    else:
        file = first.sources.get("weights")
        yield f"- Weights: {f'`{file}`' if file else 'random, of no use but for timing'}."
    yield f"- Licence of the weights: {first.sources.get('licence') or UNKNOWN}."
    for card in cards:
        versions = ", ".join(f"{name} {number}" for name, number in card.versions.items())
        yield f"- `{card.file}`: {versions}; SHA-256 `{card.sha256}`."


def _source(card: Card, *names: str) -> str:
    return next((f"`{card.sources[name]}`" for name in names if card.sources.get(name)), "unknown")
