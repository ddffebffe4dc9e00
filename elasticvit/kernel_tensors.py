"""Tensors of the model that a kernel is exported as: what it computes, and what it holds constant.

The steps are those of the operators that `export.kernel_graphs` and the converter write, in their
order; a test holds both equal. Reshapes are left out: they move nothing and need no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from elasticvit.kernels import (
    FFN,
    QK_DIM,
    SE_RATIO,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    MBConv,
)
from elasticvit.strips import Strip, same_padding, strips

FLOAT_BYTES = 4
Role = Literal["dense", "depthwise", "image", "bias", "other"]  # of a constant
MB = 1e6  # bytes


@dataclass(frozen=True)
class Step:
    """One operator.

    Attributes:
        reads: Numbers of the tensors that it reads; 0 is the kernel's input, n the output of the
            n-th step.
        writes: Floats of its output.
    """

    reads: tuple[int, ...]
    writes: int


@dataclass(frozen=True)
class Constant:
    """A constant tensor.

    Attributes:
        values: Number of its values.
        role: What it is: weights of a depthwise convolution, of the convolution that reads the
            `image`, or of another convolution or linear layer (`dense`); the bias of a layer; or
            none of these.
        outputs: Channels that a layer's weights or bias are for; 0 of others.
        sharing: Number of layers that share it.
    """

    values: int
    role: Role = "other"
    outputs: int = 0
    sharing: int = 1


@dataclass
class KernelTensors:
    """The operators of a kernel, in the order in which they run, and its constants.

    Attributes:
        floats_in: Floats of the kernel's input.
        steps: The operators; the last one writes the kernel's output.
        constants: The constants.
        reshapes: Number of reshapes, which are no steps.
    """

    floats_in: int
    steps: list[Step] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    reshapes: int = 0

    @classmethod
    def of(cls, kernel: Kernel) -> KernelTensors:
        """The operators of a kernel.

        Raises:
            TypeError: It is of no kernel kind.
        """
        try:
            floats_in, write = _KINDS[type(kernel)]
        except KeyError:
            raise TypeError(f"{type(kernel).__name__} is not a kernel kind") from None
        tensors = cls(floats_in(kernel))
        write(tensors, kernel)
        return tensors

    def peak(self, *, with_input: bool = True) -> int:
        """Largest number of floats that must be kept at once while the kernel runs.

        While an operator runs these are its output and all that it or a later one reads. Nothing is
        written over in place.

        Args:
            with_input: Whether the kernel's input is among them.
        """
        last = {number: at for at, step in enumerate(self.steps) for number in step.reads}
        floats = [self.floats_in * with_input, *(step.writes for step in self.steps)]
        kept, most = {0}, floats[0]
        for at in range(len(self.steps)):
            kept.add(at + 1)
            most = max(most, sum(floats[number] for number in kept))
            kept = {number for number in kept if last.get(number, -1) > at}
        return most

    def step(self, *reads: int, writes: int) -> int:
        """Append an operator; the number of its output."""
        self.steps.append(Step(reads, writes))
        return len(self.steps)

    def weighted(
        self, x: int, weights: int, outputs: int, writes: int, role: Role = "dense"
    ) -> int:
        """Append a convolution or linear layer with a number of weights and of channels that it
        gives, each of which has a bias."""
        self.layer(weights, outputs, role)
        return self.step(x, writes=writes)

    def layer(self, weights: int, outputs: int, role: Role = "dense", sharing: int = 1) -> None:
        """Append the constants that so many equal convolutions or linear layers share."""
        self.constants += [
            Constant(weights, role, outputs, sharing),
            Constant(outputs, "bias", outputs, sharing),
        ]

    def copied(self, x: int) -> int:
        """Append an operator whose output is as large as its input `x`."""
        return self.step(x, writes=self.steps[x - 1].writes if x else self.floats_in)


def _first_conv(t: KernelTensors, kernel: FirstConv) -> None:
    x = _padded(t, 0, kernel.size, kernel.cin, 3, 2)
    out = kernel.out_size**2 * kernel.cout
    t.copied(t.weighted(x, 9 * kernel.cin * kernel.cout, kernel.cout, out, "image"))


def _mbconv(t: KernelTensors, kernel: MBConv) -> None:
    area = kernel.out_size**2
    found = strips(kernel)
    y = _whole(t, kernel) if len(found) == 1 else _strips(t, kernel, found)
    x = 0
    if kernel.stride == 2:
        if kernel.size % 2:
            x = t.step(x, writes=(kernel.size + 2) ** 2 * kernel.cin)
        x = t.step(x, writes=area * kernel.cin)
    if kernel.cin != kernel.cout:
        x = t.weighted(x, kernel.cin * kernel.cout, kernel.cout, area * kernel.cout)
    t.step(y, x, writes=area * kernel.cout)


def _whole(t: KernelTensors, kernel: MBConv) -> int:
    inner, area, y = kernel.inner, kernel.out_size**2, 0
    if kernel.expansion > 1:
        writes = kernel.size**2 * inner
        y = t.copied(t.weighted(0, kernel.cin * inner, inner, writes))
    y = _padded(t, y, kernel.size, inner, kernel.kernel, kernel.stride)
    y = t.copied(t.weighted(y, kernel.kernel**2 * inner, inner, area * inner, "depthwise"))
    if kernel.se:
        squeezed = inner // SE_RATIO
        gate = t.step(y, writes=inner)
        gate = t.weighted(gate, inner * squeezed, squeezed, squeezed)
        gate = t.weighted(gate, squeezed * inner, inner, inner)
        y = t.step(y, gate, writes=area * inner)
    return t.weighted(y, inner * kernel.cout, kernel.cout, area * kernel.cout)


def _strips(t: KernelTensors, kernel: MBConv, found: Sequence[Strip]) -> int:
    """The strips share their weights."""
    cin, inner, cout, size = kernel.cin, kernel.inner, kernel.cout, kernel.size
    t.layer(cin * inner, inner, sharing=len(found))
    t.layer(kernel.kernel**2 * inner, inner, "depthwise", sharing=len(found))
    t.layer(inner * cout, cout, sharing=len(found))
    parts = []
    for strip in found:
        y = t.step(0, writes=strip.rows * size * cin)
        y = t.copied(t.step(y, writes=strip.rows * size * inner))
        y = _padded_rows(t, y, kernel, strip)
        out = strip.out_rows * kernel.out_size
        y = t.copied(t.step(y, writes=out * inner))
        parts.append(t.step(y, writes=out * cout))
    return t.step(*parts, writes=kernel.out_size**2 * cout)


def _downsample(t: KernelTensors, kernel: Downsample) -> None:
    _mbconv(t, kernel.as_mbconv)
    t.reshapes += 1  # the map becomes tokens; tokens that come in become a map


def _attention(t: KernelTensors, kernel: Attention) -> None:
    n, width, heads = kernel.size**2, kernel.width, kernel.heads
    keys, values = heads * QK_DIM, heads * kernel.v_dim
    normed = _layer_norm(t, n, width)
    q = t.copied(t.weighted(normed, width * keys, keys, n * keys))
    k = t.weighted(normed, width * keys, keys, n * keys)
    v = t.weighted(normed, width * values, values, n * values)
    v = t.copied(t.weighted(v, 9 * values, values, n * values, "depthwise"))
    scores = t.step(q, t.copied(k), writes=heads * n * n)
    t.constants.append(Constant(heads * n * n))
    attended = t.step(t.copied(t.copied(scores)), v, writes=n * values)
    y = t.copied(t.copied(attended))
    t.reshapes += 5
    t.step(0, t.weighted(y, values * width, width, n * width), writes=n * width)


def _ffn(t: KernelTensors, kernel: FFN) -> None:
    n, width, inner = kernel.size**2, kernel.width, kernel.inner
    y = t.weighted(_layer_norm(t, n, width), width * inner, inner, n * inner)
    y = t.weighted(t.copied(y), inner * width, width, n * width)
    t.step(0, y, writes=n * width)


def _head(t: KernelTensors, kernel: Head) -> None:
    inner, n = kernel.inner, kernel.size**2
    y = t.copied(t.weighted(0, kernel.width * inner, inner, n * inner))
    y = t.step(y, writes=inner)
    y = t.copied(t.weighted(y, inner * kernel.hidden, kernel.hidden, kernel.hidden))
    t.weighted(y, kernel.hidden * kernel.classes, kernel.classes, kernel.classes)


def _layer_norm(t: KernelTensors, n: int, width: int) -> int:
    centred = t.step(0, t.step(0, writes=n), writes=n * width)
    variance = t.step(t.copied(centred), writes=n)
    t.constants.append(Constant(1))  # what is added to the variance
    t.reshapes += 1
    return t.step(centred, t.copied(t.copied(variance)), writes=n * width)


def _padded_rows(t: KernelTensors, x: int, kernel: MBConv, strip: Strip) -> int:
    side, stride, margin = kernel.kernel, kernel.stride, kernel.kernel // 2
    columns = same_padding(kernel.size, side, stride) == (margin, margin)
    if columns and same_padding(strip.rows, side, stride) == (strip.above, strip.below):
        return x
    high, wide = strip.above + strip.rows + strip.below, kernel.size + 2 * margin
    return t.step(x, writes=high * wide * kernel.inner)


def _padded(t: KernelTensors, x: int, size: int, channels: int, side: int, stride: int) -> int:
    """Zeros around a map where the padding of the runtime would be uneven."""
    margin = side // 2
    if same_padding(size, side, stride) == (margin, margin):
        return x
    return t.step(x, writes=(size + 2 * margin) ** 2 * channels)


def _map(kernel: Any) -> int:
    return int(kernel.size**2 * kernel.cin)


def _tokens(kernel: Any) -> int:
    return int(kernel.size**2 * kernel.width)


_KINDS: Mapping[type[Kernel], tuple[Callable[[Any], int], Callable[[KernelTensors, Any], None]]] = {
    FirstConv: (_map, _first_conv),
    MBConv: (_map, _mbconv),
    Downsample: (_map, _downsample),
    Attention: (_tokens, _attention),
    FFN: (_tokens, _ffn),
    Head: (_tokens, _head),
}
