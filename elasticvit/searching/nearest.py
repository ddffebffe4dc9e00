"""The published architecture that one found by a search is nearest to."""

from __future__ import annotations

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.published import PUBLISHED
from elasticvit.space import SearchSpace


def nearest_published(arch: Arch, space: SearchSpace) -> tuple[str, Arch] | None:
    """Name and architecture of the published one with the least `gene_distances`, the first of
    equal ones; None if the space contains none of them."""
    inside = {n: a for n, a in PUBLISHED.items() if space.valid(ArchBatch.of([a]))[0]}
    if not inside:
        return None
    distances = gene_distances(arch, ArchBatch.of(list(inside.values())), space)
    name = list(inside)[int(np.argmin(distances))]
    return name, inside[name]


def gene_distances(arch: Arch, others: ArchBatch, space: SearchSpace) -> FloatArray:
    """How far the genes of each of the others lie from an architecture's, shape (n,).

    For each gene the number of choices from one to the other, as a share of the way from its
    first choice to its last, summed over the genes.
    """
    total: FloatArray = np.zeros(len(others))
    for column, (gene, choices) in enumerate(zip(arch.genes, space.choices, strict=True)):
        if len(choices) > 1:
            steps = np.searchsorted(choices, others.genes[:, column]) - choices.index(gene)
            total += np.abs(steps) / (len(choices) - 1)
    return total
