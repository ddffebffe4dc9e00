"""`evit-export`: the searched subnet as a file for devices, compared with torch and timed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elasticvit.cli.app import Report, evit_command
from elasticvit.errors import DeviceError, ExportError
from elasticvit.workspace import Workspace, write_atomic

if TYPE_CHECKING:
    from elasticvit.nn import Subnet
    from elasticvit.search.result import SearchResult
    from elasticvit.training.data import ImageData
    from export.backend import Backend, Runner
    from export.bundle import Card
    from export.parity import Parity

HELP = """Export the searched subnet, compare it with torch on held-out images, and time it.

Leaves a folder with the model, a card with all figures (model.json) and the labels.
"""
BATCH = 64


@evit_command("evit-export", HELP)
@click.option(
    "--format", "form", default="tflite", help="tflite, tflite-direct, tflite-onnx2tf or onnx."
)
@click.option(
    "--search",
    type=click.Path(file_okay=False),
    default=None,
    help="Folder of the search.  [default: latest]",
)
@click.option("--device", default=None, help="Where to time it.  [default: the search's device]")
@click.option(
    "--out", type=click.Path(dir_okay=False), default=None, help="Write the model here as well."
)
@click.option(
    "--images", type=click.IntRange(min=1), default=2000, help="Most test images to compare on."
)
def main(
    workspace: str | None,
    as_json: bool,
    form: str,
    search: str | None,
    device: str | None,
    out: str | None,
    images: int,
) -> None:
    from export.backend import find_backend

    report = Report(as_json)
    folder = Workspace.open(workspace)
    backend = find_backend(form)
    _check_out(out, backend)
    search_folder = Path(search) if search is not None else folder.latest("search")

    from elasticvit.nn import Subnet
    from elasticvit.search.result import SUBNET_FILE, SearchResult
    from elasticvit.training.data import open_data

    result = SearchResult.load(search_folder)
    subnet = Subnet.load(search_folder / SUBNET_FILE)
    if subnet.arch != result.arch:
        raise ExportError(
            f"{search_folder / SUBNET_FILE} holds {subnet.arch}, the search chose {result.arch}; "
            "run evit-search again"
        )
    dataset = open_data(result.data)

    report.console.print(f"exporting {subnet.arch} with {backend.name} ...")
    started_s = time.monotonic()
    data = backend.convert(subnet)
    seconds = time.monotonic() - started_s
    report.console.print(f"{len(data) / 1e6:.2f} MB in {seconds:.1f} s; comparing with torch")
    parity = _parity(report, backend.load(data), subnet, dataset, images)
    parity.check(f"the {backend.name} export")

    from elasticvit.cli.export_timing import time_export
    from export.bundle import timed, write_bundle, write_card

    card = _card(backend, data, subnet, result, dataset, parity, search_folder)
    path = folder.new_folder("export")
    model = write_bundle(path, data, card)
    folder.set_latest("export", path)
    if out is not None:
        _write_out(Path(out), data, model)
    try:
        timing, why_not = time_export(folder, backend, data, subnet.layout, result, device)
    except DeviceError as error:
        if device is not None:  # asked for by name, so its absence is an error
            raise type(error)(f"{error} (the model stands, untimed, at {model})") from error
        timing, why_not = None, str(error)
    card = _untimed(card, why_not) if timing is None else timed(card, timing)
    write_card(path, card)
    _tell(report, card, model)
    report.close(_result(card, model, path, out, seconds))


def _check_out(out: str | None, backend: Backend) -> None:
    if out is not None and Path(out).suffix != backend.suffix:
        raise ExportError(
            f"--out {out}: format {backend.name} makes {backend.suffix} files; name it "
            f"{Path(out).with_suffix(backend.suffix)}, or choose another --format"
        )


def _write_out(out: Path, data: bytes, model: Path) -> None:
    try:
        write_atomic(out, data)
    except OSError as error:
        raise ExportError(
            f"--out {out} cannot be written: {error.strerror} (the model stands at {model})"
        ) from error


def _parity(
    report: Report, runner: Runner, subnet: Subnet, dataset: ImageData, images: int
) -> Parity:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from export.parity import compare

    total = min(images, dataset.info.test_images)
    loader = dataset.loader(
        "test",
        resolution=subnet.arch.resolution,
        batch_size=BATCH,
        shuffle=total < dataset.info.test_images,
    )
    columns = ("comparing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=report.console, transient=True) as bar:
        task = bar.add_task("", total=total)
        return compare(
            subnet,
            runner,
            loader,
            limit=images,
            progress=lambda done: bar.update(task, completed=done),
        )


def _card(
    backend: Backend,
    data: bytes,
    subnet: Subnet,
    result: SearchResult,
    dataset: ImageData,
    parity: Parity,
    search_folder: Path,
) -> Card:
    from export.bundle import MODEL_NAME, Card, ImageInput, sha256
    from export.inspect import delegation, operator_counts

    layout, resolution = subnet.layout, subnet.arch.resolution
    return Card(
        format=backend.name,
        file=MODEL_NAME + backend.suffix,
        bytes=len(data),
        sha256=sha256(data),
        arch=subnet.arch,
        layout=layout.to_dict(),
        input=ImageInput(
            shape=(1, resolution, resolution, layout.in_channels),
            mean=dataset.mean,
            std=dataset.std,
        ),
        classes=layout.classes,
        labels=dataset.class_names,
        macs_m=result.macs_m,
        parity=parity,
        sources={
            "space": result.space,
            "data": result.data,
            "data_name": dataset.info.name,
            "search": str(search_folder),
            "run": result.run,
            "seed": result.seed,
            "search_accuracy": result.accuracy,
            "test_accuracy": result.test_accuracy,
        },
        versions=backend.versions(),
        operators=operator_counts(data) if backend.tflite else {},
        partitions=delegation(data).partitions if backend.tflite else None,
    )


def _untimed(card: Card, reason: str | None) -> Card:
    from dataclasses import replace

    return replace(card, untimed=reason)


def _tell(report: Report, card: Card, model: Path) -> None:
    from rich.table import Table

    table = Table(title=f"{card.file}, {card.bytes / 1e6:.2f} MB", title_justify="left")
    for column, justify in (("", "left"), ("expected", "right"), ("exported", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    p, t = card.parity, card.timing
    table.add_row("accuracy, %", f"{p.torch_accuracy:.2f}", f"{p.exported_accuracy:.2f}")
    if t is not None:
        predicted = "-" if t.predicted_ms is None else f"{t.predicted_ms:.3f}"
        table.add_row(f"ms on {t.device}", predicted, f"{t.measured_ms:.3f}")
        if t.ratio is not None:
            table.add_row("predicted / measured", "1.000", f"{t.ratio:.3f}")
    report.console.print(table)
    say = report.console.print
    say(
        f"on {p.images} test images torch and the file decide {p.agreement:.2f} % alike; logits "
        f"differ by at most {p.max_abs_diff:.1e}, {p.max_rel_diff:.1e} of their spread"
    )
    if t is None:
        say(f"not timed: {card.untimed}")
    else:
        say(
            f"timed on {t.source}, {t.threads} thread(s) on core(s) {t.cores}, {t.runs} runs in "
            f"{t.rounds} rounds: median just now {t.median_ms:.3f} ms, rounds {t.low_ms:.3f} to "
            f"{t.high_ms:.3f} ms"
        )
        if t.target_ms is not None:
            verdict = "kept" if t.measured_ms <= t.target_ms else "missed"
            say(f"target {t.target_ms:g} ms: {verdict}")
    if card.partitions is not None:
        count = sum(card.operators.values())
        say(f"{count} operators in {card.partitions} partition(s) of the CPU delegate")
    say(f"written to {model}")


def _result(
    card: Card, model: Path, folder: Path, out: str | None, seconds: float
) -> dict[str, Any]:
    t, p = card.timing, card.parity
    return {
        "command": "evit-export",
        "path": out or str(model),
        "folder": str(folder),
        "format": card.format,
        "bytes": card.bytes,
        "convert_s": round(seconds, 2),
        "device": None if t is None else t.device,
        "predicted_ms": None if t is None else t.predicted_ms,
        "measured_ms": None if t is None else t.measured_ms,
        "median_ms": None if t is None else t.median_ms,
        "ratio": None if t is None else t.ratio,
        "target_ms": None if t is None else t.target_ms,
        "untimed": card.untimed,
        "images": p.images,
        "torch_accuracy": p.torch_accuracy,
        "exported_accuracy": p.exported_accuracy,
        "max_abs_diff": p.max_abs_diff,
        "max_rel_diff": p.max_rel_diff,
        "agreement": p.agreement,
        "operators": card.operators,
        "partitions": card.partitions,
    }
