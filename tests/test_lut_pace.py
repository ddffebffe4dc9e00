"""How long the rest of a profile is expected to take."""

import pytest

from elasticvit.kernels import lower
from elasticvit.space import TINY
from lut.pace import Pace
from lut.plan import Job


def test_the_slower_the_device_the_smaller_the_plan() -> None:
    jobs = [Job(f"ffn {i}", (), False, 1) for i in range(10)]
    pace = Pace()
    assert pace.expect(jobs) == 0.0
    for job in jobs[:4]:
        pace.observe(job, 0.5)
    assert pace.expect(jobs) == pytest.approx(5.0)


def test_the_pace_grows_with_the_work() -> None:
    kernels = sorted(set(lower(TINY.largest, TINY.layout)), key=lambda k: k.macs)
    jobs = [Job(k.key, (k,), False, 1) for k in kernels]
    pace = Pace()
    for job in jobs:
        pace.observe(job, 0.01 + 3.0 * job.gmacs)
    assert pace.expect(jobs[-1:]) == pytest.approx(0.01 + 3.0 * jobs[-1].gmacs)
    assert pace.expect(jobs) == pytest.approx(sum(0.01 + 3.0 * j.gmacs for j in jobs))
