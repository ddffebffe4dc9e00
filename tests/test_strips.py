"""Strips of large maps cover them, once."""

from export_models import kernels
from hypothesis import given, settings

from elasticvit.kernels import Kernel, MBConv, lower
from elasticvit.published import PUBLISHED
from elasticvit.space import MOBILE
from elasticvit.strips import MOST_STRIPS, same_padding, strips


def published_kernels() -> set[Kernel]:
    return {k for arch in PUBLISHED.values() for k in lower(arch, MOBILE.layout)}


@settings(max_examples=200, deadline=None)
@given(kernels)
def test_strips_read_the_rows_that_their_output_needs(kernel: Kernel) -> None:
    if not isinstance(kernel, MBConv):
        return
    margin, done = kernel.kernel // 2, 0
    for strip in strips(kernel):
        assert strip.rows > 0
        assert strip.first - strip.above == done * kernel.stride - margin
        assert 0 <= strip.first <= strip.first + strip.rows <= kernel.size
        assert not strip.above or strip.first == 0
        assert not strip.below or strip.first + strip.rows == kernel.size
        padded = strip.above + strip.rows + strip.below
        assert (padded - kernel.kernel) // kernel.stride + 1 == strip.out_rows
        done += strip.out_rows
    assert done == kernel.out_size


def test_only_large_maps_without_a_gate_are_in_strips() -> None:
    for kernel in published_kernels():
        if isinstance(kernel, MBConv):
            count = len(strips(kernel))
            large = 4 * kernel.size**2 * kernel.inner > 1 << 20
            assert (count > 1) == (large and kernel.expansion > 1 and not kernel.se)
            assert count <= MOST_STRIPS


def test_same_padding_is_that_of_the_runtime() -> None:
    assert same_padding(96, 3, 1) == (1, 1)
    assert same_padding(96, 3, 2) == (0, 1)
    assert same_padding(97, 5, 2) == (2, 2)
    assert same_padding(8, 1, 1) == (0, 0)
