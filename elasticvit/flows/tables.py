"""Latency tables as files: read into a workspace, and written for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import SettingError, StoreError
from elasticvit.flows.import_result import BlockSums, ImportResult, TableExport
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
    """The workspace's latency table, open; a new one into which nothing was measured is removed,
    unless another process has it open, too.

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
                empty = new and store.is_unused()
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
        with latency_table(here) as store:
            return _fitted(here, store, name, where, shared, force)
    blocks = read_block_table(path)
    if device is None:
        raise SettingError(
            f"table {path} does not say which device it was measured on; name the device",
            settings=["device"],
        )
    kept = precision or FP32
    with latency_table(here) as store:
        return _looked_up(here, store, device, where, blocks, kept, force)


def _replaced(
    workspace: Workspace, device: str, precision: str, cpu: CpuSetting | None, force: bool
) -> str | None:
    """What to say of the predictor that an import replaces; None if it replaces none.

    Raises:
        SettingError: it was measured here, and replacing it is not forced.
    """
    from lut.series import IMPORTED
    from predictors.predictor import load_predictor
    from predictors.provenance import origin
    from predictors.saved import MANIFEST

    folder = workspace.predictor_path(device, precision, cpu)
    if not (folder / MANIFEST).exists():
        return None
    if force:
        return f"the predictor of {device}{in_words(precision)} that was there is replaced"
    old = load_predictor(folder)
    if not old.source.startswith(IMPORTED):
        raise SettingError(
            f"the predictor of {old.name!r} comes from measurements ({origin(old)}), "
            "which an imported table would replace; import it under another device's name, or "
            "force it",
            settings=["device", "force"],
        )
    return f"the predictor of {old.name} from {origin(old)} is replaced"


def _save(workspace: Workspace, predictor: Predictor, space: SearchSpace) -> Path:
    """Make a predictor the one of its device; returns its folder."""
    device, precision, cpu = predictor.device, predictor.precision, predictor.cpu
    folder = workspace.predictor_path(device, precision, cpu)
    predictor.save(folder)
    workspace.remember(device=device, space=space, precision=precision, cpu=cpu)
    return folder


def _fitted(
    workspace: Workspace,
    store: Store,
    device: str,
    space: SearchSpace,
    table: SharedTable,
    force: bool,
) -> ImportResult:
    from elasticvit.flows.table_space import unused_remark
    from lut.dataset import Dataset
    from lut.series_choice import choose_series
    from predictors.evaluate import fit_dataset, held_out_errors
    from predictors.provenance import remarks
    from predictors.workspace_predictors import settle_predictor

    settle_predictor(workspace, store, device, table.precision)
    with store.all_or_nothing():
        added = table.add_to(store, device, [space.layout])
        series = [one for one in store.series(device, table.precision) if table.has(one)]
        data = Dataset.of(
            store, device, space, choose_series(series, None), precision=table.precision
        )
        chosen = data.series
        replaced = _replaced(workspace, device, table.precision, chosen.cpu, force)
        predictor = fit_dataset(data, space, device=device)
    folder = _save(workspace, predictor, space)
    left = [one for one in series if one.id != chosen.id]
    told = [replaced, unused_remark(table, space)]
    told += [f"the predictor is of {chosen}; in the table besides: {one}" for one in left]
    return ImportResult(
        device=device,
        space=space.name,
        series=chosen,
        added=added,
        missing=(),
        errors=held_out_errors(predictor, data, space),
        sums=None,
        remarks=(*remarks(predictor, space), *filter(None, told)),
        lut=workspace.lut_path,
        predictor_folder=folder,
    )


def _looked_up(
    workspace: Workspace,
    store: Store,
    device: str,
    space: SearchSpace,
    table: BlockTable,
    precision: str,
    force: bool,
) -> ImportResult:
    from elasticvit.cost import reachable_kernels
    from predictors.fit import table_predictor
    from predictors.provenance import remarks
    from predictors.workspace_predictors import settle_predictor

    settle_predictor(workspace, store, device, precision)
    replaced = _replaced(workspace, device, precision, None, force)
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
    folder = _save(workspace, predictor, space)
    series = next(s for s in store.series(device, precision) if s.source == table.source)
    return ImportResult(
        device=device,
        space=space.name,
        series=series,
        added=added,
        missing=[kernel.key for kernel in table.missing(reachable_kernels(space))],
        errors={},
        sums=sums,
        remarks=(*remarks(predictor, space), *filter(None, [replaced])),
        lut=workspace.lut_path,
        predictor_folder=folder,
    )


def export_table(
    table: Path | str,
    device: str | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
    cores: str | None = None,
    force: bool = False,
    workspace: WorkspaceLike = None,
) -> TableExport:
    """Write the measurements of a device in one precision, with the same threads and cores, where
    others can read them.

    Args:
        table: File to write, `.csv` or `.parquet`.
        device: Name of the device; None is the one profiled last, or the host.
        precision: Precision of the measurements; None is the one that the device was profiled in
            last.
        threads, cores: Threads and cores of the measurements. None: those that the device was
            profiled with last, or else one thread on cores `auto`.
        force: Replace a file that is there.

    Raises:
        StoreError: nothing was measured, or not with these threads and cores, the file has another
            ending or is there already, or its folder is not there.
        FileError: the file cannot be written.
    """
    from lut.exchange import check_free
    from lut.exchange import export_table as write
    from lut.series_choice import choose_series, no_such_series
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
        store.latest(name, chosen)
        known = store.series(name, chosen)
        series = choose_series(known, here.cpu_setting(name), threads, cores)
        if series is None:
            raise no_such_series(store.path, known, threads, cores)
        count = write(store, name, table, series=series, force=force)
    others = [one for one in known if one is not series]
    return TableExport(path=Path(table), series=series, count=count, others=others)
