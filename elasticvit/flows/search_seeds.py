"""Architectures that a search begins with, because somebody found them good before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.errors import EvitError
from elasticvit.published import PUBLISHED
from elasticvit.searching.result import RESULT_FILE, SearchResult
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

FROM_BANKS = 8  # of each complexity level
LATEST = 8  # searches that are looked at


def find_seeds(
    start: Sequence[str], run: Path | None, workspace: Workspace, space: SearchSpace
) -> ArchBatch:
    """The architectures of a space that are known to be good, each once.

    Args:
        start: Where to look: `bank`, `published`, `searches`.
        run: Folder of the training run, whose memory banks are read; None for none.
        workspace: Workspace with earlier searches.
        space: The space; others' architectures are left out.

    Raises:
        CheckpointError: The checkpoint of the run is damaged.
    """
    found: list[Arch] = []
    if "bank" in start and run is not None:
        found += _of_banks(run, space)
    if "published" in start:
        found += PUBLISHED.values()
    if "searches" in start:
        found += _of_searches(workspace)
    form = (space.layout.n_conv, space.layout.n_attn)
    fitting = [arch for arch in found if (len(arch.conv), len(arch.attn)) == form]
    if not fitting:
        return space.sample(0, np.random.default_rng(0))
    batch = ArchBatch.of(fitting).unique()
    return batch.take(space.valid(batch))


def _of_banks(run: Path, space: SearchSpace) -> Iterator[Arch]:
    """The best subnets of each level that the training remembered; genes that no architecture of
    the space has are passed over."""
    from elasticvit.training.checkpoint import Checkpoint

    sampler = Checkpoint.load(run).sampler
    if sampler is None or sampler.banks is None:
        return
    for entries in sampler.banks.entries:
        best = sorted(entries, key=lambda entry: entry.loss)[:FROM_BANKS]
        rows = [entry.genes for entry in best if len(entry.genes) == len(space.names)]
        genes = np.array(rows, dtype=np.int16).reshape(len(rows), len(space.names))
        batch = ArchBatch(genes, space.layout.n_conv)
        yield from batch.take(space.valid(batch))


def _of_searches(workspace: Workspace) -> Iterator[Arch]:
    """What the latest searches found; one that cannot be read is passed over."""
    for folder in workspace.folders("search")[-LATEST:]:
        if not (folder / RESULT_FILE).exists():
            continue
        try:
            result = SearchResult.load(folder)
        except EvitError:
            continue
        yield from (winner.arch for winner in result.winners)
        yield from (point.arch for point in result.front)
