"""The evolution: caps never broken, nothing evaluated twice, killed searches go on unchanged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_search import SMALL, OddCost, everything, proxy

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError, TargetError
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap, find_feasible, loads
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.pareto import on_front
from elasticvit.searching.state import SearchState
from elasticvit.space import MOBILE, TINY

QUICK = EvolutionConfig.of(8, 5)
CAPS = [Cap(cost=MacsCost(TINY), target=12.0)]


def run(path: Path | None = None, seed: int = 0, accuracy=proxy, **options) -> Archive:
    rng = np.random.default_rng(seed)
    return evolve(TINY, CAPS, accuracy, QUICK, rng=rng, state_path=path, **options)


def same(a: Archive, b: Archive) -> None:
    np.testing.assert_array_equal(a.archs.genes, b.archs.genes)
    np.testing.assert_array_equal(a.accuracy, b.accuracy)
    np.testing.assert_array_equal(a.born, b.born)


class Counting:
    """Counts how often each architecture is evaluated; may be told to break."""

    def __init__(self, after: int | None = None) -> None:
        self.seen: dict[bytes, int] = {}
        self.after = after

    def __call__(self, batch: ArchBatch) -> np.ndarray:
        if self.after is not None and len(self.seen) >= self.after:
            raise KeyboardInterrupt
        for row in batch.genes:
            self.seen[row.tobytes()] = self.seen.get(row.tobytes(), 0) + 1
        return proxy(batch)


@pytest.mark.parametrize("space", [MOBILE, TINY], ids=lambda s: s.name)
def test_nothing_over_a_cap_is_ever_evaluated(space) -> None:
    caps = [Cap(cost=OddCost(space), target=4.4), Cap(cost=MacsCost(space), target=80.0)]

    def accuracy(batch: ArchBatch) -> np.ndarray:
        assert (loads(caps, batch) <= 1).all()
        assert space.valid(batch).all()
        return proxy(batch)

    archive = evolve(space, caps, accuracy, QUICK, rng=np.random.default_rng(0))
    assert archive.complete
    assert len(archive.archs) == QUICK.evaluations
    assert (archive.load <= 1).all()


def test_no_architecture_is_evaluated_twice() -> None:
    counting = Counting()
    archive = run(accuracy=counting)
    assert set(counting.seen.values()) == {1}
    assert len(counting.seen) == len(archive.archs) == len(archive.archs.unique())


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_best_of_a_space_that_can_be_gone_through(seed: int) -> None:
    caps = [Cap(cost=MacsCost(SMALL), target=2.0)]
    batch = everything(SMALL)
    batch = batch.take(loads(caps, batch) <= 1)

    def accuracy(archs: ArchBatch) -> np.ndarray:
        """Grows with depth and resolution, and wants widths that fit together."""
        g = archs.genes.astype(np.float64)
        resolution, conv_width, depth, attn_width = g[:, 0], g[:, 5], g[:, 6] + g[:, 10], g[:, 9]
        return 50 + resolution / 4 + 2 * depth - np.abs(attn_width - 2 * conv_width) / 4 + g[:, 7]

    config = EvolutionConfig.of(8, 4)
    assert config.evaluations < len(batch) / 4  # a random search finds it once in four times
    archive = evolve(SMALL, caps, accuracy, config, rng=np.random.default_rng(seed))
    assert archive.accuracy.max() == accuracy(batch).max()


def test_later_generations_are_better() -> None:
    archive = run()
    means = [archive.accuracy[archive.born == g].mean() for g in range(QUICK.generations + 1)]
    assert means[-1] > means[0] + 1
    assert archive.accuracy.max() > archive.accuracy[archive.born == 0].max()


def test_a_space_that_is_used_up_ends_the_search() -> None:
    caps = [Cap(cost=MacsCost(SMALL), target=1.0)]
    batch = everything(SMALL)
    kept = int((loads(caps, batch) <= 1).sum())
    archive = evolve(SMALL, caps, proxy, EvolutionConfig.of(64, 40), rng=np.random.default_rng(0))
    assert archive.complete
    assert kept * 0.95 <= len(archive.archs) <= kept < EvolutionConfig.of(64, 40).evaluations


def test_the_front_and_the_ranking_are_of_everything() -> None:
    archive = run()
    front = archive.front()
    points = np.stack([archive.load, -archive.accuracy], axis=1)
    np.testing.assert_array_equal(np.sort(front), np.flatnonzero(on_front(points)))
    assert (np.diff(archive.load[front]) > 0).all()
    assert (np.diff(archive.accuracy[front]) > 0).all()
    assert archive.ranking()[0] == front[-1]


def test_equal_accuracies_are_settled_by_the_load() -> None:
    archive = run(accuracy=lambda batch: np.full(len(batch), 50.0))
    assert archive.load[archive.ranking()[0]] == archive.load.min()
    assert len(archive.front()) == 1


def test_a_seed_gives_the_same_search_in_another_process() -> None:
    code = (
        "import test_search_evolution as t; a = t.run(seed=7); "
        "print(a.archs.genes.tolist(), a.accuracy.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "17"},
    )
    archive = run(seed=7)
    assert done.stdout.strip() == f"{archive.archs.genes.tolist()} {archive.accuracy.tolist()}"
    assert not np.array_equal(run(seed=8).archs.genes, archive.archs.genes)


@pytest.mark.parametrize("after", [1, 9, 40, 100])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path, after: int) -> None:
    path = tmp_path / "state.json"
    first, second = Counting(after), Counting()
    with pytest.raises(KeyboardInterrupt):
        run(path, accuracy=first)
    same(run(path, seed=999, accuracy=second), run())  # the seed is the state's
    assert not first.seen.keys() & second.seen.keys()


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    code = (
        "import sys, time, pathlib, test_search_evolution as t\n"
        "def slow(batch):\n"
        "    time.sleep(0.02)\n"
        "    return t.proxy(batch)\n"
        "t.run(pathlib.Path(sys.argv[1]), accuracy=slow)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parent)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and SearchState.load(path, TINY).generation >= 2:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    state = SearchState.load(path, TINY)
    assert 2 <= state.generation <= QUICK.generations
    same(run(path), run())


def test_a_search_that_is_told_to_stop_returns_what_it_has(tmp_path: Path) -> None:
    path, calls = tmp_path / "state.json", []
    stopped = run(path, events=calls.append, stop=lambda: len(calls) >= 6)
    assert not stopped.complete
    assert len(calls) == 6
    assert calls[-1].done == len(stopped.archs) == 8 + 5 * 8
    assert calls[-1].best_accuracy == stopped.accuracy.max()
    assert calls[-1].total == QUICK.evaluations
    best = ArchBatch.of([calls[-1].best])
    assert calls[-1].best_costs == (MacsCost(TINY).price(best)[0],)
    assert calls[-1].best_load == loads(CAPS, best)[0]
    same(run(path), run())


def test_a_known_feasible_architecture_changes_nothing() -> None:
    feasible = find_feasible(TINY, CAPS, np.random.default_rng(0))
    same(run(feasible=feasible), run())


def test_handlers_that_raise_stop_a_search_that_goes_on_unchanged(tmp_path: Path) -> None:
    path, seen = tmp_path / "state.json", []

    def stop_at_the_fourth(event) -> None:
        seen.append(event)
        if len(seen) == 4:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run(path, events=stop_at_the_fourth)
    same(run(path), run())


def test_a_search_that_evaluates_nothing_leaves_no_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with pytest.raises(KeyboardInterrupt):
        run(path, accuracy=Counting(after=0))
    assert not path.exists()


def test_how_many_are_evaluated_at_once_changes_nothing() -> None:
    config = EvolutionConfig(**{**vars(QUICK), "at_once": 1000})
    same(evolve(TINY, CAPS, proxy, config, rng=np.random.default_rng(0)), run())


def test_a_state_of_another_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    run(path, settings={"weights": "a"})
    with pytest.raises(CheckpointError, match="with other weights"):
        run(path, settings={"weights": "b"})
    with pytest.raises(CheckpointError, match="with other caps"):
        evolve(
            TINY,
            [Cap(cost=MacsCost(TINY), target=13.0)],
            proxy,
            QUICK,
            rng=np.random.default_rng(0),
            state_path=path,
            settings={"weights": "a"},
        )


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"schema": 1', '"schema": 9'),
        lambda text: text.replace('"accuracy": [', '"accuracy": [1.0, '),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "rng"}),
    ],
    ids=["half", "empty", "list", "newer", "one too many", "field missing"],
)
def test_a_damaged_state_is_refused(tmp_path: Path, damage) -> None:
    path = tmp_path / "state.json"
    run(path)
    path.write_text(damage(path.read_text()))
    before = path.read_text()
    with pytest.raises(CheckpointError, match=r"state\.json.*search again|state\.json.*update"):
        run(path)
    assert path.read_text() == before


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-1.0], [101.0], [1.0, 2.0], []])
def test_an_evaluator_that_gives_no_numbers_is_found_out(values) -> None:
    config = EvolutionConfig(**{**vars(QUICK), "at_once": 1})
    with pytest.raises(ValueError, match="as many accuracies in percent"):
        evolve(TINY, CAPS, lambda b: np.array(values), config, rng=np.random.default_rng(0))


def test_sizes_follow_the_evaluations_that_can_be_paid() -> None:
    assert EvolutionConfig.within(1e9) == EvolutionConfig() == EvolutionConfig.of(64, 40)
    assert EvolutionConfig().evaluations == 64 + 40 * 256
    sizes = [EvolutionConfig.within(n).evaluations for n in range(100, 12_000, 50)]
    assert sizes == sorted(sizes)
    assert all(s <= n for s, n in zip(sizes, range(100, 12_000, 50), strict=True) if n > 150)
    assert EvolutionConfig.within(0).evaluations < 200
    for bad in ({"population": 0}, {"generations": 0}, {"crossover": 0, "mutation": 0}):
        with pytest.raises(TargetError, match="at least 1"):
            EvolutionConfig(**bad)
