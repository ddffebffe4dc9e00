"""Code that runs an exported file, in Python and Kotlin, with the preprocessing of its training.

Both are filled in from the card, from the texts in `snippets_text/`. The Python one is run by a
test on image files; the Kotlin one has the same arithmetic.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path

from export.bundle import LABELS_FILE, MARK
from export.card import Card

TFLITE, ONNX = ".tflite", ".onnx"
PACKAGES = {TFLITE: "ai-edge-litert", ONNX: "onnxruntime"}
IMPORTS = {TFLITE: "from ai_edge_litert.interpreter import Interpreter", ONNX: "import onnxruntime"}
DEPENDENCIES = {
    TFLITE: "com.google.ai.edge.litert:litert:1.4.0",
    ONNX: "com.microsoft.onnxruntime:onnxruntime-android:1.23.0",
}


def python_snippet(card: Card) -> str | None:
    """A program that tells what a file sees on pictures; None where the card does not say how
    pictures are fitted, or where the file is neither TFLite nor ONNX."""
    suffix = Path(card.file).suffix
    if card.input.fit is None or suffix not in PACKAGES:
        return None
    parts = {
        "RUNTIME_IMPORT": IMPORTS[suffix],
        "PACKAGE": PACKAGES[suffix],
        "FIT": _text(f"{card.input.fit}.py"),
        "LOAD": _text(f"{suffix[1:]}.py"),
        "MEAN": repr(list(card.input.mean)),
        "STD": repr(list(card.input.std)),
    }
    return _filled(_text("run_model.py"), card, parts)


def kotlin_snippet(card: Card) -> str | None:
    """A class for Android that does the same; None as for `python_snippet`."""
    suffix = Path(card.file).suffix
    if card.input.fit is None or suffix not in PACKAGES:
        return None
    imports, more, opened, run = _text(f"{suffix[1:]}.kt").split("----\n")
    read = f'context.assets.open("{LABELS_FILE}").bufferedReader().readLines()'
    parts = {
        "KT_LABELS": read if card.labels else 'List(CLASSES) { "class $it" }',
        "AND_LABELS": f" and {LABELS_FILE}" if card.labels else "",
        "IMPORTS": imports,
        "MORE_IMPORTS": more,
        "OPEN": opened,
        "RUN": run,
        "KT_FIT": _text(f"{card.input.fit}.kt"),
        "DEPENDENCY": DEPENDENCIES[suffix],
        "SUFFIX": suffix[1:],
        "MEAN": ", ".join(map(repr, card.input.mean)),
        "STD": ", ".join(map(repr, card.input.std)),
    }
    return _filled(_text("RunModel.kt"), card, parts)


def _filled(text: str, card: Card, parts: dict[str, str]) -> str:
    """A text with its places filled in, those of its parts last."""
    crop = card.input.crop or 1.0
    side = card.input.shape[1]
    facts = {
        "MARK": MARK,
        "ARCH": card.title,
        "FILE": card.file,
        "LABELS": LABELS_FILE,
        "SIDE": str(side),
        "SHORTER": str(math.floor(side / crop)),
        "CLASSES": str(card.classes),
    }
    for name, value in (parts | facts).items():
        text = text.replace(f"@{name}@", value.rstrip("\n"))
    return text


def _text(name: str) -> str:
    return (files("export") / "snippets_text" / f"{name}.txt").read_text(encoding="utf-8")
