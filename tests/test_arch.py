"""Architectures: values, JSON, the authors' form, batches."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from strategies import space_and_arch, space_and_batch

from elasticvit.arch import Arch, ArchBatch, AttnStage, ConvStage
from elasticvit.errors import ArchError
from elasticvit.published import PUBLISHED, from_authors, published, to_authors
from elasticvit.space import MOBILE

OFFICIAL = json.loads((Path(__file__).parent / "reference" / "official_archs.json").read_text())


@given(space_and_arch)
def test_every_form_reads_back(case) -> None:
    space, arch = case
    assert Arch.from_json(arch.to_json()) == arch
    assert Arch.from_genes(arch.genes, space.layout.n_conv) == arch
    assert from_authors(to_authors(arch), space.layout.n_conv) == arch
    assert ArchBatch.of([arch])[0] == arch
    assert hash(pickle.loads(pickle.dumps(arch))) == hash(arch)


@given(space_and_batch)
def test_a_batch_is_its_architectures(case) -> None:
    _, batch = case
    archs = list(batch)
    assert len(archs) == len(batch)
    assert (ArchBatch.of(archs).genes == batch.genes).all()
    assert sorted(set(archs)) == list(batch.unique())
    assert [a.resolution for a in archs] == list(batch.column("resolution"))
    assert list(batch.take(np.array([0, 0])).concat(batch))[2:] == archs


@pytest.mark.parametrize("name", [n for n in OFFICIAL if n in PUBLISHED])
def test_published_architectures_are_the_authors(name: str) -> None:
    assert from_authors(OFFICIAL[name]["arch"]) == PUBLISHED[name] == published(name.lower()[8:])


def test_all_nine_published_lie_in_the_mobile_space() -> None:
    assert len(PUBLISHED) == 9
    assert MOBILE.valid(ArchBatch.of(list(PUBLISHED.values()))).all()


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ArchError, match=r"elastic_X9.*elastic_T1.*elastic_L3"):
        published("elastic_X9")


def authors_form() -> list:
    return json.loads(json.dumps(OFFICIAL["elastic_S1"]["arch"]))


@pytest.mark.parametrize(
    ("field", "entry", "value", "message"),
    [
        (3, 2, 4, "stage conv1 has blocks with expansion"),
        (4, 5, 5, "stage conv2 has blocks with kernel"),
        (5, 1, 3, "stage attn1 has blocks with MLP ratio"),
        (6, 7, 16, "stage attn4 has blocks with heads"),
        (9, 2, 3, "stage attn2 has blocks with V scale"),
    ],
)
def test_blocks_of_a_stage_share_their_genes(field, entry, value, message) -> None:
    form = authors_form()
    form[field][entry] = value
    with pytest.raises(ArchError, match=message):
        from_authors(form)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (6, [4, 4, 6, 6, 11, 11, 17, 17], "attn3 has heads 11; this space has 12"),
        (7, [1, 1, 1, 1, 1, 1, 7, 7], "attn4 has window 7"),
        (8, [1] * 7, "7 qk scales for 8 transformer blocks"),
        (2, [1, 3, 3], "7 widths and 3 depths"),
    ],
)
def test_a_malformed_authors_form_is_refused(field, value, message) -> None:
    form = authors_form()
    form[field] = value
    with pytest.raises(ArchError, match=message):
        from_authors(form)


@pytest.mark.parametrize("form", [[], [1] * 10, [128, [16]], "nonsense", None])
def test_what_is_not_the_form_at_all_is_refused(form) -> None:
    with pytest.raises(ArchError):
        from_authors(form)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "architecture is not an architecture: Expecting"),
        ("[]", "architecture is .*; an architecture has schema 1"),
        ('{"schema": 99}', "schema 99, written by a later version"),
        ('{"schema": 1, "resolution": 128}', "stem is missing"),
        ('{"schema": 1, "resolution": NaN}', "is not an architecture"),
    ],
)
def test_unreadable_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        Arch.from_json(text)


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, 2**15])
def test_genes_are_positive_integers(value) -> None:
    with pytest.raises(ArchError, match=r"attn1.mlp_ratio is"):
        Arch(128, ConvStage(16, 1, 1, 3), (), (AttnStage(48, 1, value, 2),))


def test_forms_do_not_mix_in_a_batch() -> None:
    other = Arch(32, ConvStage(16, 1, 1, 3), (), ())
    with pytest.raises(ArchError, match="different forms"):
        ArchBatch.of([MOBILE.smallest, other])
