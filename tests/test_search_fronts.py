"""The front of a search over everything that is capped."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_search import SMALL, OddCost, everything, proxy

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.cost_memory import MemoryCost
from elasticvit.cost_parameters import ParameterCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.result import FRONT_FILE, SearchResult
from elasticvit.searching.score_job import ScoreJob
from elasticvit.searching.summary import front_of, summarise_archs
from elasticvit.searching.winner import CapResult

COSTS = (OddCost(SMALL), MacsCost(SMALL), ParameterCost(SMALL), MemoryCost(SMALL))
ARCHS = everything(SMALL)


@settings(max_examples=30, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(COSTS), min_size=1, max_size=3, unique_by=id),
    rows=st.lists(st.integers(0, len(ARCHS) - 1), min_size=1, max_size=40, unique=True),
)
def test_nothing_on_a_front_is_beaten_and_all_else_is(chosen: list, rows: list[int]) -> None:
    archs = ARCHS.take(np.array(rows))
    caps = [Cap(cost=cost, target=1e6) for cost in chosen]
    points = summarise_archs(SMALL, archs, proxy(archs), None, caps)
    front = front_of(points)
    figures = [(*point.costs, -point.accuracy) for point in points]

    def beaten(own: tuple[float, ...]) -> bool:
        return any(
            other != own and all(a <= b for a, b in zip(other, own, strict=True))
            for other in figures
        )

    kept = {p.arch for p, own in zip(points, figures, strict=True) if not beaten(own)}
    assert {point.arch for point in front} == kept
    first = [point.costs[0] for point in front]
    assert first == sorted(first)


def test_each_capped_cost_has_its_column_and_each_goal_its_mark(tmp_path: Path) -> None:
    caps = [
        [
            Cap(cost=COSTS[0], target=ms, device="odd"),
            Cap(cost=OddCost(SMALL, "latency on even"), target=9.0, device="my even-one"),
            Cap(cost=MacsCost(SMALL), target=5.0),
            Cap(cost=MemoryCost(SMALL), target=0.05),
        ]
        for ms in (4.0, 3.0)
    ]
    goals = Goals(tuple(Goal(tuple(own)) for own in caps))
    job = ScoreJob(SMALL, goals, proxy, source="proxy waves", latency=COSTS[0])
    result = job.run(tmp_path, EvolutionConfig.of(8, 3))
    assert SearchResult.load(tmp_path) == result
    with (tmp_path / FRONT_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-2:] == ["my_even_one_ms", "mb_of_activations"]
    assert "mmacs" not in rows[0]  # that is macs_m
    assert [row["architecture"] for row in rows] == [str(point.arch) for point in result.front]
    for row, point in zip(rows, result.front, strict=True):
        batch = ArchBatch.of([point.arch])
        assert float(row["mb_of_activations"]) == pytest.approx(COSTS[3].price(batch)[0], rel=1e-5)
        assert row["chosen"] == result.chosen_for(point.arch)
    loose, tight = result.winners
    assert result.chosen_for(tight.arch) == ("1 2" if tight.arch == loose.arch else "2")
    assert loose.accuracy >= tight.accuracy


@pytest.mark.parametrize(
    ("device", "unit", "column"),
    [
        ("pixel4", "ms", "pixel4_ms"),
        ("my.phone-2", "ms", "my_phone_2_ms"),
        (None, "MMACs", "mmacs"),
        (None, "MB of file", "mb_of_file"),
    ],
)
def test_columns_are_named_by_device_and_unit(device: str, unit: str, column: str) -> None:
    cap = CapResult(device=device, unit=unit, target=1.0, predicted=0.5, upper=None)
    assert cap.column == column
