"""Predicted latency of architectures on one device."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from os.path import exists
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import reachable_kernels
from elasticvit.cpu_setting import CpuSetting, matching_settings
from elasticvit.errors import ArchError, PredictorError, SettingError
from elasticvit.files import writing
from elasticvit.find import find_arch
from elasticvit.flows.settings import WorkspaceLike, space_of, workspace_of
from elasticvit.flows.table_space import space_of_table
from elasticvit.kernels import lower
from elasticvit.precisions import check_precision
from elasticvit.reading import shown
from elasticvit.space import MOBILE, PRESETS, SearchSpace, find_space

if TYPE_CHECKING:
    import pandas as pd

    from predictors.predictor import LatencyCost, Predictor

BLOCK_TABLE = ".json"
TABLES = (".csv", ".parquet", BLOCK_TABLE)


@dataclass(frozen=True, kw_only=True)
class LatencyPrediction:
    """Predicted latency of one architecture, or of each of many.

    Attributes:
        median_ms: Predicted median latency in milliseconds: a number, or shape (n,).
        lower_ms, upper_ms: Bounds that the measured latency stays above, and below, each with
            the probability `coverage`; None if nothing is known about the error.
        coverage: Nominal coverage of each bound; None without bounds.
        source: Where the numbers come from.
    """

    median_ms: float | FloatArray
    lower_ms: float | FloatArray | None
    upper_ms: float | FloatArray | None
    coverage: float | None
    source: str


@dataclass(frozen=True)
class Latency:
    """Latency of a space's architectures on one device.

    Attributes:
        predictor: The device's predictor.
        space: The space; names such as `smallest` are looked up in it.
        extrapolate: Price kernels outside what was measured, with wider bounds, instead of
            refusing them.
    """

    predictor: Predictor
    space: SearchSpace
    extrapolate: bool = False

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.predictor.device

    @property
    def cpu(self) -> CpuSetting | None:
        """Threads and cores that the latency is of; None if nobody recorded them."""
        return self.predictor.cpu

    @property
    def precision(self) -> str:
        """Precision of the models that the latency is of."""
        return self.predictor.precision

    @cached_property
    def source(self) -> str:
        """Where the numbers come from, for people."""
        from predictors.provenance import origin

        return origin(self.predictor)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """In what the prices differ from what will run."""
        from predictors.provenance import remarks

        return tuple(remarks(self.predictor, self.space))

    @cached_property
    def cost(self) -> LatencyCost:
        """The latency as a cost model, for caps, complexity levels and batches.

        Raises:
            PredictorError: kernels of the space lie outside what was measured.
        """
        return self.predictor.cost(self.space, extrapolate=self.extrapolate)

    def predict(self, what: Arch | str | ArchBatch) -> LatencyPrediction:
        """Predicted latency.

        Args:
            what: An architecture; `smallest`, `largest` or a published name; a text as tables
                print it; JSON; or a batch, whose prediction has shape (n,).

        Raises:
            ArchError: no such architecture, or not in the space.
            PredictorError: a kernel lies outside what was measured.
        """
        if isinstance(what, list | tuple):
            raise ArchError(
                f"architecture is {shown(what)}; several architectures are a batch, "
                "ArchBatch.of([...]) of at least one"
            )
        interval = self.predictor.interval
        if isinstance(what, ArchBatch) or self.extrapolate:
            one = None if isinstance(what, ArchBatch) else ArchBatch.of([self.find(what)])
            batch = what if isinstance(what, ArchBatch) else one
            assert batch is not None
            ms, upper = self.cost.price(batch), self.cost.upper(batch)
            lower_ms = None if upper is None else ms * interval.lower
            if one is None:
                return self._prediction(ms, lower_ms, upper)
            return self._prediction(
                float(ms[0]),
                None if lower_ms is None else float(lower_ms[0]),
                None if upper is None else float(upper[0]),
            )
        kernels = lower(self.find(what), self.space.layout)
        one_ms = self.predictor.predict_ms(kernels, self.space)
        if interval.coverage is None:
            return self._prediction(one_ms, None, None)
        return self._prediction(one_ms, one_ms * interval.lower, one_ms * interval.upper)

    def find(self, what: Arch | str) -> Arch:
        """The architecture that is meant; raises `ArchError` as `predict` does."""
        return find_arch(what, self.space)

    def explain(self, what: Arch | str) -> pd.DataFrame:
        """Where an architecture's time goes.

        Returns:
            A row a kernel in its place, input to output, and one for the subnet itself: `place`,
            `kernel`, `ms` and `share` of the predicted latency.

        Raises:
            ArchError, PredictorError: as `predict` does.
        """
        import pandas as pd

        rows = self.predictor.explain(self.find(what), self.space)
        frame: pd.DataFrame = pd.DataFrame([asdict(row) for row in rows])
        frame["share"] = frame["ms"] / frame["ms"].sum()
        return frame

    def _prediction(
        self,
        median_ms: float | FloatArray,
        lower_ms: float | FloatArray | None,
        upper_ms: float | FloatArray | None,
    ) -> LatencyPrediction:
        return LatencyPrediction(
            median_ms=median_ms,
            lower_ms=lower_ms,
            upper_ms=upper_ms,
            coverage=None if upper_ms is None else self.predictor.interval.coverage,
            source=self.source,
        )


def load_latency(
    device: Path | str | None = None,
    *,
    space: SearchSpace | str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    cores: str | None = None,
    extrapolate: bool = False,
    workspace: WorkspaceLike = None,
) -> Latency:
    """The latency of a device, for predictions. Nothing is written.

    Args:
        device: Name of a device of the workspace; or a file: a shared table (`.csv`, `.parquet`),
            a published block table (`.json`), or the folder of a saved predictor. None is the
            device profiled last.
        space: The space; None is the one that the workspace used last, or for a file the preset
            that it is of: that of most whole subnets of a table, the first that a predictor covers
            or `mobile`.
        precision: Precision that is predicted. None: of a device of the workspace the one that it
            was profiled in last; of a file its own.
        threads, cores: Threads and cores that the latencies are of, where a device of the
            workspace was profiled with several. None: those that it was profiled with last, or
            else one thread on cores `auto`.
        extrapolate: Price kernels outside what was measured, with wider bounds.
        workspace: Workspace or its folder; `.evit` by default.

    Raises:
        PredictorError: there is no such predictor, or the table is too small to fit one.
        SettingError: a file is of another precision, or there is no such precision.
        StoreError: the table is unreadable, damaged or of another format.
    """
    from predictors.predictor import load_predictor
    from predictors.saved import MANIFEST
    from predictors.workspace_predictors import load_device_predictor

    check_precision(precision, optional=True)

    path = None if device is None else Path(device)
    if path is not None and (exists(path / MANIFEST) or (path.suffix and exists(path))):
        named = find_space(space) if isinstance(space, str) else space
        if path.is_dir():
            predictor = load_predictor(path)
            where = named or _covered(predictor)
        else:
            predictor, where = _from_table(path, named)
        if precision not in (None, predictor.precision):
            raise SettingError(
                f"{path} is of {predictor.precision}, not of {precision}; leave the precision out, "
                "or name another file",
                settings=["precision"],
            )
        if not matching_settings([predictor.cpu], None, threads, cores):
            raise SettingError(
                f"{path} is of {predictor.cpu or 'threads and cores that nobody recorded'}; leave "
                "threads and cores out, or name another file",
                settings=["threads", "cores"],
            )
        return Latency(predictor, where, extrapolate)
    if device is not None and (isinstance(device, Path) or _is_path(Path(device))):
        missing = "" if exists(device) else ", and does not exist"
        raise PredictorError(
            f"{device} is neither a table nor the folder of a predictor{missing}; name a file that "
            "ends in .csv, .parquet or .json, or a folder with predictor.json"
        )
    here = workspace_of(workspace)
    name = here.device(device)
    if name is None:
        raise SettingError(
            f"workspace {here.root} has no profiled device yet; name one, or profile it first",
            settings=["device"],
        )
    where = space_of(here, space)
    chosen = here.precision(name, precision)
    predictor = load_device_predictor(here, name, chosen, threads=threads, cores=cores)
    return Latency(predictor, where, extrapolate)


def _is_path(path: Path) -> bool:
    """Whether the name of a device is a path instead."""
    return len(path.parts) > 1 or path.suffix in TABLES


def _covered(predictor: Predictor) -> SearchSpace:
    """The first preset, larger ones first, whose kernels a predictor covers; `mobile` if none."""
    spaces = sorted(PRESETS.values(), key=SearchSpace.size, reverse=True)
    covered = (one for one in spaces if not predictor.outside(reachable_kernels(one)))
    return next(covered, MOBILE)


def _from_table(path: Path, space: SearchSpace | None) -> tuple[Predictor, SearchSpace]:
    """A predictor from a table alone, kept in memory, and its space; the device of a published
    block table is called by its file's name."""
    from lut.dataset import Dataset
    from lut.exchange import read_table
    from lut.importer import read_block_table
    from lut.store import Store
    from predictors.evaluate import fit_dataset
    from predictors.fit import table_predictor

    if path.suffix == BLOCK_TABLE:
        table = read_block_table(path)
        device = Path(table.name).stem
        return table_predictor(table.table_ms, device=device, source=table.source), space or MOBILE
    shared = read_table(path)
    space = space or space_of_table(shared) or MOBILE
    with ExitStack() as stack:
        with writing("the temporary folder"):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
        store = stack.enter_context(Store(Path(folder) / "lut.sqlite"))
        shared.add_to(store, shared.device, [space.layout])
        data = Dataset.of(store, shared.device, space, precision=shared.precision)
        return fit_dataset(data, space, device=shared.device), space
