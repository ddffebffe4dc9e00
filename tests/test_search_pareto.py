"""Fronts, layers and the covered area, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elasticvit.searching.pareto import hypervolume, on_front, ranks

# few distinct values, so that ties and equal points come up all the time
points = st.integers(1, 4).flatmap(
    lambda k: arrays(
        np.float64, st.tuples(st.integers(0, 30), st.just(k)), elements=st.integers(0, 6)
    )
)
pairs = arrays(
    np.float64, st.tuples(st.integers(0, 40), st.just(2)), elements=st.floats(0, 1, width=16)
)


def beaten(p: np.ndarray) -> np.ndarray:
    """Whether some other point is no worse everywhere and better somewhere."""
    no_worse = (p[:, None] <= p[None]).all(axis=2)
    better = (p[:, None] < p[None]).any(axis=2)
    return (no_worse & better).any(axis=0)


@given(points)
def test_the_front_is_what_nothing_beats(p: np.ndarray) -> None:
    np.testing.assert_array_equal(on_front(p), ~beaten(p))


@given(pairs)
def test_the_front_of_pairs_is_what_nothing_beats(p: np.ndarray) -> None:
    np.testing.assert_array_equal(on_front(p), ~beaten(p))


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(p: np.ndarray, random) -> None:
    order = np.array(random.sample(range(len(p)), len(p)), dtype=int)
    np.testing.assert_array_equal(on_front(p)[order], on_front(p[order]))


@given(points)
def test_layers_are_fronts_of_what_is_left(p: np.ndarray) -> None:
    layer = ranks(p)
    for number in range(layer.max(initial=-1) + 1):
        left = layer >= number
        np.testing.assert_array_equal(layer[left] == number, ~beaten(p[left]))


@given(pairs)
def test_the_area_is_what_a_grid_of_cells_counts(p: np.ndarray) -> None:
    edges = [np.unique(np.append(p[:, i], 1.0)) for i in (0, 1)]
    x, y = np.meshgrid(edges[0][:-1], edges[1][:-1], indexing="ij")
    covered = np.zeros(x.shape, dtype=bool)
    for a, b in p:
        covered |= (x >= a) & (y >= b)
    cells = np.outer(np.diff(edges[0]), np.diff(edges[1]))
    assert hypervolume(p, (1.0, 1.0)) == pytest.approx((cells * covered).sum(), abs=1e-12)


def test_infinite_and_missing_values() -> None:
    assert on_front(np.array([[np.inf, np.inf]])).all()
    assert on_front(np.array([[1.0, np.inf], [2.0, 3.0]])).tolist() == [True, True]
    with pytest.raises(ValueError, match="without NaN"):
        on_front(np.array([[np.nan, 1.0]]))
