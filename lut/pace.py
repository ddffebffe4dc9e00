"""Expected duration of timings on a device, estimated from those of the present profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lut.plan import Job


class Pace:
    """Expected seconds of a timing, from building the model to storing the result: for kernels
    and for subnets a constant and a share that grows with the multiply-accumulates."""

    def __init__(self) -> None:
        self._seen: dict[bool, list[tuple[float, float]]] = {False: [], True: []}

    def observe(self, job: Job, seconds: float) -> None:
        """Add the duration of one timing."""
        self._seen[job.whole].append((job.gmacs, seconds))

    def expect(self, jobs: Sequence[Job]) -> float:
        """Seconds that the jobs will take together; a kind without any timing counts as 0."""
        total = 0.0
        for whole, seen in self._seen.items():
            gmacs = np.array([job.gmacs for job in jobs if job.whole == whole])
            if not seen or not gmacs.size:
                continue
            x, seconds = np.array(seen).T
            slope = 0.0
            if np.ptp(x) > 0:
                slope = max(0.0, float(np.cov(x, seconds, bias=True)[0, 1] / np.var(x)))
            constant = max(0.0, float(seconds.mean() - slope * x.mean()))
            total += constant * gmacs.size + slope * float(gmacs.sum())
        return total
