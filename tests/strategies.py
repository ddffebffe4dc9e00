"""Hypothesis strategies shared by the tests."""

import numpy as np
from hypothesis import strategies as st

from elasticvit.arch import Arch, ArchBatch
from elasticvit.space import PRESETS, SearchSpace

spaces = st.sampled_from(sorted(PRESETS.values(), key=lambda s: s.name))
seeds = st.integers(0, 2**32 - 1)


def batches(space: SearchSpace, max_size: int = 50) -> st.SearchStrategy[ArchBatch]:
    """Random batches of a space."""
    return st.builds(
        lambda seed, n: space.sample(n, np.random.default_rng(seed)),
        seeds,
        st.integers(1, max_size),
    )


def archs(space: SearchSpace) -> st.SearchStrategy[Arch]:
    """Random architectures of a space."""
    return batches(space, 1).map(lambda batch: batch[0])


space_and_arch = spaces.flatmap(lambda space: st.tuples(st.just(space), archs(space)))
space_and_batch = spaces.flatmap(lambda space: st.tuples(st.just(space), batches(space)))
