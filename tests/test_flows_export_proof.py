"""What an export proves of a file, here and on the device, and what it does with a wrong one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_flow import QUICK, workspace

from elasticvit.errors import DeviceError, ExportError, SettingError
from elasticvit.events import Event
from elasticvit.flows.export import export
from elasticvit.flows.export_events import DeviceCheckStarted
from elasticvit.flows.export_verify import verify_export
from elasticvit.flows.status import status
from elasticvit.workspace import Workspace
from export import conversion
from export.backend import Backend, find_backend
from export.bundle import CARD_FILE, STAGING, load_bundle, load_files
from export.parity import MAX_REL_DIFFS

__all__ = ["workspace"]


def test_a_file_that_differs_from_torch_leaves_nothing_behind(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_REL_DIFFS, "fp32", 0.0)
    for place in ({"out": "vit.tflite"}, {"folder": "mine"}, {}):
        with pytest.raises(ExportError, match="differs from torch") as refused:
            export(workspace.latest("search"), **QUICK, **place)
        assert refused.value.settings == ("format",)
    assert list(Path().iterdir()) == []
    assert workspace.folders("export") == []


@pytest.mark.parametrize("place", [{}, {"out": "vit.tflite"}, {"folder": "mine"}])
def test_a_file_that_is_too_inaccurate_is_kept_under_a_name_that_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    search = workspace.latest("search")
    seen = export(search, "seen.tflite", **QUICK).card.parity
    worse = replace(seen, images=1000, torch_accuracy=60.0, exported_accuracy=50.0, lost=110)
    worse = replace(worse, gained=10)
    monkeypatch.setattr("elasticvit.flows.export_file.compare_file", lambda *_: worse)
    words = r"50\.00 % of 1,000 test images .* by torch 60\.00 %: 10\.00 points less"
    with pytest.raises(ExportError, match=words) as caught:
        export(search, **QUICK, **place)
    assert caught.value.settings == ("max_accuracy_drop", "format", "precision")
    folder = Path(place["folder"]) if "folder" in place else Path()
    if not place:
        (folder,) = workspace.folders("export")
    name = "vit" if "out" in place else "model"
    assert f"kept at {folder / name}.rejected.tflite" in str(caught.value)
    model, card = load_bundle(folder / f"{name}.rejected.tflite")
    assert (card.parity.lost, len(model), card.timing) == (110, seen_bytes(), None)
    assert not (folder / f"{name}.tflite").exists()
    assert not (folder / CARD_FILE).exists()
    found = status(workspace)
    assert (list(found.exports), list(found.damaged)) == ([], [])
    export(search, max_accuracy_drop=10, **QUICK, **place)


@pytest.mark.parametrize(
    ("formats", "bad", "names"),
    [
        ("tflite,onnx", "onnx", ["model.tflite"]),
        (
            "tflite,tflite-litert-torch,tflite-onnx2tf",
            "tflite",
            ["model.tflite", "model.tflite-onnx2tf.tflite"],
        ),
    ],
)
@pytest.mark.parametrize("place", [{}, {"folder": "mine"}])
def test_a_format_that_is_refused_takes_no_proven_file_with_it(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    formats: str,
    bad: str,
    names: list[str],
    place: dict[str, str],
) -> None:
    real, failing = conversion.convert, [bad]

    def converted(backend: Backend, *rest: Any) -> bytes:
        if backend.name in failing:
            raise ExportError(f"{backend.name} fails; name another format", settings=["format"])
        return real(find_backend("tflite") if backend.tflite else backend, *rest)

    monkeypatch.setattr(conversion, "convert", converted)
    search, settings = workspace.latest("search"), {**QUICK, "format": formats, **place}
    with pytest.raises(ExportError, match=f"{bad} fails") as caught:
        export(search, **settings)
    folder = Path(place["folder"]) if place else workspace.latest("export")
    paths = ", ".join(str(folder / name) for name in names)
    assert str(caught.value).endswith(f"(proven and kept: {paths})")
    assert caught.value.settings == ("format",)
    assert [card.file for _, card in load_files(folder)] == names
    assert verify_export(folder).problems == ()
    assert not list(folder.glob(f"{STAGING}*"))
    assert list(status(workspace).damaged) == []
    failing[:] = formats.split(",")
    words = "; ".join(f"{name} fails.*" for name in failing)
    with pytest.raises(ExportError, match=words) as caught:
        export(search, **settings)
    assert "kept" not in str(caught.value)
    assert [card.file for _, card in load_files(folder)] == names  # as before


def test_logits_on_the_device_are_compared_with_those_here(workspace: Workspace) -> None:
    search, events = workspace.latest("search"), list[Event]()
    settings = {"check_on_device": True, "device": "host", "proof_images": 0, **QUICK}
    result = export(search, "vit.tflite", events=events.append, **settings)
    check = result.card.device_check
    assert check is not None
    assert (check.device, check.images, check.agreement) == ("host", 16, 100)
    assert check.max_rel_diff == 0  # the same runtime
    assert check.passed
    assert DeviceCheckStarted(device="host") in events
    assert not Path("vit.proof.npz").exists()
    assert load_bundle(Path("vit.tflite"))[1].device_check == check
    assert result.to_dict()["device_check"]["images"] == 16


@pytest.mark.parametrize("wrong", ["noise", "nan", "shape"])
def test_a_file_that_is_wrong_on_the_device_is_rejected(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    from devices.host.device import HostDevice

    real = HostDevice.compute

    def spoilt(*arguments: Any) -> Any:
        logits = real(*arguments).copy()
        if wrong == "shape":
            return logits[:, :5]
        logits[3] = np.nan if wrong == "nan" else logits[3][::-1]
        return logits

    monkeypatch.setattr(HostDevice, "compute", spoilt)
    search = workspace.latest("search")
    with pytest.raises(
        ExportError, match=r"export, kept at .*, is wrong on host \(LiteRT"
    ) as caught:
        export(search, "vit.tflite", device="host", check_on_device=True, **QUICK)
    what = "differ from those here by up to" if wrong == "noise" else "not finite"
    assert what in str(caught.value)
    _, card = load_bundle(Path("vit.rejected.tflite"))
    assert card.device_check is not None
    assert not card.device_check.passed
    assert not Path("vit.tflite").exists()


def test_a_device_that_hands_no_outputs_back_leaves_the_file(workspace: Workspace) -> None:
    search = workspace.latest("search")
    with pytest.raises(
        DeviceError, match=r"hands back no outputs.*kept, unchecked, at vit"
    ) as caught:
        export(search, "vit.tflite", check_on_device=True, **QUICK)
    assert caught.value.settings == ("device",)
    assert load_bundle(Path("vit.tflite"))[1].device_check is None
    with pytest.raises(SettingError, match="no format makes TFLite files"):
        export(search, "vit.onnx", check_on_device=True)


def seen_bytes() -> int:
    return Path("seen.tflite").stat().st_size
