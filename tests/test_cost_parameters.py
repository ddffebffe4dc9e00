"""The number of parameters is that of the network."""

import numpy as np
import pytest

from elasticvit.arch import ArchBatch
from elasticvit.cost_parameters import ParameterCost
from elasticvit.nn import Subnet
from elasticvit.space import MOBILE, PHOTO, TINY, SearchSpace


@pytest.mark.parametrize("space", [TINY, PHOTO, MOBILE], ids=lambda space: space.name)
def test_parameters_are_those_that_torch_counts(space: SearchSpace) -> None:
    batch = space.sample(3, np.random.default_rng(0)).concat(ArchBatch.of([space.smallest]))
    found = ParameterCost(space).price(batch)
    built = [sum(p.numel() for p in Subnet(arch, space.layout).parameters()) for arch in batch]
    np.testing.assert_allclose(found * 1e6, built)
    assert ParameterCost(space).upper(batch) is None
