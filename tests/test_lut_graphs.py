"""Latencies of graphs that are written otherwise now are not put beside those of present ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_lut_precision import run

from elasticvit.errors import StoreError
from export.graph_versions import GRAPHS
from lut.exchange import export_table, read_table
from lut.graphs import NOTE, graphs_of
from lut.store import Store


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with fp32 and int8 latencies of a device, of the present graphs."""
    with Store(tmp_path / "lut.sqlite") as store:
        run(store, "fp32")
        run(store, "int8")
    return tmp_path / "lut.sqlite"


def earlier(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the table one of earlier int8 graphs."""
    monkeypatch.setitem(GRAPHS, "int8", GRAPHS["int8"] + 1)  # type: ignore[index]


def test_a_profile_notes_the_graphs_of_each_precision(table: Path) -> None:
    with Store(table) as store:
        assert {p: graphs_of(store, "fake", p) for p in ("fp32", "int8", "fp16")} == {
            "fp32": GRAPHS["fp32"],
            "int8": GRAPHS["int8"],
            "fp16": None,
        }
        assert store.noted("fake", NOTE, "int8") == [GRAPHS["int8"]]  # once, not at every timing


def test_a_profile_of_other_graphs_is_refused_and_adds_nothing(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(table, monkeypatch)
    with Store(table) as store:
        count = store.latest("fake", "int8").count
        with pytest.raises(StoreError, match=r"fake in int8 in .* are those of version 2 of the"):
            run(store, "int8")
        assert store.latest("fake", "int8").count == count
        assert run(store, "fp32")  # the others go on


def test_an_unmarked_table_is_of_the_first_graphs(table: Path) -> None:
    with Store(table) as store:
        with store._db.transaction() as db:
            db.execute("DELETE FROM notes WHERE name = ?", (NOTE,))
        assert graphs_of(store, "fake", "int8") == 1
        with pytest.raises(StoreError, match="version 1 of the exported graphs"):
            run(store, "int8")
        assert run(store, "fp32")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_shared_table_tells_its_graphs(
    table: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / f"int8.{suffix}", tmp_path / "other.sqlite"
    with Store(table) as store:
        count = export_table(store, "fake", path, precision="int8")
    shared = read_table(path)
    assert shared.graphs == GRAPHS["int8"]
    earlier(table, monkeypatch)
    with Store(other) as store:
        assert shared.add_to(store, "theirs") == count
        assert graphs_of(store, "theirs", "int8") == shared.graphs
        assert shared.add_to(store, "theirs") == 0
        run(store, "int8")  # of the present graphs, under another name
        with pytest.raises(StoreError, match="import it under the name of another device"):
            shared.add_to(store, "fake")
