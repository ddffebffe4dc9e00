"""The notebook in docs/: its kept outputs are those of the code as it is."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOK = DOCS / "latency.ipynb"
TABLES = DOCS.parents[1] / "shared" / "data" / "block_luts"


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell printed or showed as text, pictures left out."""
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" not in data:
                shown.append("".join(output.get("text", data.get("text/plain", ""))))
    return shown


def test_its_outputs_are_kept() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any("image/png" in o.get("data", {}) for cell in code for o in cell.outputs)
    assert not any(o.output_type == "error" for cell in code for o in cell.outputs)


@pytest.mark.skipif(
    not TABLES.is_dir(), reason=f"the block tables are not part of this project ({TABLES} absent)"
)
def test_it_runs_and_says_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCK_TABLES", str(TABLES))
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    kept = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(fresh, timeout=300, kernel_name="python3").execute(cwd=str(DOCS))
    assert texts(fresh) == texts(kept)
