"""Settings of the export flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from elasticvit.arch import Arch
from elasticvit.errors import SettingError
from elasticvit.files import writing
from elasticvit.flows.export_source import check_sources, source_text
from elasticvit.flows.places import check_path
from elasticvit.flows.search_targets import MOST_GOALS
from elasticvit.flows.settings import check_real, check_whole
from elasticvit.names import check_name
from elasticvit.precisions import check_precision
from elasticvit.reading import shown

MOST_IMAGES = 10_000_000
MOST_PROOF_IMAGES = 64
MOST_RESOLUTION = 2048


class InFolder(Protocol):
    """A result that was written to a folder, such as the `SearchOutcome` of the search flow."""

    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of the export flow.

    Attributes:
        format: Name of the export format, or several with commas between them, whose files then
            lie in one bundle. None: the format of the suffix of `out`, or `tflite`.
        search: Search with the subnet to export: its folder, or the outcome that the search flow
            returned. None: the latest search of the workspace.
        official_checkpoint: The authors' checkpoint, to export the subnet `arch` out of it.
        supernet: A trained supernet, to export the subnet `arch` out of it: the name of one that
            comes with the package, a file, the authors' checkpoint, or the folder of a training
            run.
        arch: The architecture: a published name, `smallest`, `largest`, a text as tables print it,
            or an `Arch`.
        timm: Name of a network of timm's to export.
        weights: File of the weights of `timm`: safetensors, or what `torch.save` wrote. None:
            random weights, which are as fast.
        resolution: Side of the images of `timm` in pixels. None: the network's own, mostly 224.
        data: Images to compare the file on, and to compute a subnet's batch norms with; of the
            same classes as the weights. None: random images, or those of the training run.
        goal: Number of the goal, from 1, whose subnet is exported, of a search with several.
        device: Device to time the model file on. None: the device that the search was for, the
            device that was profiled last, or `host`; the export then succeeds even if that device
            does not answer.
        out: Path to write the model file to, in a folder that exists. A file there is replaced
            only if an earlier export wrote it. If `search` is given and no workspace is, the model
            card and the labels are written to the same folder; otherwise they are written to the
            bundle's folder with another copy of the model file.
        folder: Folder to write the bundle to. None: the folder of `out` as described above, or a
            new folder in the workspace.
        images: Largest number of test images to compare the model file with torch on.
        max_accuracy_drop: By how many percentage points the file may be less accurate than torch
            on those images. A file that is worse, and not by chance (`export.accuracy_drop` has the
            rule), is an error and is kept under a name with `.rejected` in it.
        proof_images: Largest number of test images that are kept in the bundle, to prove its files
            again where the data set is not; 0 keeps none.
        check_on_device: Whether some images go through the TFLite file on the device, too, and its
            logits there are compared with those here; a file that is wrong there is an error and is
            kept under a name with `.rejected` in it.
        precision: Precision of the model file: `fp32`, `fp16`, `int8` (activations brought to 8
            bits while it runs) or `int8-full` (their ranges fixed by training images). None: the
            precision that the search was for.

    Raises:
        SettingError: A value is out of range, or a path is of the wrong kind.
        FileError: A path cannot be looked at.
    """

    format: str | None = None
    search: InFolder | Path | str | None = None
    official_checkpoint: Path | str | None = None
    supernet: Path | str | None = None
    arch: Arch | str | None = None
    timm: str | None = None
    weights: Path | str | None = None
    resolution: int | None = None
    data: Path | str | None = None
    goal: int = 1
    device: str | None = None
    out: Path | str | None = None
    folder: Path | str | None = None
    images: int = 2000
    max_accuracy_drop: float = 0.5
    proof_images: int = 64
    check_on_device: bool = False
    precision: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", check_whole("images", self.images, 1, MOST_IMAGES))
        kept = check_whole("proof_images", self.proof_images, 0, MOST_PROOF_IMAGES)
        object.__setattr__(self, "proof_images", kept)
        if not isinstance(self.check_on_device, bool):
            raise SettingError(
                f"check_on_device is {shown(self.check_on_device)}; it must be true or false",
                settings=["check_on_device"],
            )
        check_real("max_accuracy_drop", self.max_accuracy_drop, 0, 100)
        object.__setattr__(self, "goal", check_whole("goal", self.goal, 1, MOST_GOALS))
        if self.resolution is not None:
            side = check_whole("resolution", self.resolution, 8, MOST_RESOLUTION)
            object.__setattr__(self, "resolution", side)
        check_precision(self.precision, optional=True)
        for name in ("out", "folder"):
            check_path(name, getattr(self, name))
        if self.format is not None and not isinstance(self.format, str):
            raise SettingError(
                f"format is {shown(self.format)}; it must be the name of a format",
                settings=["format"],
            )
        if len(set(self.formats)) < len(self.formats):
            raise SettingError(
                f"format is {self.format}: one is named twice; name each format once",
                settings=["format"],
            )
        if self.device is not None:
            check_name("device", self.device, SettingError, "device")
        if self.out is not None and _is_folder(Path(self.out)):
            raise SettingError(
                f"out is {self.out}, which is a folder; name a file, such as "
                f"{Path(self.out) / 'model.tflite'}",
                settings=["out"],
            )
        if self.folder is not None and _is_file(Path(self.folder)):
            raise SettingError(
                f"folder is {self.folder}, which is a file; name a folder", settings=["folder"]
            )
        check_sources(self)
        if self.search is not None and self.search_folder is None:
            raise SettingError(
                f"search is {shown(self.search)}; it must be the folder of a search, or the "
                "outcome that the search flow returned",
                settings=["search"],
            )

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats that were named; empty if none was."""
        return () if self.format is None else tuple(n.strip() for n in self.format.split(","))

    @property
    def outside(self) -> str | None:
        """The network in words, if it is of no search; None if it is."""
        return source_text(self)

    @property
    def search_folder(self) -> Path | None:
        """Folder of the search; None if none was named."""
        folder = getattr(self.search, "folder", self.search)
        if not isinstance(folder, (str, Path)):
            return None
        check_path("search", folder)
        return Path(folder)


def _is_folder(path: Path) -> bool:
    with writing(path):
        return path.is_dir()


def _is_file(path: Path) -> bool:
    with writing(path):
        return path.is_file()
