"""The predictor of one device: kernels to milliseconds, and the cost of a space by it.

A predictor is kernel latencies (regressors or a table), the network correction of their sum, and
what held-out subnets say about its error. `LatencyCost` is the predictor tabulated for a space:
one look-up a stage, interchangeable with multiply-accumulates everywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import StageTables, reachable_kernels, space_kernels
from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel, Place, lower, walk
from elasticvit.precisions import FP32, in_words, profile_step
from elasticvit.space import PRESETS, SearchSpace
from predictors.extrapolation import ExtrapolationWarning, extra_ms, with_extrapolation
from predictors.fit_report import FitReport
from predictors.interval import Interval
from predictors.kernel_regressors import KernelRegressors, RegressorState
from predictors.kernel_table import KernelTable
from predictors.network_correction import NetworkCorrection
from predictors.predictor_file import PREDICTOR_FORMAT
from predictors.saved import MANIFEST, read_arrays, save_state

NAMED = 5  # kernels that a message names before it only counts
MOST_MS = 1e9  # of a subnet, some eleven days: beyond it a number is damaged


@dataclass(frozen=True, kw_only=True)
class PlacedLatency:
    """Latency of one kernel in its place in a subnet.

    Attributes:
        place: Text of its `elasticvit.kernels.Place`; `subnet` for what no kernel accounts for.
        kernel: Key of the kernel; empty for the subnet's own part.
        ms: Milliseconds inside the subnet.
    """

    place: str
    kernel: str
    ms: float


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Predictor of one device.

    Attributes:
        device: Name of the device.
        source: Source of the measurements, such as `host:CPU model` or `import:FILE`.
        precision: Precision of the models that were measured, and so of what is predicted.
        cpu: Threads and cores that they were measured with; None if nobody recorded them.
        kernels: Latency of kernels on their own.
        network: Correction of their sum.
        interval: Bounds of a whole subnet's latency around the prediction.
        report: What is known of the fit.
    """

    device: str
    source: str
    precision: str = FP32
    cpu: CpuSetting | None = None
    kernels: KernelRegressors | KernelTable
    network: NetworkCorrection = field(default_factory=NetworkCorrection.plain)
    interval: Interval = field(default_factory=Interval.unknown)
    report: FitReport = field(default_factory=FitReport)

    @property
    def name(self) -> str:
        """The device, and the precision unless that is fp32, for people."""
        return self.device + in_words(self.precision)

    def outside(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Those of the kernels that lie outside what was measured."""
        beyond = self.kernels.octaves_outside(kernels) > 0
        return [k for k, out in zip(kernels, beyond, strict=True) if out]

    def check(self, kernels: Sequence[Kernel], space: SearchSpace | None = None) -> None:
        """Refuse kernels that lie outside what was measured.

        Args:
            kernels: The kernels.
            space: The space that they are of, which the error's next step profiles.

        Raises:
            PredictorError: Some do; they are named.
        """
        outside = self.outside(list(dict.fromkeys(kernels)))
        if outside:
            named = "; ".join(k.key for k in outside[:NAMED])
            more = f" and {len(outside) - NAMED} more" if len(outside) > NAMED else ""
            preset = None if space is None or space.name not in PRESETS else space.name
            raise PredictorError(
                f"predictor of {self.name} ({self.source}) does not cover {named}{more}, which lie "
                "outside what was measured; another profile of the device measures them",
                settings=("extrapolate",),
                next_step=profile_step(self.device, self.precision, space=preset),
            )

    def kernel_ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds that each kernel costs inside a subnet, shape (n,); NaN if unknown."""
        return self.network.ms(kernels, self.kernels.ms(kernels))

    def subnet_ms(self, kernels: Sequence[Kernel]) -> float:
        """Milliseconds of a whole subnet, given as `lower(arch, layout)`.

        Kernels are not checked against what was measured; NaN if one is unknown.
        """
        return float(self.kernel_ms(kernels).sum() + self.network.constant_ms)

    def predict_ms(self, kernels: Sequence[Kernel], space: SearchSpace | None = None) -> float:
        """Milliseconds of a whole subnet, given as `lower(arch, layout)`.

        Args:
            kernels, space: As in `check`.

        Raises:
            PredictorError: A kernel lies outside what was measured.
        """
        self.check(kernels, space)
        return self.sensible(self.subnet_ms(kernels))

    def sensible(self, ms: float) -> float:
        """The predicted latency of a subnet itself.

        Raises:
            PredictorError: It is not above 0, or absurdly long: the predictor is damaged, or what
                it was fitted to.
        """
        if not 0 < ms < MOST_MS:
            raise PredictorError(
                f"predictor of {self.name} ({self.source}) predicts {ms:g} ms for a subnet, "
                "which cannot be: what it was fitted to is damaged; profile the device again",
                next_step=profile_step(self.device, self.precision),
            )
        return ms

    def explain(self, arch: Arch, space: SearchSpace) -> list[PlacedLatency]:
        """Latency of every kernel of an architecture in its place, input to output, and of what the
        subnet adds; together they are `predict_ms`.

        Raises:
            ArchError: The architecture has another number of stages than the space.
            PredictorError: A kernel lies outside what was measured.
        """
        places, kernels = zip(*walk(arch, space.layout), strict=True)
        self.check(kernels, space)
        rows = [
            PlacedLatency(place=str(place), kernel=kernel.key, ms=float(ms))
            for place, kernel, ms in zip(places, kernels, self.kernel_ms(kernels), strict=True)
        ]
        return [*rows, PlacedLatency(place="subnet", kernel="", ms=self.network.constant_ms)]

    def cost(self, space: SearchSpace, *, extrapolate: bool = False) -> LatencyCost:
        """Latency of the architectures of a space, for levels, caps and searches.

        Args:
            extrapolate: Price kernels outside what was measured, with a wider bound and a warning,
                instead of refusing them.

        Raises:
            PredictorError: Kernels of the space lie outside what was measured.
        """
        return LatencyCost(self, space, extrapolate=extrapolate)

    def save(self, folder: Path) -> None:
        """Write to a folder; a reader sees the old predictor or the new one."""
        kernel_state, kernel_arrays = self.kernels.state()
        network_state, network_arrays = self.network.state()
        state = {
            "device": self.device,
            "source": self.source,
            "precision": self.precision,
            "cpu": None if self.cpu is None else msgspec.to_builtins(self.cpu),
            "kernels": kernel_state,
            "network": network_state,
            "interval": msgspec.to_builtins(self.interval),
            "report": msgspec.to_builtins(self.report),
        }
        save_state(folder, state, kernel_arrays | network_arrays)


class LatencyCost:
    """Predicted latency in milliseconds of the architectures of a space.

    Args:
        predictor: Predictor of the device.
        space: The space; its tables cover exactly its choices.
        extrapolate: Price kernels outside what was measured, with a wider bound and a warning,
            instead of refusing them.

    Raises:
        PredictorError: Kernels of the space lie outside what was measured, by name.
    """

    unit = "ms"

    def __init__(
        self, predictor: Predictor, space: SearchSpace, *, extrapolate: bool = False
    ) -> None:
        self.predictor = predictor
        self.space = space
        self.name = f"latency on {predictor.name}"
        kernels = space_kernels(space)
        outside = predictor.outside(reachable_kernels(space))
        if outside and not extrapolate:
            predictor.check(outside, space)
        self.extrapolated: tuple[Kernel, ...] = tuple(outside)
        model = predictor.kernels
        if outside:
            model = with_extrapolation(model, outside, predictor.name)
            named = "; ".join(k.key for k in outside[:NAMED])
            warnings.warn(
                f"{len(outside)} kernels lie outside what was measured on {predictor.name} and "
                f"are extrapolated ({named}{', ...' if len(outside) > NAMED else ''}); their "
                "bounds are widened",
                ExtrapolationWarning,
                stacklevel=3,
            )
        inside_ms = predictor.network.ms(kernels, model.ms(kernels))
        values = dict(zip(kernels, inside_ms, strict=True))
        self._tables = StageTables(space, lambda ks: np.array([values[k] for k in ks]))
        self._extra: StageTables | None = None
        if outside:
            extra = extra_ms(model, outside, np.array([values[k] for k in outside]))
            added = dict(zip(outside, extra, strict=True))
            self._extra = StageTables(space, lambda ks: np.array([added.get(k, 0.0) for k in ks]))
        for price in self.price(ArchBatch.of([space.smallest, space.largest])):
            predictor.sensible(float(price))

    def price(self, batch: ArchBatch) -> FloatArray:
        """Predicted milliseconds of every architecture, shape (n,).

        Raises:
            ArchError: A gene has a value that the space does not offer.
            PredictorError: An architecture breaks the space's rule on widths and has a kernel
                that the predictor does not know.
        """
        total = self._tables.sum(batch) + self.predictor.network.constant_ms
        if np.isnan(total).any():
            arch = batch[int(np.flatnonzero(np.isnan(total))[0])]
            self.predictor.check(lower(arch, self.space.layout), self.space)
            raise PredictorError(f"architecture {arch} cannot be priced; it is not in the space")
        return total

    def upper(self, batch: ArchBatch) -> FloatArray | None:
        """Upper bound of the latency in milliseconds, shape (n,), for hard caps.

        It holds with the predictor's nominal coverage; None if nothing is known about the error
        of its predictions. Raises as `price` does.
        """
        if self.predictor.interval.coverage is None and self._extra is None:
            return None
        bound = self.price(batch) * self.predictor.interval.upper
        return bound if self._extra is None else bound + self._extra.sum(batch)

    def by_place(self, arch: Arch) -> list[tuple[Place, float]]:
        """Milliseconds of every kernel of an architecture in its place, input to output; what the
        subnet adds to their sum is not among them. Raises `ArchError` outside the space."""
        return self._tables.by_place(arch)


def load_predictor(folder: Path) -> Predictor:
    """The predictor saved in a folder.

    Raises:
        PredictorError: There is none, it is corrupt, or a newer version wrote it.
    """
    file = PREDICTOR_FORMAT.read_json(folder / MANIFEST)
    arrays = read_arrays(folder, file.arrays, PREDICTOR_FORMAT)
    kernels: KernelRegressors | KernelTable
    if isinstance(file.kernels, RegressorState):
        kernels = KernelRegressors.from_state(file.kernels, arrays)
    else:
        kernels = KernelTable.from_state(file.kernels, arrays)
    return Predictor(
        device=file.device,
        source=file.source,
        precision=file.precision,
        cpu=file.cpu,
        kernels=kernels,
        network=NetworkCorrection.from_state(file.network, arrays),
        interval=file.interval,
        report=file.report,
    )
