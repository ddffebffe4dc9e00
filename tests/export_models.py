"""Networks and small kernels that the export tests share."""

import torch
from hypothesis import strategies as st
from torch import nn

from elasticvit.kernels import FFN, Attention, Downsample, FirstConv, Head, Kernel, MBConv


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight and statistic random, in evaluation mode, at about unit activations.

    Fresh networks hold zeros and ones (biases, batch norms) that would hide a wrong fold.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: torch.Size) -> torch.Tensor:
        return torch.rand(shape, generator=generator) - 0.5

    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if value.dim() > 1:
                value.copy_(uniform(value.shape) * (12 / value[0].numel()) ** 0.5)
            elif name.endswith(("weight", "running_var")):
                value.copy_(1 + uniform(value.shape))
            else:
                value.copy_(uniform(value.shape))
    return network.eval()


def example(kernel: Kernel, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Random input of a kernel's block: a map (B, C, H, W) or tokens (B, N, C)."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(kernel, (Attention, FFN, Head)):
        return torch.randn(batch, kernel.size**2, kernel.width, generator=generator)
    return torch.randn(batch, kernel.cin, kernel.size, kernel.size, generator=generator)


_sizes, _widths = st.integers(2, 9), st.integers(1, 40)
_heads, _ratios = st.integers(2, 6), st.integers(1, 5)
kernels = st.one_of(
    st.builds(FirstConv, st.integers(2, 33), st.integers(1, 4), _widths),
    st.builds(
        MBConv,
        st.integers(2, 17),
        st.integers(4, 24),
        st.integers(4, 24),
        st.integers(1, 6),
        st.sampled_from((3, 5)),
        st.sampled_from((1, 2)),
        st.sampled_from((0, 1)),
    ),
    st.builds(Downsample, _sizes, _widths, _widths, st.sampled_from((1, 2))),
    st.builds(Attention, _sizes, _heads.map(lambda h: 16 * h), _ratios),
    st.builds(FFN, _sizes, _widths, _ratios),
    st.builds(Head, _sizes, _widths, _ratios, _widths, _widths),
)
