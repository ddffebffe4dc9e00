"""The folder that an export leaves behind."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from mutations import byte_mutations, mutations

from elasticvit.errors import ExportError, FileError
from elasticvit.flows.export_place import ExportPlace
from elasticvit.space import TINY
from export.bundle import (
    CARD_FILE,
    LABELS_FILE,
    MARK,
    file_names,
    is_rejected,
    load_bundle,
    load_files,
    sha256,
    write_bundle,
    write_files,
)
from export.bundle_guard import check_extras, check_other, check_replaceable
from export.calibration import Calibration
from export.card import CARD_FORMAT, Card, timed
from export.card_parts import ExportTiming, ImageInput, ProofFile
from export.parity import Parity

MODEL = b"a model"

DEFAULTED = ("input", "layout", "precision", "calibration")  # missing in older cards


def card() -> Card:
    return Card(
        format="tflite",
        file="model.tflite",
        bytes=len(MODEL),
        sha256=sha256(MODEL),
        arch=TINY.smallest,
        layout=TINY.with_classes(2).layout,
        input=ImageInput(
            shape=(1, 32, 32, 3),
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            fit="resize_then_crop",
            crop=0.9,
        ),
        classes=2,
        labels=("cat", "dög"),
        macs_m=1.5,
        parity=Parity(
            images=10,
            max_abs_diff=1e-6,
            max_rel_diff=1e-6,
            agreement=100.0,
            torch_accuracy=80.0,
            exported_accuracy=80.0,
            min_cosine=1.0,
            lost=1,
            gained=1,
        ),
        sources={"data": "digits", "seed": 0},
        versions={"torch": "2.10.0"},
        operators={"CONV_2D": 3},
        partitions=1,
        untimed="no device here",
        created="2026-01-02T03:04:05+0000",
    )


TIMING = ExportTiming(
    device="host",
    source="host:a CPU",
    runtime="LiteRT 2.3.0",
    threads=1,
    cores="1",
    measured_ms=2.0,
    estimator="fastest",
    median_ms=2.1,
    low_ms=2.0,
    high_ms=2.4,
    rounds=3,
    runs=30,
    predicted_ms=1.9,
    upper_ms=2.2,
    target_ms=2.5,
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = card()
    path = write_bundle(tmp_path, MODEL, written)
    assert path == tmp_path / "model.tflite"
    assert (tmp_path / LABELS_FILE).read_text(encoding="utf-8").splitlines() == ["cat", "dög"]
    assert load_bundle(tmp_path) == (MODEL, written)
    later = timed(written, TIMING)
    write_bundle(tmp_path, MODEL, later)
    assert load_bundle(tmp_path) == (MODEL, later)
    assert later.untimed is None


def test_the_card_is_plain_json_with_units_and_the_ratio(tmp_path: Path) -> None:
    write_bundle(tmp_path, MODEL, timed(card(), TIMING))
    data = json.loads((tmp_path / CARD_FILE).read_text())
    assert data["timing"]["ratio"] == pytest.approx(0.95)
    assert data["timing"]["measured_ms"] == 2.0
    assert data["input"] == {
        "shape": [1, 32, 32, 3],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "layout": "NHWC",
        "dtype": "float32",
        "channels": "RGB",
        "fit": "resize_then_crop",
        "crop": 0.9,
    }


def test_a_model_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    file = write_bundle(tmp_path, MODEL, card())
    for model in (b"another model", MODEL[:-1] + b"x"):
        file.write_bytes(model)
        with pytest.raises(ExportError, match=r"is not the file that model\.json describes"):
            load_bundle(tmp_path)
    file.unlink()
    file.symlink_to("/dev/zero")  # which is not read to its end
    with pytest.raises(ExportError, match=r"is not the file that model\.json describes"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"schema": 99}, "schema 99, written by a later version.*update"),
        (lambda d: {k: v for k, v in d.items() if k != "parity"}, "parity is missing"),
        (lambda d: [], r"is \[\]; the card of an export has schema 1"),
        (lambda d: d | {"macs_m": "many"}, "macs_m is 'many'; expected a number"),
        (lambda d: d | {"labels": ["cat"]}, "labels must name the 2 classes"),
        (lambda d: d | {"classes": 3}, "classes must be those of layout, 2"),
        (lambda d: d | {"file": "../model.tflite"}, "file must be the name of a file beside"),
        (lambda d: d | {"file": "model.tflite\0"}, "file must be the name of a file beside"),
        (lambda d: d | {"sha256": "abc"}, "sha256 is 'abc'"),
        (lambda d: d | {"bytes": len(MODEL) + 1}, "another size or sha256"),
        (lambda d: d | {"arch": d["arch"] | {"resolution": -1}}, "resolution is -1"),
        (lambda d: d | {"layout": d["layout"] | {"conv_strides": [9]}}, "conv_strides"),
        (lambda d: d | {"input": d["input"] | {"std": [0, 1, 1]}}, r"std\[0\] is 0"),
        (lambda d: d | {"input": d["input"] | {"shape": [1, 8, 8, 3]}}, "must be .1, 32, 32, 3"),
        (lambda d: d | {"input": d["input"] | {"dtype": "int8"}}, "dtype is 'int8'"),
        (lambda d: d | {"parity": d["parity"] | {"agreement": 101}}, "agreement is 101"),
        (lambda d: d | {"timing": {"device": "host"}}, "timing.source is missing"),
        (lambda d: d | {"operators": {"CONV_2D": -1}}, "operators.CONV_2D is -1"),
    ],
)
def test_a_card_that_is_not_one_is_refused(tmp_path: Path, change, message: str) -> None:
    write_bundle(tmp_path, MODEL, card())
    path = tmp_path / CARD_FILE
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(
        ExportError, match=rf"model\.json.*{message}|{message}.*model\.json"
    ) as caught:
        load_bundle(tmp_path)
    assert "again" in str(caught.value) or "update" in str(caught.value)


def test_two_models_with_their_cards_lie_in_one_folder(tmp_path: Path) -> None:
    cards = {name: replace(card(), file=name) for name in ("a.tflite", "b.tflite")}
    for name, described in cards.items():
        write_bundle(tmp_path, MODEL, described)
        assert load_bundle(tmp_path / name) == (MODEL, described)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {*cards, "a.json", "a.labels.txt", "b.json", "b.labels.txt"}


def test_half_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"there is no .*model\.json"):
        load_bundle(tmp_path)
    path = write_bundle(tmp_path, MODEL, card())
    for name, words in (
        ("model.tflite", r"model\.tflite, which model\.json describes, cannot be read"),
        (LABELS_FILE, r"there is no .*labels\.txt"),
    ):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        with pytest.raises(ExportError, match=words):
            load_bundle(tmp_path)
        (tmp_path / name).write_bytes(content)
    assert load_bundle(path)[0] == MODEL
    for labels, words in (
        (b"cat", "has 0 whole lines"),
        (b"\xff\n\n", "not UTF-8"),
        ("dög\ncat\n".encode(), r"line 1 of .*labels\.txt is 'dög'.*has 'cat' there.*again"),
        ("cat\ndög \n".encode(), r"line 2 of .*labels\.txt is 'dög '"),
        ("cat\rdög\r".encode(), "has 0 whole lines"),
    ):
        (tmp_path / LABELS_FILE).write_bytes(labels)
        with pytest.raises(ExportError, match=words):
            load_bundle(tmp_path)
    (tmp_path / LABELS_FILE).write_bytes("cat\r\ndög\r\n".encode())  # as editors on Windows do
    assert load_bundle(path)[0] == MODEL


def loaded(folder: Path) -> Card | str:
    """The card of a bundle, or the message of its error."""
    try:
        return load_bundle(folder)[1]
    except ExportError as error:
        return str(error)


def test_every_damage_of_the_card_is_refused_or_reads_as_a_card(tmp_path: Path) -> None:
    write_bundle(tmp_path, MODEL, timed(card(), TIMING))
    path = tmp_path / CARD_FILE
    whole = path.read_bytes()
    names = {"created", "elasticvit", "sources", "versions", "format", "timing", "operators"}
    free = names | {"labels", "untimed", "partitions", "fresh", "proof", "others"}  # or none
    free |= {"model", "undelegated", "precision", "tensor_types", "calibration"}
    told = {("parity", name) for name in ("accuracy_error", "drop", "drop_error")}  # never read
    later = {("parity", name) for name in ("min_cosine", "lost", "gained")}
    later |= {("parity", f"{name}_accuracy") for name in ("torch", "exported")}
    later |= {("input", "fit"), ("input", "crop")}  # earlier versions wrote none of these
    free |= {"tensor_types", "device_check", "model", "undelegated"}
    refused = 0
    for mutation in mutations(json.loads(whole)):
        path.write_text(json.dumps(mutation.document))
        read = loaded(tmp_path)
        if isinstance(read, str):
            assert str(tmp_path) in read, mutation.name
            assert len(read.splitlines()) == 1
            refused += 1
            continue
        allowed = not mutation.broken or mutation.path[0] in free or "schema" in mutation.path
        defaults = mutation.name == "missing" and mutation.path[0] in DEFAULTED
        newer = mutation.path[:2] in later and mutation.name in ("missing", "null")
        known = newer or mutation.path[:2] in told
        assert allowed or defaults or known, (mutation.name, mutation.path)
        assert CARD_FORMAT.parse_json(read.to_json(), "card") == read
    assert refused > 200
    for name, damaged in byte_mutations(whole):
        path.write_bytes(damaged)
        read = loaded(tmp_path)
        assert isinstance(read, Card) or str(path) in read, name


def test_class_names_are_one_a_line_whatever_they_hold(tmp_path: Path) -> None:
    odd = replace(card(), labels=("big\ncat\r\n", "d\udcffg"))
    write_bundle(tmp_path, MODEL, odd)
    assert (tmp_path / LABELS_FILE).read_text().split("\n") == ["big cat", "d?g", ""]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("broken", ["os.fsync", "os.replace", "tempfile.TemporaryDirectory"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, there: bool
) -> None:
    folder = tmp_path / "bundle"
    if there:
        write_bundle(folder, MODEL, card())
    with monkeypatch.context() as patch:
        patch.setattr(broken, full)
        with pytest.raises(FileError, match=r"bundle.* cannot be written: No space left.*free"):
            write_bundle(folder, b"another", replace(card(), sha256=sha256(b"another"), bytes=7))
    if there:
        assert load_bundle(folder) == (MODEL, card())
        assert len(list(folder.iterdir())) == 3
    else:
        assert not folder.exists()


def test_only_earlier_exports_are_replaced(tmp_path: Path) -> None:
    model = tmp_path / "a.tflite"
    check_replaceable(model, (), alone=False)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ExportError, match=r"a\.json exists, and is not known to be of an earlier"):
        check_replaceable(model, (), alone=False)
    check_replaceable(model, (), alone=True)
    write_bundle(tmp_path, MODEL, replace(card(), file="a.tflite"))
    check_replaceable(model, (), alone=False)
    model.write_bytes(b"something else")
    for alone in (True, False):
        with pytest.raises(
            ExportError, match=r"a\.tflite exists.*; move it away, or name"
        ) as caught:
            check_replaceable(model, (), alone=alone)
    assert caught.value.settings == ("out", "folder")
    check_replaceable(model, {sha256(b"something else")}, alone=True)
    os.mkfifo(tmp_path / "pipe.tflite")
    (tmp_path / "gone.tflite").symlink_to(tmp_path / "nowhere")
    for name in ("pipe.tflite", "gone.tflite"):
        with pytest.raises(ExportError, match=f"{name} exists"):
            check_replaceable(tmp_path / name, (), alone=True)


def test_the_card_says_how_8_bits_were_calibrated(tmp_path: Path) -> None:
    whole = replace(card(), precision="int8-full", calibration=Calibration(images=256))
    write_bundle(tmp_path, MODEL, whole)
    assert load_bundle(tmp_path)[1] == whole
    for change in ({"calibration": None}, {"precision": "int8"}, {"precision": "int4"}):
        (tmp_path / CARD_FILE).write_text(json.dumps(whole.to_dict() | change))
        with pytest.raises(ExportError, match=r"calibration must be|precision"):
            load_bundle(tmp_path)


def check_all(folder: Path) -> None:
    check_extras(folder)
    check_other(folder / "model.onnx", ())


def test_files_beside_a_model_that_are_somebodys_own_are_not_overwritten(tmp_path: Path) -> None:
    check_all(tmp_path)
    for name, content in (
        ("README.md", b"# My app"),
        ("run_model.py", b"print()"),
        ("proof.npz", b"my proof"),
        ("model.onnx.json", b"{}"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ExportError, match=rf"{path.name} exists, and is not known to be"):
            check_all(tmp_path)
        path.unlink()
    proof = ProofFile(file="proof.npz", sha256=sha256(b"p"), images=1)
    first = replace(card(), proof=proof, others=("model.onnx.json",))
    other = replace(card(), file="model.onnx", format="onnx", proof=proof)
    texts = {"README.md": f"# x\n{MARK} 1".encode(), "proof.npz": b"p"}
    write_files(tmp_path, [(MODEL, first), (MODEL, other)], texts)
    check_extras(tmp_path)
    check_other(tmp_path / "model.onnx", ())
    check_replaceable(tmp_path / "model.tflite", (), alone=False)
    assert [one for _, one in load_files(tmp_path)] == [first, other]
    alone = replace(other, proof=None)
    write_bundle(tmp_path, MODEL, alone)  # the first of its bundle now: its other card is gone
    assert load_bundle(tmp_path / "model.onnx") == (MODEL, alone)
    assert not (tmp_path / "model.onnx.json").exists()


def test_a_bundle_whose_second_card_is_gone_is_refused(tmp_path: Path) -> None:
    first = replace(card(), others=("model.onnx.json",))
    other = replace(card(), file="model.onnx", format="onnx", bytes=2, sha256=sha256(b"on"))
    write_files(tmp_path, [(MODEL, first), (b"on", other)])
    assert load_files(tmp_path) == [(MODEL, first), (b"on", other)]
    assert load_files(tmp_path / "model.json") == load_files(tmp_path)
    (tmp_path / "model.onnx.json").unlink()
    words = r"model\.onnx has no card: model\.json describes model\.tflite; put model\.onnx\.json"
    for load in (load_files, lambda folder: load_bundle(folder / "model.onnx")):
        with pytest.raises(ExportError, match=words) as caught:
            load(tmp_path)
        assert "which describes it; export again" in str(caught.value)


def test_a_second_file_joins_a_bundle_of_one(tmp_path: Path) -> None:
    write_bundle(tmp_path, MODEL, card())
    check_other(tmp_path / "model.onnx", ())
    (tmp_path / "model.onnx").write_bytes(b"somebody's")
    with pytest.raises(ExportError, match=r"model\.onnx exists"):
        check_other(tmp_path / "model.onnx", ())


def test_files_of_one_suffix_have_names_of_their_own() -> None:
    formats = [("tflite", ".tflite"), ("onnx", ".onnx"), ("tflite-onnx2tf", ".tflite")]
    assert file_names(formats) == ["model.tflite", "model.onnx", "model.tflite-onnx2tf.tflite"]


def test_rejected_files_of_several_formats_have_a_card_each(tmp_path: Path) -> None:
    place = ExportPlace(
        search=None, workspace=None, folder=tmp_path / "mine", out=None, beside=False
    )
    for name in ("tflite", "onnx", "tflite"):  # the last one is of another day
        place.write_rejected(MODEL, replace(card(), format=name, file=f"model.{name}"))
    for name in ("model.rejected.tflite", "model.onnx.rejected.onnx"):
        assert load_bundle(tmp_path / "mine" / name)[1].file == name
    assert is_rejected(tmp_path / "mine")
