"""Spaces with some genes fixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elasticvit.errors import SpaceError
from elasticvit.kept_genes import keep_genes
from elasticvit.space import TINY

GENES = [
    (name, value)
    for name, options in zip(TINY.names, TINY.choices, strict=True)
    for value in options
]


@given(kept=st.lists(st.sampled_from(GENES), max_size=3))
def test_what_is_kept_is_kept_and_the_rest_lies_in_the_space(kept: list[tuple[str, int]]) -> None:
    wanted = dict(kept)
    widths = [wanted[f"{stage}.width"] for stage in TINY.stages if f"{stage}.width" in wanted]
    if widths != sorted(widths):
        with pytest.raises(SpaceError, match="widths never fall"):
            keep_genes(TINY, wanted)
        return
    part = keep_genes(TINY, wanted)
    rng = np.random.default_rng(0)
    drawn = part.sample(50, rng)
    drawn = drawn.concat(part.mutate(drawn, rng, 0.5), part.crossover(drawn, drawn, rng))
    assert TINY.valid(drawn).all()
    for name, value in wanted.items():
        assert (drawn.column(name) == value).all()
    assert part.size() <= TINY.size()


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({"colour": 3}, "names the gene 'colour'.*it has resolution, stem.width"),
        ({"resolution": 33}, "sets resolution to 33; space tiny offers 32, 40, 48, 64"),
        ({"attn1.width": 80, "attn2.width": 64}, "leaves no width for attn2.width"),
    ],
)
def test_what_cannot_be_kept_is_refused(kept: dict[str, int], words: str) -> None:
    with pytest.raises(SpaceError, match=words) as caught:
        keep_genes(TINY, kept)
    assert caught.value.settings == ("keep",)
