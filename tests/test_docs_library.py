"""Every example of docs/library.md, run in the order of the page in one empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "library.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each example prints, in one interpreter of its own, as a person with a notebook."""
    folder = tmp_path_factory.mktemp("library")
    mark = "@example@"
    parts = [f"print({mark!r})\n{example}" for example in EXAMPLES]
    script = "if __name__ == '__main__':\n" + "\n".join(
        f"    {line}" if line else "" for part in parts for line in part.splitlines()
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split(mark)[1:]


def test_the_page_has_examples_of_every_flow() -> None:
    text = "\n".join(EXAMPLES)
    for name in ("profile", "load_latency", "train", "search", "export", "create_model"):
        assert f"ev.{name}(" in text


def test_they_all_run(outputs: list[str]) -> None:
    assert len(outputs) == len(EXAMPLES)


def test_they_print_what_the_page_says(outputs: list[str]) -> None:
    said = dict(zip(EXAMPLES, outputs, strict=True))
    assert "r192 16x1e1k3" in next(o for e, o in said.items() if "find_arch" in e)
    models = next(o for e, o in said.items() if "list_models" in e)
    assert "elastic_S1" in models
    assert "10 (3, 128, 128)" in models
    maps = next(o for e, o in said.items() if "features_only" in e).strip().splitlines()
    assert [int(line.split()[1]) for line in maps] == [2, 4, 8, 16, 32, 64]
    assert "fake:fake" in next(o for e, o in said.items() if "explain" in e)
    error = next(o for e, o in said.items() if "except ev.EvitError" in e)
    assert "no predictor of device 'pixel6'" in error
    assert "NextStep(flow='profile'" in error
    export = next(o for e, o in said.items() if "ev.export(" in e)
    assert "model.tflite 100.0" in export
