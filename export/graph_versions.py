"""Versions of the graphs that subnets and kernels are written as, by precision.

A latency is that of a graph. Where a graph is written otherwise than before, so that it takes
another time, the version of its precision goes up by one, and nothing new is put beside the
latencies of the old ones (`lut.graphs`). `tests/test_export_graph_versions.py` fails where graphs
change.
"""

from __future__ import annotations

from collections.abc import Mapping

from elasticvit.precisions import FP16, FP32, INT8, INT8_FULL

GRAPHS: Mapping[str, int] = {
    FP32: 1,
    FP16: 1,
    INT8: 2,  # 2: the convolution that reads the image stays in float32
    INT8_FULL: 1,
}
