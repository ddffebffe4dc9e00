"""What every cost model must do: the contract suite of `elasticvit.cost.CostModel`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pytest

from elasticvit.arch import ArchBatch
from elasticvit.cost import CostModel
from elasticvit.errors import ArchError
from elasticvit.space import SearchSpace


class CostContract(ABC):
    """Contract suite of a cost model; inherit from it in a class whose name begins with `Test`.

    Override the fixtures `space` and `cost`.
    """

    @abstractmethod
    @pytest.fixture
    def space(self) -> SearchSpace:
        """The search space that the cost model prices."""

    @abstractmethod
    @pytest.fixture
    def cost(self, space: SearchSpace) -> CostModel:
        """The cost model."""

    @pytest.fixture
    def batch(self, space: SearchSpace) -> ArchBatch:
        """200 architectures of the space, the same in every run."""
        return space.sample(200, np.random.default_rng(7))

    def test_names_its_unit(self, cost: CostModel) -> None:
        assert cost.unit in ("MMACs", "ms")
        assert cost.name

    def test_prices_are_positive_float64(self, cost: CostModel, batch: ArchBatch) -> None:
        prices = cost.price(batch)
        assert prices.shape == (len(batch),)
        assert prices.dtype == np.float64
        assert np.isfinite(prices).all()
        assert (prices > 0).all()

    def test_a_price_does_not_depend_on_the_batch(self, cost: CostModel, batch: ArchBatch) -> None:
        together = cost.price(batch)
        order = np.random.default_rng(3).permutation(len(batch))
        np.testing.assert_allclose(cost.price(batch.take(order)), together[order], rtol=1e-12)
        alone = cost.price(batch.take(slice(5, 6)))
        np.testing.assert_allclose(alone, together[5:6], rtol=1e-12)

    def test_pricing_changes_nothing(self, cost: CostModel, batch: ArchBatch) -> None:
        genes = batch.genes.copy()
        first = cost.price(batch)
        np.testing.assert_array_equal(cost.price(batch), first)
        np.testing.assert_array_equal(batch.genes, genes)

    def test_largest_costs_more_than_smallest(self, cost: CostModel, space: SearchSpace) -> None:
        small, large = cost.price(ArchBatch.of([space.smallest, space.largest]))
        assert small < large

    def test_deeper_costs_more(self, cost: CostModel, space: SearchSpace, batch: ArchBatch) -> None:
        for stage in space.stages:
            column = space.names.index(f"{stage}.depth")
            options = space.choices[column]
            shallow, deep = batch.genes.copy(), batch.genes.copy()
            shallow[:, column], deep[:, column] = options[0], options[-1]
            n_conv = batch.n_conv
            more = cost.price(ArchBatch(deep, n_conv)) - cost.price(ArchBatch(shallow, n_conv))
            assert (more > 0).all(), stage

    def test_refuses_a_gene_outside_the_space(self, cost: CostModel, batch: ArchBatch) -> None:
        genes = batch.genes.copy()
        genes[3, 0] = 129
        with pytest.raises(ArchError, match=r"resolution is 129"):
            cost.price(ArchBatch(genes, batch.n_conv))
