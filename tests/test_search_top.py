"""The best architectures of each goal: ranked, written and printed."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elasticvit.arch import Arch
from elasticvit.cost import MacsCost
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal
from elasticvit.searching.halving import Ranking
from elasticvit.searching.top import rank_top, top_subnet_file, write_top
from elasticvit.searching.verified import Choice, Verified
from elasticvit.space import TINY

COST = MacsCost(TINY)
ARCHS = TINY.sample(9, np.random.default_rng(0)).unique()
GOAL = Goal((Cap(cost=COST, target=500.0),))
RANKING = Ranking(
    archs=ARCHS,
    accuracy=np.linspace(90, 70, len(ARCHS)),
    error=np.full(len(ARCHS), 1.5),
    images=np.full(len(ARCHS), 400),
    load=GOAL.loads(ARCHS),
)
CHOICE = Choice(RANKING, Verified(row=0, goal=GOAL))


def test_the_best_are_the_first_finalists() -> None:
    rows = rank_top(TINY, [CHOICE, CHOICE], 3)
    assert [(row.goal, row.rank) for row in rows] == [(g, r) for g in (1, 2) for r in (1, 2, 3)]
    assert [row.arch for row in rows[:3]] == list(ARCHS)[:3]
    assert [row.accuracy for row in rows[:3]] == RANKING.accuracy[:3].tolist()
    assert {(row.error, row.images) for row in rows} == {(1.5, 400)}
    assert [row.macs_m for row in rows[:3]] == COST.price(ARCHS)[:3].tolist()
    assert rows[0].caps[0].predicted == rows[0].macs_m


def test_there_may_be_fewer_than_asked_for() -> None:
    assert len(rank_top(TINY, [CHOICE], 64)) == len(ARCHS)


def test_what_missed_a_cap_as_measured_is_left_out() -> None:
    verified = replace(CHOICE.verified, row=2, passed=frozenset({0, 1, 4}))
    rows = rank_top(TINY, [Choice(RANKING, verified)], 4)
    assert [row.arch for row in rows] == [ARCHS[i] for i in (2, 3, 5, 6)]


def test_scores_have_no_error_and_no_images() -> None:
    archive = Archive(
        archs=ARCHS,
        accuracy=RANKING.accuracy,
        load=RANKING.load,
        born=np.zeros(len(ARCHS), dtype=np.int64),
        complete=True,
    )
    rows = rank_top(TINY, [Choice(archive, CHOICE.verified)], 2)
    assert {(row.error, row.images) for row in rows} == {(0.0, 0)}


def test_the_table_reads_as_it_was_written(tmp_path: Path) -> None:
    rows = rank_top(TINY, [CHOICE], 3)
    path = write_top(tmp_path, rows)
    assert path.name == "top.csv"
    read = list(csv.DictReader(path.open()))
    assert [Arch.parse(row["architecture"]) for row in read] == [row.arch for row in rows]
    for text, row in zip(read, rows, strict=True):
        assert (int(text["goal"]), int(text["rank"])) == (row.goal, row.rank)
        assert float(text["accuracy"]) == pytest.approx(row.accuracy)
        assert float(text["standard_error"]) == row.error
        assert int(text["images"]) == 400
        assert float(text["macs_m"]) == pytest.approx(row.macs_m)
        assert float(text["predicted_mmacs"]) == pytest.approx(row.macs_m, rel=1e-5)
        assert text["upper_mmacs"] == ""


def test_subnets_of_each_goal_and_rank_have_files_of_their_own() -> None:
    names = {top_subnet_file(row) for row in rank_top(TINY, [CHOICE, CHOICE], 3)}
    assert len(names) == 6
    assert not names & {"subnet.pt", "subnet-2.pt"}
