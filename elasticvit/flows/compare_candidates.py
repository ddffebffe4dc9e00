"""What is compared: exports, winners of searches, and other TFLite files, as models to be timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import EvitError, ExportError, SettingError
from elasticvit.events import EventHandler, Phase
from elasticvit.flows.model_files import ModelFile, distinct_names, read_file
from elasticvit.names import check_name
from elasticvit.precisions import FP32, in_words
from elasticvit.reading import shown_path
from elasticvit.searching.result import RESULT_FILE, SearchResult
from elasticvit.share_error import share_error
from export.bundle import CARD_FILE, card_path, load_bundle, load_files
from export.direct import DirectBackend
from export.flatbuffer import FILE_IDENTIFIER

if TYPE_CHECKING:
    from elasticvit.flows.export_search import SearchedSubnet
    from export.card import Card

SETTING = "models"


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a model on test images.

    Attributes:
        percent: Top-1 accuracy.
        images: Number of images.
        data: Canonical spec of the data set.
        of: What was judged: the `file`, or the network in `torch`.
    """

    percent: float
    images: int
    data: str
    of: str

    @property
    def error(self) -> float:
        """Standard error in percentage points."""
        return share_error(self.percent, self.images)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that is compared.

    Attributes:
        model: The file.
        kind: Where it comes from: `export`, `search` or `file`.
        described: What it is, in a few words: the architecture and the format, if known.
        accuracy: Its accuracy; None if not known.
    """

    model: ModelFile
    kind: str
    described: str
    accuracy: Accuracy | None


@dataclass(frozen=True)
class _Found:
    path: Path
    name: str
    data: bytes
    kind: str
    described: str
    accuracy: Accuracy | None


def candidates(named: Sequence[Path | str], events: EventHandler) -> list[Candidate]:
    """The models that are named.

    Args:
        named: Folders of exports or searches, or TFLite files; see `CompareSettings.models`.
        events: Receives a `Phase` for each winner that is converted.

    Raises:
        SettingError: A path is named twice, or a name.
        ExportError: A path holds none of these, or a damaged one.
        CheckpointError: The folder of a search is damaged.
    """
    labels, paths = zip(*(_labelled(one) for one in named), strict=True)
    given = distinct_names(paths, SETTING)
    found = [
        one
        for label, name, path in zip(labels, given, paths, strict=True)
        for one in _found(label or name, path, events)
    ]
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingError(
            f"two models are called {twice}; give each a name of its own before its path, such as "
            f"other={found[names.index(twice)].path}",
            settings=[SETTING],
        )
    return [
        Candidate(
            model=ModelFile.of(one.name, one.path, one.data, SETTING),
            kind=one.kind,
            described=one.described,
            accuracy=one.accuracy,
        )
        for one in found
    ]


def _labelled(one: Path | str) -> tuple[str, Path]:
    """The name that a text begins with, if it does, and the path."""
    label, equals, rest = str(one).partition("=")
    if isinstance(one, Path) or not (label and equals and rest) or Path(one).exists():
        return "", Path(one)
    return check_name("the name of a model", label, SettingError, SETTING), Path(rest)


def _found(name: str, path: Path, events: EventHandler) -> Iterator[_Found]:
    """The models of one path."""
    if (path / CARD_FILE).is_file():
        yield from _exported(name, path)
    elif (path / RESULT_FILE).is_file():
        yield from _winners(name, path, events)
    elif path.is_dir():
        raise ExportError(
            f"{shown_path(path)} is the folder of neither an export ({CARD_FILE}) nor a finished "
            f"search ({RESULT_FILE}); name such a folder, or a TFLite file",
            settings=[SETTING],
        )
    else:
        yield _file(name, path)


def _exported(name: str, path: Path) -> Iterator[_Found]:
    """The TFLite files of a bundle; of several, each has its format in its name."""
    files = load_files(path)
    timed = [(data, card) for data, card in files if data[4:8] == FILE_IDENTIFIER]
    if not timed:
        formats = " and ".join(card.format for _, card in files)
        raise ExportError(
            f"the model in {shown_path(path)} is in format {formats}; devices time TFLite "
            "models: export it as tflite",
            settings=[SETTING],
        )
    for data, card in timed:
        own = f"{name} {card.format}" if len(timed) > 1 else name
        yield _of_bundle(own, path, data, card)


def _of_bundle(name: str, path: Path, data: bytes, card: Card) -> _Found:
    described = f"{card.title}, {card.format}{in_words(card.precision)}"
    return _Found(path, name, data, "export", described, _of_card(card))


def _file(name: str, path: Path) -> _Found:
    """A TFLite file, with its card if it has one beside it."""
    data = read_file(path, SETTING)
    if card_path(path).is_file():
        with suppress(EvitError):  # some other file of that name, or of another model
            return _of_bundle(name, path, *load_bundle(path))
    return _Found(path, name, data, "file", "", None)


def _of_card(card: Card) -> Accuracy | None:
    data, parity = card.sources.get("data"), card.parity
    percent = parity.exported_accuracy
    if not isinstance(data, str) or percent is None:
        return None
    return Accuracy(percent=percent, images=parity.images, data=data, of="file")


def _winners(name: str, path: Path, events: EventHandler) -> Iterator[_Found]:
    """The winners of a search, written directly as TFLite."""
    from elasticvit.flows.export_search import SearchedSubnet

    result, backend = SearchResult.load(path), DirectBackend()
    several = len(result.goals) > 1
    for number, winner in enumerate(result.goals, 1):
        own = f"{name} goal {number}" if several else name
        events(Phase(text=f"writing the winner of {shown_path(path)} as TFLite"))
        data = _converted(SearchedSubnet.load(path, number), backend)
        accuracy = None
        if winner.test_accuracy is not None and result.precision == FP32:  # torch's is in fp32
            accuracy = Accuracy(
                percent=winner.test_accuracy,
                images=result.test_images,
                data=result.data,
                of="torch",
            )
        described = f"{winner.arch}, {backend.name}{in_words(result.precision)}"
        yield _Found(path, own, data, "search", described, accuracy)


def _converted(searched: SearchedSubnet, backend: DirectBackend) -> bytes:
    """The winner in the precision that it was searched for."""
    from elasticvit.flows.export_calibration import calibration_images
    from export.calibration import CALIBRATED
    from export.conversion import convert

    subnet, pixels = searched.subnet, None
    if searched.precision in CALIBRATED:
        pixels, _ = calibration_images(searched.images(), subnet.arch.resolution)
    return convert(backend, subnet, searched.precision, pixels)
