"""Code beside an exported file: it sees pictures as the network did, and gives torch's logits."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from elasticvit.nn import Subnet
from elasticvit.testing.export_format import ARCH, LAYOUT, randomised
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.decoded_batches import seen_share
from export.backend import Backend
from export.bundle import MARK, sha256, write_files
from export.card import Card
from export.card_parts import ImageInput
from export.direct import DirectBackend
from export.onnx import OnnxBackend
from export.parity import compare
from export.snippets import kotlin_snippet, python_snippet

COUNT = 4  # pictures that are compared


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    """Smooth coloured pictures of many sizes, higher and wider, in files of two kinds."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for label in range(10):
        (folder / f"class {label}").mkdir()
        for number in range(20):
            small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
            wide, high = (int(n) for n in rng.integers(20, 300, 2))
            picture = Image.fromarray(small).resize((wide, high), Image.Resampling.BILINEAR)
            picture.save(folder / f"class {label}" / f"{number}.{('png', 'jpg')[number % 2]}")
    return open_data(str(folder))


def bundle(folder: Path, data: ImageData, side: int, backend: Backend) -> tuple[Subnet, Card]:
    """A bundle of a random subnet for images of a side, with its Python snippet."""
    subnet = randomised(Subnet(replace(ARCH, resolution=side), LAYOUT))
    assert isinstance(subnet, Subnet)
    model = backend.convert(subnet)
    in_memory = data.test.pixels is not None
    batches = data.loader("test", resolution=side, batch_size=COUNT)
    card = Card(
        format=backend.name,
        file="model" + backend.suffix,
        bytes=len(model),
        sha256=sha256(model),
        arch=subnet.arch,
        layout=LAYOUT,
        input=ImageInput(
            shape=(1, side, side, 3),
            mean=data.mean,
            std=data.std,
            fit="crop_then_resize" if in_memory else "resize_then_crop",
            crop=1.0 if in_memory else seen_share(side),
        ),
        classes=10,
        labels=data.class_names,
        macs_m=1.0,
        parity=compare(subnet, backend.load(model), batches, limit=1),
        sources={},
        versions={},
    )
    code = python_snippet(card)
    assert code is not None
    write_files(folder, [(model, card)], {"run_model.py": code.encode()})
    return subnet, card


def imported(path: Path) -> ModuleType:
    spec = spec_from_file_location("run_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("side", [32, 64, 128])
@pytest.mark.parametrize("name", ["photographs", "digits"])
def test_pictures_are_seen_as_the_network_saw_them(
    name: str, side: int, photographs: ImageData, tmp_path: Path
) -> None:
    data = photographs if name == "photographs" else open_data("digits")
    subnet, _ = bundle(tmp_path, data, side, DirectBackend())
    code: Any = imported(tmp_path / "run_model.py")
    run = code.load()
    images, _ = next(iter(data.loader("test", resolution=side, batch_size=COUNT)))
    with torch.inference_mode():
        logits = subnet(images).numpy()
    assert (data.test.pixels is None) == (name == "photographs")
    for index in range(COUNT):
        data.test.image(index).save(tmp_path / "picture.png")
        seen = code.preprocess(Image.open(tmp_path / "picture.png"))
        assert seen.shape == (1, side, side, 3)
        assert seen.dtype == np.float32
        np.testing.assert_allclose(seen[0].transpose(2, 0, 1), images[index], atol=2e-5)
        np.testing.assert_allclose(run(seen), logits[index], atol=1e-4)


def test_a_picture_that_is_larger_than_the_network_shrinks_as_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rng = tmp_path / "pictures", np.random.default_rng(1)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (60, 75, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")
    data = open_data(str(folder))
    assert data.test.pixels is not None  # all of one size: they are kept in memory
    bundle(tmp_path, data, 32, DirectBackend())
    code: Any = imported(tmp_path / "run_model.py")
    images, _ = next(iter(data.loader("test", resolution=32, batch_size=1)))
    seen = code.preprocess(data.test.image(0))
    np.testing.assert_allclose(seen[0].transpose(2, 0, 1), images[0], atol=2e-5)


@pytest.mark.parametrize("backend", [DirectBackend(), OnnxBackend()], ids=["tflite", "onnx"])
def test_it_runs_as_a_program(backend: Backend, photographs: ImageData, tmp_path: Path) -> None:
    subnet, card = bundle(tmp_path, photographs, 32, backend)
    picture = tmp_path / "a picture.png"
    photographs.test.image(0).save(picture)
    command = [sys.executable, "-I", "run_model.py", str(picture)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    images, _ = next(iter(photographs.loader("test", resolution=32, batch_size=1)))
    with torch.inference_mode():
        logits = subnet(images)[0]
    best = logits.argsort(descending=True)[:5].tolist()
    for line, index in zip(lines, best, strict=True):
        found = re.search(r"([0-9.]+) %  logit (-?[0-9.]+)  (.+)$", line)
        assert found is not None
        share, logit, name = found.groups()
        assert name == card.labels[index]
        assert float(logit) == pytest.approx(float(logits[index]), abs=1e-4)
        assert float(share) == pytest.approx(100 * float(logits.softmax(0)[index]), abs=0.01)


def test_a_photograph_is_turned_upright_as_in_training(
    photographs: ImageData, tmp_path: Path
) -> None:
    bundle(tmp_path, photographs, 32, DirectBackend())
    code: Any = imported(tmp_path / "run_model.py")
    upright, exif = photographs.test.image(0), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    seen = code.preprocess(Image.open(tmp_path / "turned.png"))
    np.testing.assert_array_equal(seen, code.preprocess(upright))


def test_a_program_that_is_run_wrongly_says_so_in_one_line(
    photographs: ImageData, tmp_path: Path
) -> None:
    bundle(tmp_path, photographs, 32, DirectBackend())
    (tmp_path / "text.png").write_text("no picture")

    def done(argument: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "run_model.py", argument]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    asked = done("--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "python run_model.py PICTURE" in asked.stdout
    for file, words in (("none.png", "No such file"), ("text.png", "cannot identify image file")):
        wrong = done(file)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        (line,) = [line for line in wrong.stderr.splitlines() if not line.startswith("INFO")]
        assert line.startswith(f"{file} cannot be read as a picture: ")
        assert words in line


def test_the_kotlin_code_has_the_same_facts(photographs: ImageData, tmp_path: Path) -> None:
    for side, data in ((128, photographs), (32, open_data("digits"))):
        _, card = bundle(tmp_path / str(side), data, side, DirectBackend())
        code = kotlin_snippet(card)
        assert code is not None
        assert MARK in code
        assert f"const val SIDE = {side} " in code
        assert "const val CLASSES = 10" in code
        assert f"doubleArrayOf({', '.join(map(str, card.input.mean))})" in code
        assert f"doubleArrayOf({', '.join(map(str, card.input.std))})" in code
        assert ("val shorter = 142" in code) == (side == 128)
        assert 'openFd("model.tflite")' in code
        assert "@" not in code
        assert all(code.count(one) == code.count(other) for one, other in ("()", "{}", "[]"))
        onnx = kotlin_snippet(replace(card, file="model.onnx"))
        assert "OrtEnvironment" in str(onnx)


def test_without_what_is_needed_there_is_no_code(photographs: ImageData, tmp_path: Path) -> None:
    _, card = bundle(tmp_path, photographs, 32, DirectBackend())
    unknown = replace(card, input=replace(card.input, fit=None, crop=None))
    for other in (unknown, replace(card, file="model.mlmodel")):
        assert python_snippet(other) is kotlin_snippet(other) is None
    named = kotlin_snippet(replace(card, labels=()))
    assert 'List(CLASSES) { "class $it" }' in str(named)
