"""Latency tables as files: read into a workspace, and written for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import SettingError, StoreError
from elasticvit.flows.import_result import BlockSums, ImportResult
from elasticvit.flows.settings import WorkspaceLike, space_of, workspace_of
from elasticvit.names import HOST, check_name
from elasticvit.precisions import FP32, check_precision, in_words, profile_step
from elasticvit.published import PUBLISHED
from elasticvit.space import MOBILE, SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from lut.importer import BlockTable
    from lut.shared_table import SharedTable
    from lut.store import Store
    from predictors.predictor import Predictor


@contextmanager
def latency_table(workspace: Workspace) -> Iterator[Store]:
    """The workspace's latency table, open; a new one into which nothing was measured is removed.

    Raises:
        StoreError: the file is no such table, is damaged, or was written by a newer version.
    """
    from lut.store import Store

    path = workspace.lut_path
    new = not path.exists()
    try:
        with Store(path) as store:
            try:
                yield store
            finally:
                empty = new and not store.devices()
    finally:
        if new and path.exists() and empty:
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink(missing_ok=True)
            workspace.prune()


def import_table(
    table: Path | str,
    device: str | None = None,
    *,
    space: SearchSpace | str | None = None,
    precision: str | None = None,
    force: bool = False,
    workspace: WorkspaceLike = None,
) -> ImportResult:
    """Add a table's latencies to a device's and fit its predictor from them.

    Args:
        table: A shared table (`.csv` or `.parquet`, see `export_table`), or a published block
            table (`.json`).
        device: Name of the device; None takes the one that a shared table names.
        space: Space that the predictor is fitted and checked for; None is the one used last, or in
            a new workspace the one that has most of a shared table's whole subnets.
        precision: Precision of the models that were timed; None takes the one that a shared table
            names, and fp32 for a block table, which names none.
        force: Import under another name than the table's, or over a predictor whose device was
            measured in this workspace.

    Raises:
        SettingError: the device is not known; the table contradicts `precision`; or it contradicts
            `device`, or would replace a measured predictor, without `force`.
        StoreError: the table is unreadable, damaged or of another format.
        PredictorError: the table is too small to fit a predictor.
    """
    from elasticvit.flows.table_space import space_of_table
    from lut.exchange import read_table
    from lut.importer import ENDING, read_block_table
    from lut.shared_file import SUFFIXES

    here, path = workspace_of(workspace), Path(table)
    check_precision(precision, optional=True)
    if device is not None:
        check_name("device", device, SettingError, "device")
    if path.suffix not in (*SUFFIXES, ENDING):
        raise StoreError(
            f"table {path} ends in {path.suffix!r}; a latency table ends in {', '.join(SUFFIXES)} "
            f"or {ENDING}"
        )
    where = space_of(here, space)
    if path.suffix in SUFFIXES:
        shared = read_table(path)
        name = device or shared.device
        if name != shared.device and not force:
            raise SettingError(
                f"table {path} was measured on {shared.device!r}, not on {name!r}; leave the "
                "device out, or force the import under the other name",
                settings=["device", "force"],
            )
        if precision not in (None, shared.precision):
            raise SettingError(
                f"table {path} was measured in {shared.precision}, not in {precision}; leave the "
                "precision out",
                settings=["precision"],
            )
        if space is None and here.settings().space is None:
            where = space_of_table(shared) or where
        _keep_measured(here, name, shared.precision, force)
        with latency_table(here) as store:
            return _fitted(here, store, name, where, shared)
    blocks = read_block_table(path)
    if device is None:
        raise SettingError(
            f"table {path} does not say which device it was measured on; name the device",
            settings=["device"],
        )
    kept = precision or FP32
    _keep_measured(here, device, kept, force)
    with latency_table(here) as store:
        return _looked_up(here, store, device, where, blocks, kept)


def _keep_measured(workspace: Workspace, device: str, precision: str, force: bool) -> None:
    """Refuse to replace the predictor of a device and precision that was measured here.

    Raises:
        SettingError: it would be, and it is not forced.
    """
    from lut.series import IMPORTED
    from predictors.predictor import load_predictor
    from predictors.workspace_predictors import profiled_precisions

    if force or precision not in profiled_precisions(workspace, device):
        return
    folder = workspace.predictor_path(device, precision)
    source = load_predictor(folder).source
    if not source.startswith(IMPORTED):
        raise SettingError(
            f"the predictor of {device!r}{in_words(precision)} comes from measurements ({source}), "
            "which an imported table would replace; import it under another device's name, or "
            "force it",
            settings=["device", "force"],
        )


def _save(workspace: Workspace, predictor: Predictor, space: SearchSpace) -> None:
    predictor.save(workspace.predictor_path(predictor.device, predictor.precision))
    workspace.remember(device=predictor.device, space=space, precision=predictor.precision)


def _fitted(
    workspace: Workspace, store: Store, device: str, space: SearchSpace, table: SharedTable
) -> ImportResult:
    from elasticvit.flows.table_space import unused_remark
    from lut.dataset import Dataset
    from predictors.evaluate import fit_dataset, held_out_errors
    from predictors.provenance import remarks

    with store.all_or_nothing():
        added = table.add_to(store, device, [space.layout])
        data = Dataset.of(store, device, space, precision=table.precision)
        predictor = fit_dataset(data, space, device=device)
    _save(workspace, predictor, space)
    unused = unused_remark(table, space)
    return ImportResult(
        device=device,
        space=space.name,
        series=data.series,
        added=added,
        missing=(),
        errors=held_out_errors(predictor, data, space),
        sums=None,
        remarks=(*remarks(predictor, space), *([] if unused is None else [unused])),
        lut=workspace.lut_path,
        predictor_folder=workspace.predictor_path(device, predictor.precision),
    )


def _looked_up(
    workspace: Workspace,
    store: Store,
    device: str,
    space: SearchSpace,
    table: BlockTable,
    precision: str,
) -> ImportResult:
    from elasticvit.cost import reachable_kernels
    from predictors.fit import table_predictor
    from predictors.provenance import remarks

    predictor = table_predictor(
        table.table_ms, device=device, source=table.source, precision=precision
    )
    layout = MOBILE.layout
    known = {name: arch for name, arch in PUBLISHED.items() if table.has(arch, layout)}
    sums = BlockSums(
        ms={name: table.sum_ms(arch, layout) for name, arch in known.items()},
        authors_ms={name: table.authors_sum_ms(arch, layout) for name, arch in known.items()},
        left_out=table.left_out,
    )
    added = table.add_to(store, device, precision)
    _save(workspace, predictor, space)
    return ImportResult(
        device=device,
        space=space.name,
        series=store.latest(device, precision),
        added=added,
        missing=[kernel.key for kernel in table.missing(reachable_kernels(space))],
        errors={},
        sums=sums,
        remarks=remarks(predictor, space),
        lut=workspace.lut_path,
        predictor_folder=workspace.predictor_path(device, predictor.precision),
    )


def export_table(
    table: Path | str,
    device: str | None = None,
    *,
    precision: str | None = None,
    force: bool = False,
    workspace: WorkspaceLike = None,
) -> int:
    """Write every measurement of a device in one precision where others can read it.

    Args:
        table: File to write, `.csv` or `.parquet`.
        device: Name of the device; None is the one profiled last, or the host.
        precision: Precision of the measurements; None is the one that the device was profiled in
            last.
        force: Replace a file that is there.

    Returns:
        The number of measurements.

    Raises:
        StoreError: nothing was measured, the file has another ending or is there already, or its
            folder is not there.
        FileError: the file cannot be written.
    """
    from lut.exchange import check_free
    from lut.exchange import export_table as write
    from lut.shared_file import suffixed
    from lut.store import Store

    here = workspace_of(workspace)
    check_precision(precision, optional=True)
    check_free(suffixed(table), force)
    name = here.device(device) or HOST
    chosen = here.precision(name, precision)
    if not here.lut_path.exists():
        raise StoreError(
            f"no measurements of {name!r}: workspace {here.root} has no latency table yet",
            next_step=profile_step(name, chosen),
        )
    with Store(here.lut_path, read_only=True) as store:
        return write(store, name, table, precision=chosen, force=force)
