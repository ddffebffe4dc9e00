"""What was judged is kept, by weights and images."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.errors import CheckpointError, FileError
from elasticvit.searching import judgement_tables
from elasticvit.searching.judgement_store import JudgementStore
from elasticvit.space import TINY

ARCHS = TINY.sample(4, np.random.default_rng(0))
ADDED = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 40)), max_size=12
)


@settings(max_examples=12)
@given(added=ADDED)
def test_the_longest_judgement_of_each_is_kept(
    added: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = JudgementStore(tmp_path_factory.mktemp("store") / "judgements.sqlite")
    whole = {
        (context, row): np.random.default_rng([ord(context), row]).random(40) < 0.5
        for context in "ab"
        for row in range(4)
    }
    longest: dict[tuple[str, int], int] = {}
    for context, row, images in added:
        store.add(context, [ARCHS[row]], [whole[context, row][:images]])
        longest[context, row] = max(images, longest.get((context, row), 0))
    for context in "ab":
        for row, found in enumerate(store.of(context).get(list(ARCHS))):
            bits = whole[context, row]
            np.testing.assert_array_equal(found, bits[: longest.get((context, row), 0)])


def test_reading_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "judgements.sqlite"
    assert not len(JudgementStore(path).get("a", [ARCHS[0]])[0])
    assert not path.exists()


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_none_of_judgements_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "judgements.sqlite"
    path.write_bytes(content)
    store = JudgementStore(path)
    for use in (
        lambda: store.of("a"),
        lambda: store.get("a", [ARCHS[0]]),
        lambda: store.add("a", [ARCHS[0]], [np.ones(3, dtype=bool)]),
    ):
        with pytest.raises(CheckpointError, match=r"judgements\.sqlite is not .* move it away"):
            use()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    ["images = 2000", "images = 19", "correct = x'fffff7'", "correct = 7", "images = 'many'"],
)
def test_a_judgement_that_was_changed_is_not_believed(tmp_path: Path, change: str) -> None:
    store = JudgementStore(tmp_path / "judgements.sqlite")
    store.add("a", list(ARCHS), [np.ones(20, dtype=bool)] * len(ARCHS))
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute(f"UPDATE judged SET {change}")
    with pytest.raises(CheckpointError, match="is not what was written"):
        store.get("a", [ARCHS[0]])


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    store = JudgementStore(tmp_path / "judgements.sqlite")
    store.add("a", [ARCHS[0]], [np.ones(20, dtype=bool)])
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(CheckpointError, match=r"schema 9.*update elasticvit"):
        store.get("a", [ARCHS[0]])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = JudgementStore(tmp_path / "file" / "judgements.sqlite")
    with pytest.raises(FileError, match="cannot be written"):
        store.add("a", [ARCHS[0]], [np.ones(3, dtype=bool)])


def test_the_contexts_that_were_used_longest_ago_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgement_tables, "MOST_BYTES", 2**19)
    store = JudgementStore(tmp_path / "judgements.sqlite")
    archs = list(TINY.sample(100, np.random.default_rng(1)).unique())
    many = [np.ones(10_000, dtype=bool)] * len(archs)
    for context in "abacdef":  # some 150 kB each
        store.add(context, archs, many)
    known = [context for context in "abcdef" if len(store.get(context, archs[:1])[0])]
    assert known[-2:] == ["e", "f"]
    assert "b" not in known
    assert len(known) >= 3
    assert store.path.stat().st_size < 2 * 2**19


def test_the_file_takes_little_more_than_a_bit_an_image(tmp_path: Path) -> None:
    store = JudgementStore(tmp_path / "judgements.sqlite")
    archs = list(TINY.sample(2000, np.random.default_rng(1)).unique())
    store.add("context", archs, [np.ones(1000, dtype=bool)] * len(archs))
    assert store.path.stat().st_size / len(archs) < 300
