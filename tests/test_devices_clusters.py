from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.clusters import choose_cores, cores_mask, cores_text, find_clusters
from elasticvit.errors import DeviceError

PIXEL6 = find_clusters(
    {**dict.fromkeys(range(4), 1803000), 4: 2253000, 5: 2253000, 6: 2802000, 7: 2802000}
)
PRIME = find_clusters({0: 2900000, **dict.fromkeys((1, 2, 3), 2200000), 4: 1800000, 5: 1800000})
FLAT = find_clusters(dict.fromkeys(range(4), 0))


def test_clusters_are_ordered_by_speed():
    assert [c.cores for c in PIXEL6] == [(0, 1, 2, 3), (4, 5), (6, 7)]
    assert PIXEL6[-1].max_mhz == 2802.0


@pytest.mark.parametrize(
    ("cores", "threads", "expected"),
    [
        ("auto", 1, (7,)),
        ("auto", 2, (6, 7)),
        ("auto", 3, (5, 6, 7)),
        ("big", 1, (6, 7)),
        ("mid", 1, (4, 5)),
        ("little", 4, (0, 1, 2, 3)),
        ("f0", 1, (4, 5, 6, 7)),
        ("0x3", 1, (0, 1)),
        ("big", 2, (6, 7)),
        ("f0", 4, (4, 5, 6, 7)),
    ],
)
def test_choices(cores, threads, expected):
    assert choose_cores(PIXEL6, cores, threads) == expected


@given(st.integers(1, 8))
def test_auto_has_a_core_for_every_thread(threads):
    assert len(choose_cores(PIXEL6, "auto", threads)) == threads


def test_auto_avoids_busy_cores_while_there_are_others():
    assert choose_cores(FLAT, "auto", 1, avoid=(3,)) == (2,)
    assert choose_cores(FLAT, "auto", 4, avoid=(3,)) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("clusters", "cores", "threads", "said"),
    [
        (FLAT, "little", 1, "no little"),
        (FLAT, "mid", 1, "no mid"),
        (PIXEL6, "100", 1, "core 8"),
        (PIXEL6, "0", 1, "mask"),
        (PIXEL6, "xyz", 1, "'xyz'"),
        (PIXEL6, "auto", 9, "9 threads"),
        (PIXEL6, "auto", 0, "0 threads"),
        (PRIME, "big", 2, "2 threads on cores big, which are 0;.*at most 1 thread,.*cores auto"),
        (PIXEL6, "mid", 3, "3 threads on cores mid, which are 4-5;.*at most 2 threads,"),
        (PIXEL6, "c1", 4, "4 threads on cores c1, which are 0,6-7;.*mask of at least 4 cores"),
    ],
)
def test_refusals_name_the_value(clusters, cores, threads, said):
    with pytest.raises(DeviceError, match=said):
        choose_cores(clusters, cores, threads)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_mask_and_text_name_the_same_cores(chosen):
    cores = tuple(sorted(chosen))
    mask = int(cores_mask(cores), 16)
    assert {bit for bit in range(64) if mask >> bit & 1} == chosen
    spans = [part.split("-") for part in cores_text(cores).split(",")]
    assert {c for span in spans for c in range(int(span[0]), int(span[-1]) + 1)} == chosen
