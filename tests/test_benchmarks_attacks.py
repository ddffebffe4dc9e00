"""The mutations that attacks and tests are made of, and the verdicts on attacks."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from mutations import MISSING, byte_mutations, mutations, sample, value_at, without

DOCUMENT = {"a": {"b": [1, 2.5, "x"]}, "c": True, "d": []}
MESSAGE = "error: run.json: seed is 'x'; expected a whole number; start a fresh training\n"


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("attacks.judging")


def verdict(judging: ModuleType, allowed: tuple[str, ...] = ("refused",), **outcome: object) -> str:
    attack = judging.Attack(
        kind="runs", name="x", argv=("evit-train",), names=("run.json", "seed"), allowed=allowed
    )
    found, _ = judging.judge(attack, judging.Outcome(**outcome), {"arch": "r16", "took_s": 3})
    return found


def test_each_mutation_changes_the_value_that_it_names_and_nothing_else() -> None:
    before = json.dumps(DOCUMENT)
    count = 0
    for mutation in mutations(DOCUMENT):
        count += 1
        damaged = mutation.document
        if mutation.path and mutation.name in (MISSING, "unknown field"):
            changed = damaged if mutation.name == MISSING else without(damaged, mutation.path)
            assert changed != DOCUMENT if mutation.name == MISSING else changed == DOCUMENT
        else:
            value = value_at(damaged, mutation.path)
            assert value == mutation.value or value != value
            assert repr(value) != repr(value_at(DOCUMENT, mutation.path)), mutation
        assert json.dumps(DOCUMENT) == before
    assert count > 50
    fields = {mutation.field for mutation in mutations(DOCUMENT)}
    assert {"", "a", "a.b", "a.b[0]", "a.b[2]", "c", "d", "a.no_such_field"} <= fields


def test_mutated_bytes_differ_and_samples_repeat() -> None:
    data = json.dumps(DOCUMENT).encode()
    assert all(changed != data for _, changed in byte_mutations(data))
    assert list(byte_mutations(data)) == list(byte_mutations(data))
    chosen = sample(range(100), 10, seed=3)
    assert chosen == sample(range(100), 10, seed=3) == sorted(chosen)
    assert len(set(chosen)) == 10


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"code": 2, "stderr": MESSAGE}, "refused"),
        ({"code": 2, "stderr": MESSAGE.replace("seed", "it")}, "unclear"),
        ({"code": 2, "stderr": MESSAGE.split(";")[0]}, "unclear"),
        ({"code": 2, "stderr": MESSAGE + MESSAGE}, "unclear"),
        ({"code": 2, "stderr": MESSAGE + "set weights_only=False\n"}, "unclear"),
        ({"code": 2, "stderr": MESSAGE, "partial": ["a.json is empty"]}, "harmed"),
        ({"code": 2, "stderr": MESSAGE, "before": {"a": "1"}, "after": {"a": "2"}}, "harmed"),
        ({"code": 1, "stderr": "Traceback (most recent call last):\nE: x"}, "traceback"),
        ({"code": 1, "stderr": "error: E: x\nthis is a fault of elasticvit"}, "exit1"),
        ({"code": -11}, "traceback"),
        ({"code": 0, "stdout": '{"arch": "r16"}'}, "silent"),
        ({"unbounded": "it held 9,000 MB"}, "unbounded"),
        ({"trouble": "LookupError: x"}, "not_made"),
        ({"skipped": "no mounts"}, "skipped"),
    ],
)
def test_verdicts(judging: ModuleType, outcome: dict, expected: str) -> None:
    assert verdict(judging, **outcome) == expected


def test_an_equal_result_may_differ_in_times_alone(judging: ModuleType) -> None:
    may = ("refused", "equal")
    same = '{"arch": "r16", "took_s": 99}'
    assert verdict(judging, may, code=0, stdout=f"plan\n{same}\n") == "equal"
    assert verdict(judging, may, code=0, stdout='{"arch": "r24", "took_s": 3}') == "silent"
    assert verdict(judging, may, code=0, stdout="no JSON") == "silent"
    assert verdict(judging, ("ok",), code=0, stdout="no JSON") == "ok"
