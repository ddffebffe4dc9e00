"""`search.json`: written and read back, and refused when it is not whole."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import byte_mutations, mutations
from strategies import space_and_batch

from elasticvit.arch import Arch
from elasticvit.errors import CheckpointError, NextStep, TargetError
from elasticvit.searching.plan import make_plan
from elasticvit.searching.report import draw_front
from elasticvit.searching.result import FrontPoint, SearchResult
from elasticvit.searching.winner import CapResult

numbers = st.floats(0.001, 1e4)
percents = st.floats(0, 100)


@st.composite
def results(draw) -> SearchResult:
    space, batch = draw(space_and_batch)
    ms = draw(st.booleans())

    def maybe() -> float | None:
        return draw(numbers) if ms else None

    front = tuple(
        FrontPoint(
            arch=arch,
            predicted_ms=maybe(),
            upper_ms=maybe(),
            macs_m=draw(numbers),
            accuracy=draw(percents),
        )
        for arch in list(batch)[:5]
    )
    return SearchResult(
        space=space.name,
        data="digits",
        classes=10,
        arch=batch[0],
        predicted_ms=maybe(),
        upper_ms=maybe(),
        macs_m=draw(numbers),
        accuracy=draw(percents),
        test_accuracy=draw(percents),
        search_images=216,
        test_images=360,
        front=front,
        caps=(
            CapResult(
                device="host" if ms else None,
                source="host:some CPU" if ms else None,
                unit="ms" if ms else "MMACs",
                target=draw(numbers),
                predicted=draw(numbers),
                upper=maybe(),
            ),
        ),
        run="runs/1",
        seed=draw(st.integers(0, 9)),
        evaluations=100,
        complete=draw(st.booleans()),
        evolution={"population": 8},
    )


@given(result=results())
def test_a_result_is_read_back_as_it_was(result: SearchResult, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("search")
    result.save(folder)
    assert SearchResult.load(folder) == result


def _fixed() -> SearchResult:
    from elasticvit.space import TINY

    archs = list(TINY.sample(3, np.random.default_rng(0)))
    points = tuple(
        FrontPoint(
            arch=a, predicted_ms=1.0 + i, upper_ms=1.2 + i, macs_m=5.0 + i, accuracy=60.0 + 9 * i
        )
        for i, a in enumerate(archs)
    )
    return SearchResult(
        space="tiny",
        data="digits",
        classes=10,
        arch=archs[2],
        predicted_ms=3.0,
        upper_ms=3.2,
        macs_m=7.0,
        accuracy=78.0,
        test_accuracy=75.0,
        search_images=216,
        test_images=360,
        front=points,
        caps=(
            CapResult(
                device="host",
                source="host:some CPU",
                unit="ms",
                target=3.5,
                predicted=3.0,
                upper=3.2,
            ),
        ),
        run="runs/1",
        seed=0,
        evaluations=100,
        complete=True,
    )


def test_the_front_as_a_table(tmp_path: Path) -> None:
    result = _fixed()
    result.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "front.csv").open()))
    assert [float(r["predicted_ms"]) for r in rows] == [1.0, 2.0, 3.0]
    assert [r["chosen"] for r in rows] == ["0", "0", "1"]
    assert [Arch.parse(r["architecture"]) for r in rows] == [p.arch for p in result.front]


def test_an_architecture_is_there_for_programs_and_for_people(tmp_path: Path) -> None:
    result = _fixed()
    result.save(tmp_path)
    data = json.loads((tmp_path / "search.json").read_text())
    for entry, arch in zip(
        [data, *data["front"]], [result.arch, *(p.arch for p in result.front)], strict=True
    ):
        assert Arch.from_dict(entry["arch"]) == Arch.parse(entry["architecture"]) == arch


def test_what_repeats_the_first_cap_is_read_from_it() -> None:
    result = _fixed()
    assert (result.device, result.source) == ("host", "host:some CPU")
    assert (result.unit, result.target) == ("ms", 3.5)
    data = result.to_dict()
    assert [data[name] for name in ("device", "source", "unit", "target")] == [
        *("host", "host:some CPU", "ms", 3.5)
    ]


def test_a_result_of_the_first_schema_is_read(tmp_path: Path) -> None:
    """As version 0.1 wrote it: no text form, and the source beside the caps."""
    data = _fixed().to_dict() | {"schema": 1}
    for entry in (data, *data["front"]):
        del entry["architecture"]
    for cap in data["caps"]:
        del cap["source"]
    (tmp_path / "search.json").write_text(json.dumps(data))
    assert SearchResult.load(tmp_path) == _fixed()


def test_no_result_names_the_flow_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no .*search\.json, which") as caught:
        SearchResult.load(tmp_path)
    assert caught.value.next_step == NextStep("search")


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: None,
        lambda d: [d],
        lambda d: d | {"schema": 4},
        lambda d: d | {"accuracy": 101.0},
        lambda d: d | {"target": -1.0},
        lambda d: d | {"caps": [d["caps"][0] | {"target": -1.0}], "target": -1.0},
        lambda d: d | {"caps": []},
        lambda d: d | {"architecture": "r32 8x1e1k3 | 48x1m2v2"},
        lambda d: d | {"predicted_ms": float("nan")},
        lambda d: d | {"macs_m": "many"},
        lambda d: d | {"front": 3},
        lambda d: d | {"caps": [{k: v for k, v in d["caps"][0].items() if k != "source"}]},
        lambda d: d | {"caps": [d["caps"][0] | {"predicted": -1.0}]},
        lambda d: d | {"front": [d["front"][0] | {"architecture": None}, *d["front"][1:]]},
        lambda d: d | {"space": 5},
        lambda d: d | {"classes": "ten"},
        lambda d: d | {"classes": 0},
        lambda d: d | {"run": 5},
        lambda d: d | {"seed": -1},
        lambda d: d | {"complete": 1},
        lambda d: d | {"evolution": {"population": "many"}},
        lambda d: {k: v for k, v in d.items() if k != "arch"},
        lambda d: d | {"arch": d["arch"] | {"resolution": 0}},
    ],
)
def test_damaged_results_are_refused(tmp_path: Path, damage) -> None:
    _fixed().save(tmp_path)
    path = tmp_path / "search.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(CheckpointError, match=r"search\.json.*(again|update)"):
        SearchResult.load(tmp_path)


def read(folder: Path) -> SearchResult | str:
    """The result in a folder, or the message of its error."""
    try:
        return SearchResult.load(folder)
    except CheckpointError as error:
        return str(error)


def test_every_damage_is_refused_or_reads_as_a_result(tmp_path: Path) -> None:
    _fixed().save(tmp_path)
    path = tmp_path / "search.json"
    whole = path.read_bytes()
    optional = {"predicted_ms", "upper_ms", "upper", "evolution", "winners", "agreement", "costs"}
    optional |= {"accuracy_source", "runner_up", "confidence", "test_accuracy", "measured"}
    optional |= {"threads", "cores"}  # that nobody recorded, where they miss
    optional |= {"precision", "normalisation"}  # fp32, and that of the data set, where they miss
    refused = 0
    for mutation in mutations(json.loads(whole)):
        path.write_text(json.dumps(mutation.document))
        found = read(tmp_path)
        if isinstance(found, str):
            assert str(path) in found, mutation.name
            assert len(found.splitlines()) == 1
            refused += 1
            continue
        free = optional & set(mutation.path) or "schema" in mutation.path[1:]
        assert free or not mutation.broken, (mutation.name, mutation.field)
        found.save(tmp_path)
        assert read(tmp_path) == found
    assert refused > 400
    for name, damaged in byte_mutations(whole):
        path.write_bytes(damaged)
        found = read(tmp_path)
        assert isinstance(found, SearchResult) or str(path) in found, name


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_results_are_refused(tmp_path: Path, share: float) -> None:
    _fixed().save(tmp_path)
    path = tmp_path / "search.json"
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(CheckpointError, match="search again"):
        SearchResult.load(tmp_path)


def test_the_picture_shows_the_figures(tmp_path: Path) -> None:
    cost = np.linspace(0.8, 3.4, 40)
    draw_front(tmp_path, _fixed(), cost, 50 + 5 * np.sin(cost))
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "front.svg").read_text().count("<use") > 40


def test_a_plan_fits_its_budget() -> None:
    for budget_s in (30.0, 120.0, 3600.0):
        plan = make_plan(evaluation_s=0.2, finalist_s=0.5, test_s=1.0, budget_s=budget_s)
        assert plan.total_s() <= budget_s
        assert plan.config.evaluations * 0.2 > 0.2 * budget_s or plan.config.evaluations == 1030
        assert 4 <= plan.finalists <= 16
    tight = make_plan(evaluation_s=30.0, finalist_s=60.0, test_s=9.0, budget_s=60.0)
    assert tight.deadline_s == 0.0  # the end alone takes all of it: at least one call is made


def test_a_plan_keeps_the_sizes_that_are_named() -> None:
    times = {"evaluation_s": 0.2, "finalist_s": 0.5, "test_s": 1.0}
    both = make_plan(population=10, generations=7, budget_s=60.0, **times).config
    assert (both.population, both.generations, both.crossover) == (10, 7, 20)
    assert make_plan(population=10, budget_s=600.0, **times).config.population == 10
    assert make_plan(generations=7, budget_s=600.0, **times).config.generations == 7
    assert make_plan(evaluations=77, budget_s=60.0, **times).config.evaluations == 77
    usual = make_plan(**(times | {"evaluation_s": 0.001})).config
    assert usual.guided
    assert 200 < usual.evaluations <= 260
    several = make_plan(goals=4, **(times | {"evaluation_s": 0.001})).config
    assert 400 < several.evaluations <= 650
    rich = make_plan(budget_s=3600.0, **(times | {"evaluation_s": 0.001})).config
    assert 900 < rich.evaluations <= 1030
    assert make_plan(**(times | {"evaluation_s": 1.0})).config.evaluations >= 120
    for sizes in ({"population": 4096}, {"generations": 4096}):  # however much time there is
        large = make_plan(**sizes, budget_s=6e5, **(times | {"evaluation_s": 1e-3})).config
        assert 50_000 < large.evaluations <= 100_000
    with pytest.raises(TargetError, match="population 0"):
        make_plan(population=0, generations=1, **times)
