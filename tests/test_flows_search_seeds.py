"""Architectures that a search begins with: of banks, published ones, and those of searches."""

from pathlib import Path

import numpy as np
import pytest
from small_search import SMALL, digits, proxy, save_run, trained

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.flows.search_seeds import FROM_BANKS, find_seeds
from elasticvit.kept_genes import keep_genes
from elasticvit.published import PUBLISHED
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.goal import Goals
from elasticvit.searching.result import RESULT_FILE
from elasticvit.searching.score_job import ScoreJob
from elasticvit.space import MOBILE, TINY
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.run_info import RunInfo
from elasticvit.training.sampling.state import BankEntry, BanksState, SamplerState
from elasticvit.workspace import Workspace

MACS = MacsCost(SMALL)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "ws")


def run_with_bank(folder: Path, entries: list[BankEntry]) -> Path:
    save_run(folder)
    banks = BanksState(rng="", steps=80, earned=0.0, entries=(tuple(entries), ()))
    sampler = SamplerState(values=(0.0, 1.0), level=None, rng="", kept=(), banks=banks)
    info = RunInfo.load(folder)
    weights = trained().state_dict()
    Checkpoint(info=info, step=81, weights=weights, sampler=sampler).save(folder)
    return folder


def remembered(archs: list[Arch]) -> list[BankEntry]:
    """Entries whose losses rise from the first to the last."""
    return [BankEntry(genes=arch.genes, loss=1.0 + i, judged=80) for i, arch in enumerate(archs)]


def test_the_best_of_each_bank_are_taken(tmp_path: Path, workspace: Workspace) -> None:
    assert digits().info.classes == SMALL.layout.classes
    archs = list(SMALL.sample(40, np.random.default_rng(0)).unique())[: 2 * FROM_BANKS]
    entries = remembered(archs)[::-1]
    odd = [
        BankEntry(genes=archs[0].genes[:-4], loss=0.1, judged=3),
        BankEntry(genes=(17, *archs[0].genes[1:]), loss=0.2, judged=3),
    ]
    run = run_with_bank(tmp_path / "run", entries)
    found = find_seeds(["bank"], run, workspace, SMALL)
    assert set(found) == set(archs[:FROM_BANKS])
    other = run_with_bank(tmp_path / "other", [*odd, *entries[-3:]])
    assert set(find_seeds(["bank"], other, workspace, SMALL)) == set(archs[:3])
    assert not len(find_seeds(["published", "searches"], run, workspace, SMALL))


def test_a_run_without_a_bank_gives_none(tmp_path: Path, workspace: Workspace) -> None:
    save_run(tmp_path / "run")
    assert not len(find_seeds(["bank"], tmp_path / "run", workspace, SMALL))
    assert not len(find_seeds(["bank"], None, workspace, SMALL))


def test_published_ones_are_those_that_the_space_has(workspace: Workspace) -> None:
    assert set(find_seeds(["published"], None, workspace, MOBILE)) == {
        arch for arch in PUBLISHED.values() if MOBILE.valid(ArchBatch.of([arch]))[0]
    }
    part = keep_genes(MOBILE, {"resolution": 192})
    found = find_seeds(["published"], None, workspace, part)
    assert len(found)
    assert (found.column("resolution") == 192).all()
    assert not len(find_seeds(["published"], None, workspace, TINY))


def test_winners_and_fronts_of_earlier_searches_are_taken(workspace: Workspace) -> None:
    caps = [Cap(cost=MACS, target=1.0)]
    folder = workspace.new_folder("search")
    job = ScoreJob(SMALL, Goals.of(caps), proxy, source="proxy waves")
    result = job.run(folder, EvolutionConfig.of(8, 2))
    for content in ("{", "{}"):  # damaged ones are passed over
        broken = workspace.new_folder("search")
        broken.mkdir(exist_ok=True)
        (broken / RESULT_FILE).write_text(content)
    found = find_seeds(["searches"], None, workspace, SMALL)
    assert set(found) == {point.arch for point in result.front} | {result.arch}
    assert not len(find_seeds(["bank", "published"], None, workspace, SMALL))


def test_a_search_begins_with_the_seeds_that_keep_a_goal() -> None:
    caps = [Cap(cost=MACS, target=0.6)]
    seeds = SMALL.sample(60, np.random.default_rng(3)).unique()
    kept = set(seeds.take(MACS.price(seeds) <= 0.6))
    config = EvolutionConfig.of(16, 1)
    rng = np.random.default_rng(0)
    archive = evolve(SMALL, caps, proxy, config, rng=rng, seeds=seeds)
    first = set(archive.archs.take(archive.born == 0))
    assert len(first & kept) >= min(len(kept), 8)
    assert (MACS.price(archive.archs) <= 0.6).all()
