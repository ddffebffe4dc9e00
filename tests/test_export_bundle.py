"""The folder that an export leaves behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from elasticvit.errors import ExportError
from elasticvit.space import TINY
from export.bundle import (
    CARD_FILE,
    LABELS_FILE,
    Card,
    ExportTiming,
    ImageInput,
    load_bundle,
    sha256,
    timed,
    write_bundle,
    write_card,
)
from export.parity import Parity

MODEL = b"a model"


def card() -> Card:
    return Card(
        format="tflite",
        file="model.tflite",
        bytes=len(MODEL),
        sha256=sha256(MODEL),
        arch=TINY.smallest,
        layout=TINY.layout.to_dict(),
        input=ImageInput(shape=(1, 32, 32, 3), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
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
        ),
        sources={"data": "digits", "seed": 0},
        versions={"torch": "2.10.0"},
        operators={"CONV_2D": 3},
        partitions=1,
        untimed="no device here",
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
    write_card(tmp_path, later)
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
    }


def test_a_model_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path, MODEL, card()).write_bytes(b"another model")
    with pytest.raises(ExportError, match=r"is not the file that model\.json describes"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"schema": 99}, "schema 99, this version reads 1"),
        (lambda d: {k: v for k, v in d.items() if k != "parity"}, "damaged: 'parity'"),
        (lambda d: d | {"surprise": 1}, "damaged: .*surprise"),
        (lambda d: [], "schema None"),
    ],
)
def test_a_card_that_is_not_one_is_refused(tmp_path: Path, change, message: str) -> None:
    write_bundle(tmp_path, MODEL, card())
    path = tmp_path / CARD_FILE
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ExportError, match=message):
        load_bundle(tmp_path)


def test_two_models_with_their_cards_lie_in_one_folder(tmp_path: Path) -> None:
    cards = {name: replace(card(), file=name) for name in ("a.tflite", "b.tflite")}
    for name, described in cards.items():
        write_bundle(tmp_path, MODEL, described)
        assert load_bundle(tmp_path / name) == (MODEL, described)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {*cards, "a.json", "a.labels.txt", "b.json", "b.labels.txt"}


def test_half_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no complete export"):
        load_bundle(tmp_path)
    write_bundle(tmp_path, MODEL, card())
    (tmp_path / CARD_FILE).write_text((tmp_path / CARD_FILE).read_text()[:40])
    with pytest.raises(ExportError, match="no complete export"):
        load_bundle(tmp_path)
