"""Tables that are read and written instead of measured: `evit-profile --import`, `--export-lut`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.cli.app import Report
from elasticvit.cli.profile_fit import Errors, fit
from elasticvit.cli.profile_report import NAMED, NEXT, show_errors
from elasticvit.cli.sources import remarks
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.kernels import Kernel
    from elasticvit.space import SearchSpace
    from lut.importer import BlockTable
    from lut.store import Series


def run_import(
    report: Report, folder: Workspace, name: str, choose: Callable[[], SearchSpace], path: str
) -> None:
    """Add a table's numbers to a device's and fit its predictor from them.

    Args:
        choose: the space, asked for when the table could be read.
        path: a shared table (`--export-lut`) or a published block table.
    """
    from lut.dataset import Dataset
    from lut.exchange import SUFFIXES, read_table
    from lut.importer import read_block_table
    from lut.sample import reachable_kernels
    from lut.store import Store
    from predictors.fit import table_predictor

    if Path(path).suffix in SUFFIXES:
        shared = read_table(path)
        space = choose()
        with Store(folder.lut_path) as store:
            added = shared.store(store, name)
            data = Dataset.of(store, name, space)
        _, errors = fit(folder, name, data, space)
        report.console.print(f"{added} measurements added to {name}: {data.series}")
        if errors:
            show_errors(report, errors)
        report.close(import_result(folder, name, data.series, added, errors=errors), NEXT)
        return
    table = read_block_table(path)
    space = choose()
    with Store(folder.lut_path) as store:
        added = table.store(store, name)
        series = store.latest(name)
    predictor = table_predictor(table.table_ms, device=name, source=table.source)
    predictor.save(folder.predictor_path(name))
    folder.update({"device": name})
    missing = table.missing(reachable_kernels(space))
    report.console.print(f"{added} kernels added to {name}: {series}")
    show_block_table(report, table, space, missing)
    for remark in (notes := remarks(predictor, space)):
        report.console.print(remark)
    result = import_result(folder, name, series, added, missing=[k.key for k in missing])
    result["remarks"] = notes
    report.close(result, NEXT)


def run_export(report: Report, folder: Workspace, name: str, path: str) -> None:
    """Write a device's measurements where others can read them."""
    from lut.exchange import export_table
    from lut.store import Store

    with Store(folder.lut_path) as store:
        count = export_table(store, name, path)
    report.console.print(f"{count} measurements of {name} written to {path}")
    report.close(
        {"device": name, "exported": path, "count": count},
        f"evit-profile --device {name} --import {path}",
    )


def show_block_table(
    report: Report, table: BlockTable, space: SearchSpace, missing: Sequence[Kernel]
) -> None:
    """What an imported block table says about the published architectures and about a space."""
    from rich.table import Table

    from elasticvit.published import PUBLISHED
    from elasticvit.space import find_space

    say = report.console.print
    if table.left_out:
        say(f"{table.left_out} rows left out that no architecture of this family can have")
    layout = find_space("mobile").layout
    rows = Table("architecture")
    rows.add_column("as it runs, ms", justify="right")
    rows.add_column("as the table's authors sum, ms", justify="right")
    for name, arch in PUBLISHED.items():
        rows.add_row(
            name,
            f"{table.sum_ms(arch, layout):.3f}",
            f"{table.authors_sum_ms(arch, layout):.3f}",
        )
    say(rows)
    say("the authors round odd map sides down, the strided convolutions that run round them up")
    if not missing:
        say(f"every architecture of space {space.name} is priced")
        return
    say(f"{len(missing)} kernels of space {space.name} are not in the table:")
    for kernel in missing[:NAMED]:
        say(f"  {kernel.key}")
    if len(missing) > NAMED:
        say(f"  and {len(missing) - NAMED} more (all of them under --json)")


def import_result(
    folder: Workspace,
    device: str,
    series: Series,
    added: int,
    *,
    missing: Sequence[str] = (),
    errors: Errors | None = None,
) -> dict[str, Any]:
    """What an import did, for JSON."""
    return {
        "device": device,
        "source": series.source,
        "added": added,
        "missing": list(missing),
        "errors": {name: dict(e) for name, e in (errors or {}).items()},
        "lut": str(folder.lut_path),
        "predictor": str(folder.predictor_path(device)),
    }
