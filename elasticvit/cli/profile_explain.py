"""Where an architecture's time goes: `evit-profile --explain`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from elasticvit.cli.app import Report
from elasticvit.cli.sources import origin, remarks
from elasticvit.errors import ArchError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.arch import Arch
    from elasticvit.space import SearchSpace
    from predictors.predictor import Predictor


def run_explain(
    report: Report, folder: Workspace, name: str, space: SearchSpace, what: str
) -> None:
    """Show the breakdown of one architecture and end the command."""
    from predictors.predictor import load_predictor

    predictor = load_predictor(folder.predictor_path(name))
    rows = explained(predictor, space, what)
    show_explained(report, predictor, what, rows)
    for remark in (notes := remarks(predictor, space)):
        report.console.print(remark)
    result = {"device": name, "source": predictor.source, "arch": what, "kernels": rows}
    report.close(result | {"remarks": notes})


def find_arch(space: SearchSpace, what: str) -> Arch:
    """A published architecture by name, `smallest` or `largest` of the space, or one as JSON.

    Raises:
        ArchError: none of these, or not in the space.
    """
    from elasticvit.arch import Arch
    from elasticvit.published import PUBLISHED, published

    if what in ("smallest", "largest"):
        return space.smallest if what == "smallest" else space.largest
    if what.lstrip().startswith("{"):
        return space.check(Arch.from_json(what))
    try:
        arch = published(what)
    except ArchError as error:
        raise ArchError(
            f"no architecture {what!r}; name smallest, largest, one of {', '.join(PUBLISHED)}, "
            "or give it as JSON"
        ) from error
    return space.check(arch)


def explained(predictor: Predictor, space: SearchSpace, what: str) -> list[dict[str, Any]]:
    """Milliseconds of every kernel of an architecture in its place, and of the subnet itself.

    Raises:
        ArchError: no such architecture in the space.
        PredictorError: a kernel that the predictor never saw.
    """
    from elasticvit.kernels import walk

    places = list(walk(find_arch(space, what), space.layout))
    kernels = [kernel for _, kernel in places]
    predictor.check(kernels)
    rows: list[dict[str, Any]] = [
        {"place": str(place), "kernel": kernel.key, "ms": float(ms)}
        for (place, kernel), ms in zip(places, predictor.kernel_ms(kernels), strict=True)
    ]
    rows.append({"place": "subnet", "kernel": "", "ms": predictor.network.subnet_ms})
    return rows


def show_explained(
    report: Report, predictor: Predictor, what: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """The breakdown as a table."""
    from rich.table import Table

    rows = list(rows)
    total = sum(row["ms"] for row in rows)
    table = Table("place", "kernel")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for row in rows:
        share = f"{100 * row['ms'] / total:.1f} %"
        table.add_row(row["place"], row["kernel"], f"{row['ms']:.4f}", share)
    table.add_row("total", "", f"{total:.4f}", "100.0 %", style="bold")
    report.console.print(f"{what} on {predictor.device} ({origin(predictor)}), predicted")
    report.console.print(table)
