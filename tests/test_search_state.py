"""`state.json`: every damage is one message that names the file, or changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from mutations import byte_mutations, mutations
from small_search import proxy

from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError, FileError, NextStep, TargetError
from elasticvit.rng_state import RngState
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import MOST_EVALUATIONS, EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.state import SearchState
from elasticvit.searching.state_file import checksum_of
from elasticvit.space import MOBILE, TINY, SearchSpace

CONFIG = EvolutionConfig.of(3, 2)
LIMIT = 12.0


class Stop(Exception):
    pass


def search(path: Path, *, stop_at: int | None = None, space: SearchSpace = TINY) -> Archive:
    calls = []

    def stop(event: object) -> None:
        calls.append(event)
        if len(calls) == stop_at:
            raise Stop

    config = EvolutionConfig(**{**vars(CONFIG), "at_once": 2})
    return evolve(
        space,
        [Cap(cost=MacsCost(space), target=LIMIT if space is TINY else 500.0)],
        proxy,
        config,
        rng=np.random.default_rng(0),
        state_path=path,
        settings={"weights": "a", "targets": [["macs", "MMACs", 12.0]]},
        events=stop,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The state of a search that was interrupted in its second generation."""
    path = tmp_path / "state.json"
    with pytest.raises(Stop):
        search(path, stop_at=7)
    state = SearchState.load(path, TINY)
    assert state.generation == 1
    assert state.pending
    return path


def unsealed(path: Path) -> dict[str, Any]:
    """The content without its checksum, as earlier versions wrote it."""
    data: dict[str, Any] = json.loads(path.read_text())
    assert data.pop("checksum") == checksum_of(data)
    return data


def problem(path: Path) -> str | None:
    """What going on from a state says; None if the state is read."""
    try:
        SearchState.load(path, TINY)
    except CheckpointError as error:
        return str(error)
    return None


def test_a_state_of_an_earlier_version_is_gone_on_with(path: Path, tmp_path: Path) -> None:
    whole = search(tmp_path / "whole.json")
    path.write_text(json.dumps(unsealed(path)))
    again = search(path)
    np.testing.assert_array_equal(again.archs.genes, whole.archs.genes)
    np.testing.assert_array_equal(again.accuracy, whole.accuracy)
    assert json.loads(path.read_text())["checksum"]


def test_no_change_of_a_value_goes_unnoticed(path: Path) -> None:
    whole = path.read_bytes()
    document = json.loads(whole)
    for mutation in mutations(document):
        path.write_text(json.dumps(mutation.document))
        said = problem(path)
        if mutation.path[:1] == ("checksum",) and mutation.value is None:
            assert said is None  # as earlier versions wrote it
        else:
            assert said is not None, (mutation.name, mutation.field)
            assert str(path) in said
            assert len(said.splitlines()) == 1
    for name, damaged in byte_mutations(whole):
        path.write_bytes(damaged)
        said = problem(path)
        assert said is not None, name
        assert str(path) in said
    path.write_text(json.dumps(document, indent=3))  # written anew by another program
    assert problem(path) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: {"accuracy": [float("nan"), *d["accuracy"][1:]]}, "is not the state"),
        (lambda d: {"accuracy": [101.0, *d["accuracy"][1:]]}, r"accuracy\[0\] is 101"),
        (lambda d: {"accuracy": d["accuracy"][1:]}, "genes has 3, accuracy has 2, born has 3"),
        (lambda d: {"rng": {}}, r"rng\.bit_generator is missing"),
        (lambda d: {"rng": d["rng"] | {"bit_generator": "MT19937"}}, "bit_generator is 'MT19937'"),
        (lambda d: {"rng": d["rng"] | {"state": {"state": -1, "inc": 1}}}, "to 2.*128 - 1"),
        (lambda d: {"rng": d["rng"] | {"state": {"state": 1, "inc": 2}}}, "inc must be an odd"),
        (lambda d: {"rng": d["rng"] | {"state": {"state": 2**128, "inc": 1}}}, "to 2.*128 - 1"),
        (lambda d: {"rng": d["rng"] | {"has_uint32": 2}}, "has_uint32 is 2"),
        (lambda d: {"rng": d["rng"] | {"uinteger": 2**32}}, "uinteger is 4294967296"),
        (lambda d: {"generation": 4}, "generation is 4; the search has 2"),
        (lambda d: {"generation": 0}, "born must rise from 0 to generation - 1"),
        (lambda d: {"born": [0, 0, 2]}, "born must rise"),
        (lambda d: {"genes": [d["genes"][0][:-1], *d["genes"][1:]]}, r"genes\[0\] has 20 genes"),
        (lambda d: {"genes": [[33, *d["genes"][0][1:]], *d["genes"][1:]]}, "outside of search"),
        (lambda d: {"genes": [d["genes"][1], *d["genes"][1:]]}, "hold an architecture twice"),
        (lambda d: {"genes": [[2**40] * 21, *d["genes"][1:]]}, r"genes\[0\]\[0\] is 1099511627776"),
        (lambda d: {"pending": d["pending"][:1] * 2}, "hold an architecture twice"),
        (lambda d: {"settings": {}}, r"settings\.evolution"),
        (lambda d: {"settings": d["settings"] | {"evolution": {"population": 0}}}, "population 0"),
        (
            lambda d: {"settings": d["settings"] | {"evolution": {"population": "many"}}},
            "population is 'many'",
        ),
        (
            lambda d: {"settings": d["settings"] | {"evolution": {"generations": 10**9}}},
            f"at most {MOST_EVALUATIONS:,}",
        ),
        (
            lambda d: {"settings": d["settings"] | {"evolution": {"population": 2}}},
            "generation 0 has 3 architectures; at most 2",
        ),
    ],
)
def test_damage_is_named(
    path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    data = unsealed(path)
    path.write_text(json.dumps({**data, **change(data)}))
    with pytest.raises(CheckpointError, match=words) as caught:
        SearchState.load(path, TINY)
    assert str(path) in str(caught.value)
    assert "move the folder away, and search again" in str(caught.value)
    assert caught.value.next_step == NextStep("search")


def test_an_architecture_over_a_cap_is_not_gone_on_with(path: Path) -> None:
    data = unsealed(path)
    data["genes"][0] = list(TINY.largest.genes)
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="architecture 0 exceeds a target of the search"):
        search(path)


def test_a_state_of_another_space_is_named_as_that(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="belongs to a search with other caps; start this"):
        search(path, space=MOBILE)
    with pytest.raises(CheckpointError, match="has 21 genes; an architecture of search space mob"):
        SearchState.load(path, MOBILE)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_last_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FileError, match=r"state\.json cannot be written: No space left"):
            search(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["state.json"]
    assert search(path).complete


def test_a_generator_goes_on_from_its_state() -> None:
    rng = np.random.default_rng(5)
    rng.integers(7, size=3)
    state = RngState.of(rng)
    drawn = rng.random(4).tolist(), rng.integers(2**40, size=3).tolist()
    other = np.random.default_rng(9)
    msgspec.convert(json.loads(json.dumps(state.to_dict())), RngState).restore(other)
    assert (other.random(4).tolist(), other.integers(2**40, size=3).tolist()) == drawn
    with pytest.raises(TypeError, match=r"generator MT19937; .* numpy\.random\.default_rng"):
        RngState.of(np.random.Generator(np.random.MT19937(0)))


def test_the_size_of_a_search_is_bounded() -> None:
    largest = EvolutionConfig.of(64, 390)
    assert largest.evaluations <= MOST_EVALUATIONS
    with pytest.raises(TargetError, match="64 and 391 generations of 256 children: 100,160") as e:
        EvolutionConfig.of(64, 391)
    assert e.value.settings == ("population", "generations")
