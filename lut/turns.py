"""The order of the timings of a profile: in passes, each in another random order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lut.plan import Job

# models handed to the device at once; the reference is timed after each chunk
CHUNK_KERNELS = 40
CHUNK_SUBNETS = 8


@dataclass(frozen=True)
class Turn:
    """One round of a job that is to be timed.

    Attributes:
        job: The job.
        round: Number of the round, from 0.
        pass_number: Number of the pass over all jobs in which it is timed, from 0.
    """

    job: Job
    round: int
    pass_number: int


def missing(
    jobs: Sequence[Job], have: Mapping[str, Collection[int]], rejected: Collection[str]
) -> list[Turn]:
    """The rounds of the jobs that are not in the table, in their passes.

    A job of fewer rounds than there are passes is spread over them, so that every model is
    timed early and late.

    Args:
        have: Rounds in the table, by key.
        rejected: Keys of models that the device cannot run.
    """
    passes = max((job.rounds for job in jobs), default=0)
    return [
        Turn(job, number, int((number + 0.5) * passes / job.rounds))
        for job in jobs
        if job.key not in rejected
        for number in range(job.rounds)
        if number not in have.get(job.key, ())
    ]


def chunks(turns: Sequence[Turn], rng: np.random.Generator) -> list[list[Turn]]:
    """The turns pass by pass, in random order; the models to fit with come first in the first pass,
    so that a budget which ends early still leaves something to fit."""
    ordered: list[list[Turn]] = []
    for number in sorted({t.pass_number for t in turns}):
        groups: dict[tuple[bool, bool], list[Turn]] = {}
        for t in turns:
            if t.pass_number == number:
                key = (t.job.held_out and number == 0, t.job.whole)
                groups.setdefault(key, []).append(t)
        in_pass: list[tuple[bool, list[Turn]]] = []
        for (last, whole), group in sorted(groups.items()):
            mixed = [group[i] for i in rng.permutation(len(group))]
            size = CHUNK_SUBNETS if whole else CHUNK_KERNELS
            in_pass += [(last, mixed[i : i + size]) for i in range(0, len(mixed), size)]
        mixed_chunks = [in_pass[i] for i in rng.permutation(len(in_pass))]
        ordered += [chunk for _, chunk in sorted(mixed_chunks, key=lambda pair: pair[0])]
    return ordered
