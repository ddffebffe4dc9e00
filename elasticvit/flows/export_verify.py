"""The proof of an export repeated, later or on another computer.

Checksums first; then every file answers the images that the bundle keeps, and is compared with the
logits of torch's network that lie beside them. Where the search with the subnet and the data set
are still in reach, the test part is gone through again, too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import EvitError, SettingError
from elasticvit.events import EventHandler, Phase, ignore
from elasticvit.flows.export_events import DeviceCheckStarted
from elasticvit.flows.export_verify_result import VerifiedFile, VerifyResult
from elasticvit.flows.places import check_path
from elasticvit.flows.settings import WorkspaceLike, check_real, workspace_of
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.flows.export_search import SearchedSubnet
    from elasticvit.training.data import ImageData
    from export.backend import LoadedModel
    from export.card import Card
    from export.parity import Parity
    from export.proof_images import ProofImages

TEST = "test images"
SAME_WEIGHTS = 1e-3  # standard deviations of the logits; torch's own differ less between computers


def verify_export(
    folder: Path | str,
    *,
    max_accuracy_drop: float = 0.5,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
) -> VerifyResult:
    """Prove a bundle again. `VerifyResult.check` raises if it does not hold any more.

    Args:
        folder: Folder of an export, or a model's file with its card beside it.
        max_accuracy_drop: As in `ExportSettings`.
        device: Device that TFLite files answer kept images on, too; None for none.
        workspace: Workspace with the user's devices; None for none.
        events: Handler of events; what it raises ends the work.

    Raises:
        SettingError: A setting makes no sense.
        ExportError: A file is missing or is not the one that was exported, its runtime refuses it,
            or there is nothing to compare it with.
        DeviceError: The device does not answer, or hands no outputs back.
        FileError: There is no room for a temporary file.
    """
    if folder is None:
        raise SettingError("verify is None; name the folder of an export", settings=["verify"])
    check_path("verify", folder)
    check_real("max_accuracy_drop", max_accuracy_drop, 0, 100)
    from export.bundle import load_files
    from export.proof_images import read_proof

    path = Path(folder)
    events(Phase(text="reading the bundle and its checksums"))
    files = load_files(path)
    around = path if path.is_dir() else path.parent
    card = files[0][1]
    kept = read_proof(around, card)
    events(Phase(text="looking for the subnet and its data set"))
    reached = _reached(card, around, kept)
    if kept is None and (device is not None or isinstance(reached, str)):
        raise SettingError(
            f"{path} has no images to prove it with"
            + (f", and {reached}" if isinstance(reached, str) else " on a device")
            + "; name an export that keeps images",
            settings=["verify", "proof_images"],
        )
    done = [_verified(data, one, kept, reached, max_accuracy_drop, events) for data, one in files]
    if device is not None and kept is not None:
        found = None if workspace is None else workspace_of(workspace)
        done = [
            _on_device(one, data, kept, device, found, events)
            for one, (data, _) in zip(done, files, strict=True)
        ]
    return VerifyResult(
        folder=path, files=tuple(done), untested=reached if isinstance(reached, str) else None
    )


def _verified(
    data: bytes,
    card: Card,
    kept: ProofImages | None,
    reached: tuple[SearchedSubnet, ImageData] | str,
    max_accuracy_drop: float,
    events: EventHandler,
) -> VerifiedFile:
    """One file, proven again."""
    from devices.host.facts import cpu_model
    from elasticvit.flows.export_file import compare_file
    from export.backend import backend_of_card
    from export.conversion import inspect, load
    from export.fresh_run import run_fresh

    backend = backend_of_card(card.format)
    events(Phase(text=f"proving {card.file}"))
    model = load(backend, data)
    seen, moved = (None, None) if kept is None else _kept_images(model, card, kept)
    test = None
    if not isinstance(reached, str):
        searched, images = reached
        test = compare_file(model, searched.subnet, images, card.parity.images, events)
    fresh = run_fresh(backend, data, card.input.shape, cpu_model()).run
    if card.parity.torch_accuracy is None and seen is not None:  # random images of no class
        seen = seen.unlabelled()
    problems = [
        problem
        for what, parity in (("kept images", seen), (TEST, test))
        if parity is not None
        for problem in _problems(card, what, parity, max_accuracy_drop)
    ]
    return VerifiedFile(
        card=card,
        kept=seen,
        moved=moved,
        test=test,
        fresh=fresh,
        partitions=inspect(backend, data)[1],
        problems=tuple(problems),
    )


def _on_device(
    one: VerifiedFile,
    data: bytes,
    kept: ProofImages,
    device: str,
    workspace: Workspace | None,
    events: EventHandler,
) -> VerifiedFile:
    """A file with its logits on a device beside those of the exporting computer; one that no device
    runs as it is."""
    from elasticvit.flows.export_device_check import check_on_device, refused
    from export.backend import backend_of_card

    if not backend_of_card(one.card.format).tflite:
        return one
    events(DeviceCheckStarted(device=device))
    check = check_on_device(workspace, device, data, one.card, kept)
    problems = one.problems if check.passed else (*one.problems, str(refused(check, one.card.file)))
    return replace(one, device_check=check, problems=problems)


def _kept_images(model: LoadedModel, card: Card, kept: ProofImages) -> tuple[Parity, float | None]:
    """Comparison on the images of the bundle, and how far the logits are from those that the file
    gave on the exporting computer."""
    from export.parity import parity_of
    from export.proof_images import answers

    here = answers(model, kept, card.input)
    parity, there = parity_of(kept.reference, here, kept.labels), kept.exported.get(card.file)
    if there is None:
        return parity, None
    return parity, parity_of(there, here, kept.labels).max_rel_diff


def _problems(card: Card, what: str, parity: Parity, max_accuracy_drop: float) -> list[str]:
    """What is wrong with a comparison."""
    from export.accuracy_drop import AccuracyDrop
    from export.parity import accepted_diff

    found = []
    most = accepted_diff(card.parity, card.precision)
    if not parity.max_rel_diff <= most:  # also when it is not a number
        found.append(
            f"{card.file}: logits of {parity.images:,} {what} differ from torch's by up to "
            f"{parity.max_rel_diff:.2g} of their standard deviation; the export saw "
            f"{card.parity.max_rel_diff:.2g}, at most {most:.2g} is accepted"
        )
    drop = AccuracyDrop.of(parity, max_accuracy_drop)
    if what == TEST and drop.rejected:  # the kept images are few of those that the export judged by
        found.append(f"{card.file}: {drop}")
    return found


def _reached(
    card: Card, folder: Path, kept: ProofImages | None
) -> tuple[SearchedSubnet, ImageData] | str:
    """The subnet that the files were made of and its data set, or why they are out of reach."""
    from elasticvit.flows.export_search import SearchedSubnet

    named = card.sources.get("search")
    if not isinstance(named, str) or not named:
        return "the card names no search"
    places = [Path(named), folder.resolve().parent.parent / "searches" / Path(named).name]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        return f"the search {named} is not on this computer"
    try:
        searched = SearchedSubnet.load(found, _goal(card.sources))
        images = searched.images()
    except EvitError as error:
        return str(error)
    subnet = searched.subnet
    if (subnet.arch, subnet.layout) != (card.arch, card.layout):
        return f"the search {found} has chosen another subnet since"
    if (images.mean, images.std) != (card.input.mean, card.input.std):
        return f"data set {searched.data} is another one now: its mean or deviation differs"
    if kept is not None and _other_weights(searched, card, kept):
        return f"the subnet of search {found} has other weights now"
    return searched, images


def _goal(sources: dict[str, Any]) -> int:
    goal = sources.get("goal", 1)
    return goal if isinstance(goal, int) and goal > 0 else 1


def _other_weights(searched: SearchedSubnet, card: Card, kept: ProofImages) -> bool:
    """Whether a subnet gives other logits than those that are kept."""
    import torch

    from elasticvit.nn.side_by_side import torch_logits
    from export.parity import parity_of

    inputs = torch.from_numpy(kept.inputs(card.input)).permute(0, 3, 1, 2)
    logits = torch_logits(searched.subnet, inputs).numpy()
    return not parity_of(kept.reference, logits, kept.labels).max_rel_diff <= SAME_WEIGHTS
