"""The predictor of one device: kernels to milliseconds, with an interval, on disk.

A predictor is kernel latencies (regressors or a table), the network model that corrects their
sum, and what held-out subnets say about its error. It is saved as one JSON file and one file
of plain arrays; nothing is pickled, so any later version of the libraries reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.errors import EvitError, PredictorError
from elasticvit.kernels import Kernel
from elasticvit.space import SearchSpace
from elasticvit.version import __version__
from elasticvit.workspace import Workspace, write_atomic
from predictors.interval import Interval
from predictors.kernel_model import Arrays, KernelModel
from predictors.kernel_table import KernelTable
from predictors.network import NetworkModel
from predictors.pricing import NAMED, LatencyCost

FloatArray = npt.NDArray[np.float64]
SCHEMA = 1
MANIFEST = "predictor.json"
TYPES: Mapping[str, type[KernelModel] | type[KernelTable]] = {
    "regressors": KernelModel,
    "table": KernelTable,
}


class KernelLatency(Protocol):
    """Latency of kernels on their own; one row a kernel in all results, shape (n,)."""

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds; NaN where unknown."""
        ...

    def octaves_outside(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Distance beyond what was measured; 0 inside, infinite where unknown."""
        ...

    def deviation(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Standard deviation of the log of the prediction."""
        ...

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON-ready description and arrays."""
        ...


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Predictor of one device.

    Attributes:
        device: the device's name.
        source: where the measurements came from, such as `host:CPU model` or `import:FILE`.
        kernels: latency of kernels on their own.
        network: correction of their sum.
        interval: of a whole subnet's latency around the prediction.
        report: JSON-ready facts about the fit: counts, errors, bias before and after.
    """

    device: str
    source: str
    kernels: KernelModel | KernelTable
    network: NetworkModel = field(default_factory=NetworkModel.plain)
    interval: Interval = field(default_factory=Interval.unknown)
    report: dict[str, Any] = field(default_factory=dict)

    def outside(self, kernels: Sequence[Kernel]) -> list[Kernel]:
        """Those of the kernels that lie outside what was measured."""
        beyond = self.kernels.octaves_outside(kernels) > 0
        return [k for k, out in zip(kernels, beyond, strict=True) if out]

    def check(self, kernels: Sequence[Kernel]) -> None:
        """Refuse kernels that lie outside what was measured.

        Raises:
            PredictorError: some do; they are named.
        """
        outside = self.outside(list(dict.fromkeys(kernels)))
        if outside:
            named = "; ".join(k.key for k in outside[:NAMED])
            more = f" and {len(outside) - NAMED} more" if len(outside) > NAMED else ""
            raise PredictorError(
                f"predictor of {self.device} ({self.source}) never saw {named}{more}: measure "
                "them with `evit-profile`, or price them anyway, with a wider interval, by "
                "--extrapolate"
            )

    def kernel_ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds that each kernel costs inside a subnet, shape (n,); NaN where unknown."""
        return self.network.ms(kernels, self.kernels.ms(kernels))

    def predict_ms(self, kernels: Sequence[Kernel]) -> float:
        """Milliseconds of a whole subnet, given as `lower(arch, layout)`.

        Raises:
            PredictorError: a kernel lies outside what was measured.
        """
        self.check(kernels)
        return float(self.kernel_ms(kernels).sum() + self.network.subnet_ms)

    def cost(self, space: SearchSpace, *, extrapolate: bool = False) -> LatencyCost:
        """Latency of the architectures of a space, for levels, caps and searches.

        Raises:
            PredictorError: kernels of the space lie outside what was measured.
        """
        return LatencyCost(self, space, extrapolate=extrapolate)

    def save(self, folder: Path) -> None:
        """Write to a folder; a reader sees the old predictor or the new one."""
        kernel_meta, arrays = self.kernels.state()
        network_meta, network_arrays = self.network.state()
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **(arrays | network_arrays))  # type: ignore[arg-type]
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        name = f"arrays-{digest[:12]}.npz"
        manifest = {
            "schema": SCHEMA,
            "elasticvit": __version__,
            "device": self.device,
            "source": self.source,
            "kernels": kernel_meta,
            "network": network_meta,
            "interval": self.interval.to_dict(),
            "report": self.report,
            "arrays": {"file": name, "sha256": digest},
        }
        write_atomic(folder / name, data)
        write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
        for old in folder.glob("arrays-*.npz"):
            if old.name != name:
                old.unlink(missing_ok=True)


def load_predictor(folder: Path) -> Predictor:
    """The predictor saved in a folder.

    Raises:
        PredictorError: there is none, it is corrupt, or a newer version wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise PredictorError(f"no predictor in {folder}; make one with `evit-profile`")
    again = "profile the device again with `evit-profile`, or copy the folder anew"
    try:
        manifest = json.loads(path.read_text())
        if not isinstance(manifest, dict):
            raise PredictorError(f"{path} holds no predictor; {again}")
        if not isinstance(manifest.get("schema"), int) or manifest["schema"] > SCHEMA:
            raise PredictorError(
                f"{path} has schema {manifest.get('schema')!r}, written by elasticvit "
                f"{manifest.get('elasticvit')}; this is {__version__} and reads up to {SCHEMA}: "
                "update elasticvit, or profile again"
            )
        arrays = _read_arrays(folder, manifest["arrays"])
        kernel_type = TYPES[manifest["kernels"]["type"]]
        return Predictor(
            device=str(manifest["device"]),
            source=str(manifest["source"]),
            kernels=kernel_type.from_state(manifest["kernels"], arrays),
            network=NetworkModel.from_state(manifest["network"], arrays),
            interval=Interval.from_dict(manifest["interval"]),
            report=dict(manifest["report"]),
        )
    except PredictorError:
        raise
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EvitError) as error:
        raise PredictorError(f"predictor in {folder} is corrupt ({error}); {again}") from error


def load_device(workspace: Workspace, device: str) -> Predictor:
    """The predictor of a device that was profiled, or whose table was imported, in a workspace.

    Raises:
        PredictorError: no predictor of that name (the ones there are named), or as
            `load_predictor`.
    """
    folder = workspace.predictor_path(device)
    if not folder.is_dir():
        base = folder.parent
        known = sorted(p.name for p in base.iterdir()) if base.is_dir() else []
        others = f"; there is one for {', '.join(known)}" if known else ""
        raise PredictorError(
            f"no predictor of device {device!r} in workspace {workspace.root}{others}: make one "
            f"with `evit-profile --device {device}`"
        )
    return load_predictor(folder)


def _read_arrays(folder: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    path = folder / Path(str(entry["file"])).name
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise PredictorError(
            f"{path} is not what its predictor was saved with: half-copied or changed; profile "
            "again with `evit-profile`, or copy the folder anew"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
