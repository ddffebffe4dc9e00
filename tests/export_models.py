"""Networks and small kernels that the export tests share."""

import torch
from hypothesis import strategies as st

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.kernels import FFN, Attention, Downsample, FirstConv, Head, Kernel, MBConv
from elasticvit.nn import Subnet
from elasticvit.searching.result import SUBNET_FILE, SearchResult
from elasticvit.searching.winner import CapResult
from elasticvit.space import TINY
from elasticvit.testing.export_format import randomised
from elasticvit.workspace import Workspace

__all__ = ["SEARCHED", "example", "finished_search", "kernels", "randomised"]

SEARCHED = TINY.smallest


def finished_search(workspace: Workspace) -> Workspace:
    """The workspace with a search that chose `SEARCHED`, with random weights, for the fake."""
    workspace.remember(space=TINY, data="digits")
    folder = workspace.new_folder("search")
    subnet = randomised(Subnet(SEARCHED, TINY.layout))
    assert isinstance(subnet, Subnet)
    subnet.save(folder / SUBNET_FILE)
    cap = CapResult(
        device="fake", source="fake:fake", unit="ms", target=2.0, predicted=1.5, upper=1.6
    )
    SearchResult(
        space="tiny",
        data="digits",
        classes=10,
        arch=SEARCHED,
        predicted_ms=1.5,
        upper_ms=1.6,
        macs_m=float(MacsCost(TINY).price(ArchBatch.of([SEARCHED]))[0]),
        accuracy=10.0,
        test_accuracy=10.0,
        search_images=100,
        test_images=360,
        front=(),
        caps=(cap,),
        run="a run",
        seed=0,
        evaluations=1,
        complete=True,
    ).save(folder)
    workspace.set_latest("search", folder)
    return workspace


def example(kernel: Kernel, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Random input of a kernel's block: a map (B, C, H, W) or tokens (B, N, C)."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(kernel, (Attention, FFN, Head)):
        return torch.randn(batch, kernel.size**2, kernel.width, generator=generator)
    return torch.randn(batch, kernel.cin, kernel.size, kernel.size, generator=generator)


_sizes, _widths = st.integers(2, 9), st.integers(1, 40)
_heads, _ratios = st.integers(2, 6), st.integers(1, 5)
_in_strips = st.builds(  # large enough to be exported in strips of rows
    MBConv,
    st.integers(56, 72),
    st.integers(15, 18),
    st.integers(15, 18),
    st.integers(5, 8),
    st.sampled_from((3, 5)),
    st.sampled_from((1, 2)),
    st.just(0),
)
kernels = st.one_of(
    _in_strips,
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
