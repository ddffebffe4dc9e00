"""Search spaces: sampling, mutation, crossover, checks, TOML."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import seeds, space_and_arch, spaces

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import ArchError, SpaceError
from elasticvit.space import MOBILE, PHOTO, TINY, SearchSpace, find_space
from elasticvit.training.levels import levels_for


@given(spaces, seeds)
def test_samples_mutants_and_children_stay_in_the_space(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = space.sample(64, rng), space.sample(64, rng)
    for batch in (a, space.mutate(a, rng, 0.5), space.crossover(a, b, rng)):
        assert space.valid(batch).all()


@given(space_and_arch, seeds)
def test_a_lower_bound_is_kept(case, seed: int) -> None:
    space, floor = case
    batch = space.sample(32, np.random.default_rng(seed), at_least=floor)
    assert space.valid(batch).all()
    assert (batch.genes >= np.array(floor.genes)).all()


def test_every_choice_is_drawn() -> None:
    genes = MOBILE.sample(20_000, np.random.default_rng(0)).genes
    for column, options in enumerate(MOBILE.choices):
        assert set(np.unique(genes[:, column])) == set(options)


def test_a_gene_is_uniform_over_its_choices() -> None:
    column = MOBILE.sample(60_000, np.random.default_rng(1)).column("resolution")
    _, counts = np.unique(column, return_counts=True)
    assert np.abs(counts / 10_000 - 1).max() < 0.05  # standard deviation 0.009


def test_no_mutation_and_full_mutation() -> None:
    rng = np.random.default_rng(2)
    batch = TINY.sample(500, rng)
    assert (TINY.mutate(batch, rng, 0.0).genes == batch.genes).all()
    assert (TINY.mutate(batch, rng, 1.0).genes != batch.genes).mean() > 0.4


def test_children_take_their_genes_from_their_parents() -> None:
    rng = np.random.default_rng(3)
    a, b = MOBILE.sample(500, rng), MOBILE.sample(500, rng)
    child = MOBILE.crossover(a, b, rng)
    free = [i for i, n in enumerate(MOBILE.names) if not n.endswith("width")]
    from_a, from_b = child.genes == a.genes, child.genes == b.genes
    assert (from_a | from_b)[:, free].all()
    assert (
        0.45 < from_a[:, free][~from_b[:, free]].size / (a.genes != b.genes)[:, free].sum() < 0.55
    )


def test_the_mobile_space_has_the_papers_size() -> None:
    assert 1e16 < MOBILE.size() < 1e17


def test_the_photo_space_is_a_cut_of_mobile_between_tiny_and_mobile() -> None:
    assert PHOTO.layout == MOBILE.layout
    assert all(
        set(own) <= set(theirs)
        for own, theirs in zip(PHOTO.choices[1:], MOBILE.choices[1:], strict=True)
    )
    space = PHOTO.with_classes(10)
    cost = MacsCost(space)
    least, most = cost.price(ArchBatch.of([space.smallest, space.largest]))
    median = np.median(cost.price(space.sample(20_000, np.random.default_rng(0))))
    assert (round(least), round(median), round(most)) == (10, 73, 293)
    assert 1e13 < space.size() < 1e14
    levels = levels_for(space, cost, np.random.default_rng(0))
    assert levels.values == (18.0, 27.0, 41.0, 62.0, 94.0, 140.0)
    assert all(
        s <= 0.6 * v
        for s, v in zip(cost.price(ArchBatch.of(list(levels.smallest))), levels.values, strict=True)
    )


def test_size_counts_every_architecture_once() -> None:
    choices = [c[:2] if i < 16 else c[:1] for i, c in enumerate(TINY.choices)]
    small = replace(TINY, name="small", choices=tuple(choices))
    drawn = small.sample(400_000, np.random.default_rng(4)).unique()
    assert len(drawn) == small.size()


def test_a_seed_gives_the_same_sample_in_another_process() -> None:
    code = (
        "import numpy as np; from elasticvit.space import MOBILE; "
        "print(MOBILE.sample(50, np.random.default_rng(5)).genes.sum(axis=0).tolist())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = MOBILE.sample(50, np.random.default_rng(5)).genes.sum(axis=0).tolist()
    assert out.stdout.strip() == str(here)


@settings(max_examples=20)
@given(space_and_arch)
def test_check_agrees_with_valid(case) -> None:
    space, arch = case
    assert space.check(arch) is arch
    falling = replace(arch, stem=replace(arch.stem, width=30000))
    assert not space.valid(ArchBatch.of([falling]))[0]
    with pytest.raises(ArchError, match=r"stem.width is 30000"):
        space.check(falling)


def test_falling_widths_are_named() -> None:
    arch = replace(
        MOBILE.smallest,
        conv=(replace(MOBILE.smallest.conv[0], width=32),) * 1 + MOBILE.smallest.conv[1:],
    )
    with pytest.raises(ArchError, match=r"conv2.width is 16, narrower than conv1.width = 32"):
        MOBILE.check(arch)


@given(spaces)
def test_toml_reads_back(space: SearchSpace) -> None:
    assert SearchSpace.from_toml(space.to_toml()) == space


def test_a_space_file_is_found_by_its_path(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(replace(TINY, name="mine").to_toml())
    assert find_space(str(path)) == replace(TINY, name="mine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"conv1.depth" = [1, 2, 3]',
            '"conv1.depth" = [3, 2]',
            r"conv1.depth are \[3, 2\].*rising",
        ),
        ('"conv1.depth" = [1, 2, 3]', '"conv1.depth" = []', "at least one"),
        (
            '"conv1.depth" = [1, 2, 3]',
            '"conv9.depth" = [1]',
            "missing: conv1.depth; unknown: 'conv9",
        ),
        ("48, 64, 80]", "48, 50]", "multiples of the head dimension 16"),
        ("[24, 32, 40]", "[8]", "must not fall"),
        ('"conv2.kernel" = [3, 5]', '"conv2.kernel" = [7]', "3 and 5 exist"),
        ('name = "tiny"', "name = ", "is not a search space"),
        ('name = "tiny"', 'name = "../x"', "name of a search space is '../x'"),
        ('name = "tiny"', "name = 5", "name is 5; expected a text"),
        ("[24, 32, 40]", "[24, 16.5]", r"conv2.width.* is 16.5; expected a whole number"),
        ("[24, 32, 40]", "[true, 32]", r"conv2.width.* is True; expected a whole number"),
        ("[24, 32, 40]", "[24, 40000]", "whole numbers from 1 to 8,192"),
        ("head_hidden = 256", "head_hidden = -1", "head_hidden is -1; it must be"),
        ("head_hidden = 256", "head_hiden = 256", "layout.head_hiden is unknown"),
        ("conv_strides = [2, 1]", "conv_strides = [2, 9]", r"conv_strides is \[2, 9\]"),
        ("conv_se = [false, true]", "conv_se = [false]", r"conv_se is \[False\]"),
        ("classes = 10", "classes = nan", "layout.classes is nan; it must be finite"),
    ],
)
def test_a_contradictory_space_is_refused(tmp_path, old: str, new: str, message: str) -> None:
    text = TINY.to_toml()
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(SpaceError, match=message):
        find_space(str(path))


def test_an_unknown_space_lists_the_presets() -> None:
    with pytest.raises(SpaceError, match=r"'huge'; known are mobile, tiny"):
        find_space("huge")
    with pytest.raises(SpaceError, match=r"there is no no/such.toml"):
        find_space("no/such.toml")
