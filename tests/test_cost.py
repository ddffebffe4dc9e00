"""Kernels, the lowering and multiply-accumulates."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import space_and_arch, space_and_batch

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost, StageTables, space_kernels
from elasticvit.errors import ArchError
from elasticvit.kernels import KINDS, Kernel, lower, walk
from elasticvit.published import from_authors
from elasticvit.space import MOBILE, TINY

OFFICIAL = json.loads((Path(__file__).parent / "reference" / "official_archs.json").read_text())


@pytest.mark.parametrize("name", list(OFFICIAL))
def test_macs_equal_the_authors_in_every_digit(name: str) -> None:
    arch = from_authors(OFFICIAL[name]["arch"])
    assert MacsCost(MOBILE).price(ArchBatch.of([arch]))[0] == OFFICIAL[name]["mmacs"]


def test_the_spaces_ends_are_the_papers() -> None:
    ends = ArchBatch.of([MOBILE.smallest, MOBILE.largest])
    assert MacsCost(MOBILE).price(ends).tolist() == [37.365024, 3191.458816]


@settings(max_examples=30, deadline=None)
@given(space_and_batch)
def test_tables_equal_the_sum_over_lowered_kernels(case) -> None:
    space, batch = case
    prices = MacsCost(space).price(batch)
    assert prices.tolist() == [sum(k.macs for k in lower(a, space.layout)) / 1e6 for a in batch]


@settings(max_examples=30, deadline=None)
@given(space_and_arch)
def test_lowering_is_a_chain(case) -> None:
    space, arch = case
    places = list(walk(arch, space.layout))
    assert len({place for place, _ in places}) == len(places)
    chain = [kernel for _, kernel in places]
    assert tuple(chain) == lower(arch, space.layout)
    for before, after in itertools.pairwise(chain):
        assert after.size == before.out_size
        width_out = getattr(before, "cout", None) or before.dims["width"]
        assert (after.dims.get("cin") or after.dims["width"]) == width_out
    kinds = [kernel.kind for kernel in chain]
    assert kinds.count("attention") == kinds.count("ffn") == sum(a.depth for a in arch.attn)
    assert kinds.count("downsample") == len(arch.attn)


@settings(max_examples=20, deadline=None)
@given(space_and_arch)
def test_a_space_lists_every_kernel_it_can_need(case) -> None:
    space, arch = case
    assert set(lower(arch, space.layout)) <= set(space_kernels(space))


@given(space_and_arch)
def test_keys_read_back(case) -> None:
    space, arch = case
    for kernel in lower(arch, space.layout):
        assert Kernel.from_key(kernel.key) == kernel


@pytest.mark.parametrize("key", ["", "pool size=8", "ffn size=8", "ffn size=x width=1 mlp_ratio=2"])
def test_what_is_not_a_key_is_refused(key: str) -> None:
    with pytest.raises(ArchError, match=r"is not a kernel; kinds are first_conv"):
        Kernel.from_key(key or " x")


def test_all_kinds_occur() -> None:
    assert (
        {k.kind for k in space_kernels(TINY)}
        == set(KINDS)
        == {k.kind for k in space_kernels(MOBILE)}
    )


def test_a_value_outside_the_space_is_named() -> None:
    batch = TINY.sample(100, np.random.default_rng(0))
    batch.genes[57, TINY.names.index("attn1.mlp_ratio")] = 7
    with pytest.raises(ArchError, match=r"attn1.mlp_ratio is 7; space tiny offers 2, 3, 4"):
        MacsCost(TINY).price(batch)
    with pytest.raises(ArchError, match="space tiny has"):
        MacsCost(TINY).price(MOBILE.sample(1, np.random.default_rng(0)))


def test_an_empty_batch_costs_nothing() -> None:
    assert MacsCost(TINY).price(TINY.sample(0, np.random.default_rng(0))).shape == (0,)


def test_chunks_do_not_show() -> None:
    batch = TINY.sample(150_000, np.random.default_rng(1))
    tables = StageTables(TINY, lambda kernels: np.arange(len(kernels), dtype=float))
    whole = tables.sum(batch)
    rows = np.array([0, 65_535, 65_536, 131_072, 149_999])
    assert (tables.sum(batch.take(rows)) == whole[rows]).all()


def test_the_number_of_stages_must_fit() -> None:
    arch = TINY.smallest
    with pytest.raises(ArchError, match="2 convolutional and 2 transformer"):
        lower(arch, MOBILE.layout)
