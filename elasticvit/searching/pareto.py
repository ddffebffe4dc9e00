"""Fronts: which points no other point beats, layers of them, and the area they cover.

Points are rows of a float array (n, k) and every column is to be made small; an accuracy goes
in negated. A point beats another when it is no worse in every column and better in one, so
points that are equal in all columns do not beat each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import FloatArray, IndexArray


def on_front(points: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether each of the points (n, k) is beaten by none, shape (n,).

    Two columns take n log n; more take n times the size of the front.
    """
    points = _checked(points)
    # the first row of each set of equal rows stands for all of them
    distinct, groups = np.unique(points, axis=0, return_inverse=True)
    # np.unique sorts by the first column, then the next: a row is never beaten by a later one
    if distinct.shape[1] == 2 and len(distinct):
        second = distinct[:, 1]
        best_before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
        keep = second < best_before
        keep[0] = True  # nothing stands before it, also when its second column is infinite
    else:
        keep = _front_of_sorted(distinct)
    mask: npt.NDArray[np.bool_] = keep[groups.reshape(-1)]
    return mask


def _front_of_sorted(distinct: FloatArray) -> npt.NDArray[np.bool_]:
    """The front of distinct, lexicographically rising rows: each row that is kept strikes out
    what it beats, so the loop is as long as the front."""
    keep = np.zeros(len(distinct), dtype=bool)
    open_rows = np.arange(len(distinct))
    while open_rows.size:
        first, rest = open_rows[0], open_rows[1:]
        keep[first] = True
        open_rows = rest[(distinct[rest] < distinct[first]).any(axis=1)]
    return keep


def ranks(points: FloatArray) -> npt.NDArray[np.int64]:
    """Layer of each of the points (n, k), shape (n,): 0 on the front, 1 on the front of what
    is left without it, and so on (non-dominated sorting)."""
    points = _checked(points)
    layer = np.empty(len(points), dtype=np.int64)
    for number, rows in enumerate(_layers(points)):
        layer[rows] = number
    return layer


def first_layers(points: FloatArray, count: int) -> IndexArray:
    """Rows of the points (n, k) on the first layers (`ranks`), layer by layer, at most `count`; of
    the last layer those with the smallest second column."""
    points = _checked(points)
    found: IndexArray = np.empty(0, dtype=np.int64)
    for rows in _layers(points):
        found = np.concatenate([found, rows[np.argsort(points[rows, 1], kind="stable")]])
        if len(found) >= count:
            break
    return found[:count]


def _layers(points: FloatArray) -> Iterator[IndexArray]:
    """Rows of the points (n, k) on each layer, the front first."""
    left: IndexArray = np.arange(len(points))
    while left.size:  # every layer takes at least one point
        mask = on_front(points[left])
        yield left[mask]
        left = left[~mask]


def hypervolume(points: FloatArray, reference: tuple[float, float]) -> float:
    """Area between the front of points (n, 2) and a reference point that is worse than them.

    Points that do not beat the reference add nothing. Zitzler and Thiele (1998) call it the
    size of the space covered.
    """
    points = _checked(points)
    if points.shape[1] != 2:
        raise ValueError(f"points with {points.shape[1]} columns; the area needs 2")
    inside = points[(points < np.asarray(reference)).all(axis=1)]
    front = np.unique(inside[on_front(inside)], axis=0)
    right = np.append(front[1:, 0], reference[0])
    return float(((right - front[:, 0]) * (reference[1] - front[:, 1])).sum())


def _checked(points: FloatArray) -> FloatArray:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or np.isnan(array).any():
        raise ValueError(f"points of shape {array.shape}; expected (n, k) without NaN")
    return array
