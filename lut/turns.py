"""In what order timings are made: in passes, each in another random order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lut.plan import Job

# models handed to the device at once; the reference is timed after each chunk
CHUNK_KERNELS = 40
CHUNK_SUBNETS = 8


@dataclass(frozen=True)
class Timing:
    """One round of a job, made in the pass `turn`."""

    job: Job
    number: int
    turn: int


def missing(
    jobs: Sequence[Job], have: Mapping[str, Collection[int]], rejected: Collection[str]
) -> list[Timing]:
    """The timings of the jobs that are not in the table, in their passes.

    A job of fewer rounds than there are passes is spread over them, so that every model is
    timed early and late.

    Args:
        have: rounds in the table, by key.
        rejected: keys that the device cannot run.
    """
    passes = max((job.rounds for job in jobs), default=0)
    return [
        Timing(job, number, int((number + 0.5) * passes / job.rounds))
        for job in jobs
        if job.key not in rejected
        for number in range(job.rounds)
        if number not in have.get(job.key, ())
    ]


def chunks(timings: Sequence[Timing], rng: np.random.Generator) -> list[list[Timing]]:
    """The timings pass by pass, in random order; what is fitted comes first in the first pass,
    so that a budget which ends early still leaves something to fit."""
    ordered: list[list[Timing]] = []
    for turn in sorted({t.turn for t in timings}):
        groups: dict[tuple[bool, bool], list[Timing]] = {}
        for t in timings:
            if t.turn == turn:
                key = (t.job.held_out and turn == 0, t.job.whole)
                groups.setdefault(key, []).append(t)
        in_pass: list[tuple[bool, list[Timing]]] = []
        for (last, whole), group in sorted(groups.items()):
            mixed = [group[i] for i in rng.permutation(len(group))]
            size = CHUNK_SUBNETS if whole else CHUNK_KERNELS
            in_pass += [(last, mixed[i : i + size]) for i in range(0, len(mixed), size)]
        mixed_chunks = [in_pass[i] for i in rng.permutation(len(in_pass))]
        ordered += [chunk for _, chunk in sorted(mixed_chunks, key=lambda pair: pair[0])]
    return ordered
