"""What was judged is kept, by weights and images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.errors import CheckpointError, FileError
from elasticvit.searching.judgement_store import JudgementStore
from elasticvit.space import TINY

ARCHS = TINY.sample(4, np.random.default_rng(0))
ADDED = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 40)), max_size=12
)


@settings(max_examples=25)
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
        store.add(context, ARCHS[row], whole[context, row][:images])
        longest[context, row] = max(images, longest.get((context, row), 0))
    for (context, row), bits in whole.items():
        found = store.of(context).get(ARCHS[row])
        np.testing.assert_array_equal(found, bits[: longest.get((context, row), 0)])


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "judgements.sqlite"
    path.write_text("no database" * 100)
    with pytest.raises(CheckpointError, match=r"judgements\.sqlite is not .* move it away"):
        JudgementStore(path).get("a", ARCHS[0])
    path.unlink()
    store = JudgementStore(path)
    store.add("a", ARCHS[0], np.ones(20, dtype=bool))
    with store._open() as database, database:
        database.execute("UPDATE judgements SET images = 2000")
    with pytest.raises(CheckpointError, match="2000 images does not fit its bytes"):
        store.get("a", ARCHS[0])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = JudgementStore(tmp_path / "file" / "judgements.sqlite")
    with pytest.raises(FileError, match="cannot be written"):
        store.add("a", ARCHS[0], np.ones(3, dtype=bool))
