"""How a new device may deviate from known ones, as features that its log latencies are linear in.

A device's deviation is a sum of parts. It has its own overall speed, its own speed for each class
of work (overall, and again in each kind of kernel), something of the way in which the known
devices differ among themselves, and its own speed for each *operation* as a smooth function of
that operation's dimensions: where a matrix product falls out of a cache, every kernel that
contains such a product is slower by that product's share of it. That is what lets a measured FFN
teach something about a downsampling block.

A part's columns have independent coefficients of one standard deviation, its scale. The scales
below were set on three phones' tables and matter little there: fitting them to the difference of
the two known phones, or even to the new phone's whole table, predicts no better from fifty
measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import solve_triangular  # type: ignore[import-untyped]
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.kernels import KINDS, Kernel
from predictors.features import (
    STRIDED,
    WORK_NAMES,
    Operation,
    coordinates,
    operations,
    work_matrix,
)
from predictors.gp import matern
from predictors.kernel_regressors import fit_work

# standard deviation of a part's coefficients, on a log scale
SCALES: Mapping[str, float] = {
    "all": 0.4,
    "kind": 0.03,
    "work": 0.22,
    "kind_work": 0.15,
    "delta": 0.04,  # along the difference of the source devices, which has deviation 1
    "kind_delta": 0.014,
    "kind_linear": 0.0065,  # in a kind's dimensions
    "kind_smooth": 0.017,  # in all of them at once
    "kind_side": 0.003,  # of each side of a map on its own
    "kind_width": 0.004,  # of each width of a kernel's input on its own
    "alignment": 0.013,  # of an operation's channels to lines of memory
    "operation": 0.036,  # smooth in all dimensions of an operation
    "operation_size": 0.037,  # sum of smooth functions of single sizes of an operation
    "kernel_size": 0.01,  # the same of a whole kernel's bytes and time
}
MIN_SHARE = 0.02  # of the latency, somewhere, for a class of work to matter
# over which a smooth function changes, in standard deviations of its inputs, and how many points
# of the inputs carry it
KIND_LENGTH, KIND_POINTS = 3.0, 80
OPERATION_LENGTH, OPERATION_POINTS = 1.0, 60
SIZE_LENGTH, SIZE_POINTS = 1.0, 24
LINES = (16, 32)  # float32 values that a line of memory, or two of them, hold


def rows_by_kind(kernels: Sequence[Kernel]) -> dict[str, list[int]]:
    """Positions of each kind's kernels."""
    rows: dict[str, list[int]] = {}
    for i, kernel in enumerate(kernels):
        rows.setdefault(kernel.kind, []).append(i)
    return rows


def standardised(x: FloatArray) -> FloatArray:
    """Inputs (n, d) with mean 0 and deviation 1, without the columns that do not vary."""
    spread = x.std(axis=0)
    value: FloatArray = (x - x.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    return value


def deviation_features(
    kernels: Sequence[Kernel], known: FloatArray
) -> tuple[FloatArray, IndexArray]:
    """Columns of all parts, and the part of each as a position in `SCALES`.

    Args:
        kernels: The kernels, one a row.
        known: Smoothed log latencies of the source devices, shape (devices, kernels).

    Returns:
        Shapes (kernels, columns) and (columns,).
    """
    n = len(kernels)
    columns: list[FloatArray] = []
    part_of: list[int] = []
    names = list(SCALES)

    def add(part: str, block: FloatArray, rows: Sequence[int] | slice = slice(None)) -> None:
        full = np.zeros((n, block.shape[1]))
        full[rows] = block
        columns.append(full)
        part_of.extend([names.index(part)] * block.shape[1])

    parts = [operations(k) for k in kernels]
    shares, operation_shares = _shares(kernels, parts, known)
    contrast = known - known.mean(axis=0)
    contrast = contrast - contrast.mean(axis=1, keepdims=True)
    delta = contrast[1:].T / max(float(contrast.std()), 1e-3)  # one fewer than devices
    add("all", np.ones((n, 1)))
    add("work", shares - shares.mean(axis=0))
    add("delta", delta)
    by_kind = rows_by_kind(kernels)
    for kind in KINDS:
        rows = by_kind.get(kind, [])
        if rows:
            add("kind", np.ones((len(rows), 1)), rows)
            add("kind_work", shares[rows] - shares[rows].mean(axis=0), rows)
            add("kind_delta", delta[rows] - delta[rows].mean(axis=0), rows)
            dims = coordinates([kernels[i] for i in rows])
            add("kind_linear", standardised(dims), rows)
            add("kind_smooth", _smooth(dims, KIND_LENGTH, KIND_POINTS), rows)
            for part, column in (("kind_side", 0), ("kind_width", 1)):
                values = np.unique(dims[:, column])
                add(part, (dims[:, [column]] == values).astype(np.float64), rows)
    for kind in sorted({o.kind for ops in parts for o in ops if o.dims}):
        places, operands, share = [], [], []
        for row, ops in enumerate(parts):
            for operation, part_share in zip(ops, operation_shares[row], strict=True):
                if operation.kind == kind:
                    places.append(row)
                    operands.append(operation.dims)
                    share.append(part_share)
        sizes = np.array(operands, dtype=np.float64)
        logs = np.log2(sizes)
        into = csr_matrix((share, (places, np.arange(len(places)))), shape=(n, len(places)))
        for channels in _channels(kind, sizes):
            add("alignment", into @ np.stack([channels % line > 0 for line in LINES], axis=1))
        add("operation", into @ _smooth(logs, OPERATION_LENGTH, OPERATION_POINTS))
        for size in _sizes(kind, logs).T:
            add("operation_size", into @ _smooth(size[:, None], SIZE_LENGTH, SIZE_POINTS))
    work = work_matrix(kernels)
    nbytes = [np.log2(work[:, [WORK_NAMES.index(f"{x}_bytes")]]) for x in ("weight", "activation")]
    for size in (*nbytes, known.mean(axis=0)[:, None]):
        add("kernel_size", _smooth(size, SIZE_LENGTH, SIZE_POINTS))
    return np.concatenate(columns, axis=1), np.array(part_of)


def _channels(kind: str, sizes: FloatArray) -> list[FloatArray]:
    """Channels of what an operation reads and writes, each of shape (operations,), where the
    rest of a line of memory matters: some phones are slower where a pixel's values begin in the
    middle of one, others are not."""
    if kind == "product":
        return [sizes[:, 1], sizes[:, 2]]
    return [sizes[:, 2]] if kind.startswith("depthwise") else []


def _sizes(kind: str, logs: FloatArray) -> FloatArray:
    """Logarithms of what of an operation has to fit somewhere, from those of its dimensions."""
    columns = logs.T
    if kind == "product":
        rows, cin, cout = columns
        return np.stack([rows, cin, cout, cin + cout, rows + cin, rows + cout], axis=1)
    if kind.startswith("depthwise"):
        in_area, area, channels = columns
        line = in_area / 2  # a row of the map
        each = [in_area, channels, in_area + channels, area + channels, line + channels]
        return np.stack(each, axis=1)
    if kind == "vector":
        return np.stack([*columns, columns[0] + columns[1]], axis=1)
    if kind == "batch":
        tokens, heads, value = columns
        return np.stack([*columns, 2 * tokens + heads, tokens + heads + value], axis=1)
    return logs


def _smooth(x: FloatArray, length: float, points: int) -> FloatArray:
    """Columns whose sum, with independent standard normal coefficients, is a Gaussian process
    over the inputs x (n, d), by Nystrom's approximation: shape (n, at most `points`)."""
    x = standardised(x)
    if not x.shape[1]:
        return np.ones((len(x), 1))
    unique = np.unique(np.round(x, 9), axis=0)
    chosen = [0]
    distance = ((unique - unique[0]) ** 2).sum(axis=1)
    while len(chosen) < min(points, len(unique)):  # each the farthest from those before it
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, ((unique - unique[chosen[-1]]) ** 2).sum(axis=1))
    lengths = np.full(x.shape[1], length)
    carriers = unique[chosen]
    factor = np.linalg.cholesky(matern(carriers, carriers, lengths) + 1e-8 * np.eye(len(chosen)))
    value: FloatArray = solve_triangular(factor, matern(carriers, x, lengths), lower=True).T
    return value


def _shares(
    kernels: Sequence[Kernel], parts: Sequence[Sequence[Operation]], known: FloatArray
) -> tuple[FloatArray, list[FloatArray]]:
    """Share of each class of work in the source devices' latency, shape (n, classes), the last
    that of strided depthwise convolutions, and the share of each operation of each kernel."""
    work = work_matrix(kernels)
    total = np.zeros_like(work)
    by_operation: list[FloatArray] = [np.zeros(len(ops)) for ops in parts]
    for log_ms in known:
        rates = fit_work(work, np.exp(log_ms))
        cost = work * rates
        total += cost / cost.sum(axis=1, keepdims=True) / len(known)
        for row, ops in enumerate(parts):
            each = np.array([o.work for o in ops]) @ rates
            by_operation[row] += each / each.sum() / len(known)
    strided = np.array(
        [
            sum(share[i] for i, o in enumerate(ops) if o.kind.endswith(STRIDED))
            for ops, share in zip(parts, by_operation, strict=True)
        ],
        dtype=np.float64,
    )
    matters: FloatArray = total[:, total.max(axis=0) > MIN_SHARE]
    return np.column_stack([matters, strided]), by_operation
