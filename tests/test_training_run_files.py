"""run.json, result.json and log.csv: every damage is one message, or changes nothing."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from training_small import MICRO, config, run_info, sampler, trainer

from elasticvit.errors import CheckpointError
from elasticvit.flows.train_result import RESULT_FILE, SubnetAccuracy, TrainResult
from elasticvit.training.log import COLUMNS, LOG_TABLE, TrainingLog
from elasticvit.training.loop import run_training
from elasticvit.training.run_info import LOG_FILE, RUN_FILE, RunInfo
from elasticvit.training.step import StepLosses
from elasticvit.training.stopwatch import StepTimes

BAD = (None, True, -1, 2**100, 1.5, "", "<b>\n", [], {}, [[1]], {"a": 1}, float("nan"))


def result(folder: Path) -> TrainResult:
    arch = MICRO.smallest
    return TrainResult(
        folder=folder,
        space="micro",
        data="digits",
        seed=0,
        epochs=3,
        subnets=(SubnetAccuracy(name="smallest", arch=arch, macs_m=2.4, accuracy=96.3),),
        images=216,
        expected_s=3.5,
        took_s=4.0,
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all parts of a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def damaged(document: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Copies of a document with one part removed or replaced, each with the path of the part."""
    for path in places(document):
        for value in ("removed", *BAD):
            copy = deepcopy(document)
            parent = copy
            for key in path[:-1]:
                parent = parent[key]
            if value == "removed":
                del parent[path[-1]]
            else:
                parent[path[-1]] = value
            yield path, copy


@pytest.mark.parametrize(
    ("name", "save", "load"),
    [
        (RUN_FILE, lambda folder: run_info(config()).save(folder), RunInfo.load),
        (RESULT_FILE, lambda folder: result(folder).save(), TrainResult.load),
    ],
)
def test_a_damaged_file_is_refused_or_reads_as_a_value_that_can_be(
    tmp_path: Path, name: str, save: Callable[[Path], None], load: Callable[[Path], Any]
) -> None:
    save(tmp_path)
    path = tmp_path / name
    document, refused = json.loads(path.read_text()), 0
    for place, changed in damaged(document):
        path.write_text(json.dumps(changed))
        try:
            found = load(tmp_path)
        except CheckpointError as error:
            refused += 1
            text = str(error)
            assert str(path) in text, (place, text)
            assert "\n" not in text, (place, text)
            assert "remove it" in text or "fresh training" in text or "update" in text, text
        else:  # written again, it is as it was read
            again = json.loads(json.dumps(found.to_dict()))
            assert _known(again, changed), (place, changed, again)
    assert refused > 5 * len(list(places(document)))


def _known(again: Any, changed: Any) -> bool:
    """Whether what was read equals what stood there, apart from parts that are not read."""
    if isinstance(again, dict):
        return isinstance(changed, dict) and all(
            _known(value, changed[key])
            for key, value in again.items()
            if key in changed and key not in ("run", "command", "schema")
        )
    if isinstance(again, list):
        return len(again) == len(changed) and all(map(_known, again, changed))
    return bool(again == changed)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "[" * 100_000, "\xff\xfe"])
@pytest.mark.parametrize(
    ("name", "load"), [(RUN_FILE, RunInfo.load), (RESULT_FILE, TrainResult.load)]
)
def test_what_is_no_such_file_is_refused(
    tmp_path: Path, name: str, load: Callable[[Path], Any], text: str
) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=name):
        load(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(CheckpointError, match=rf"{name} (is no file|cannot be read)"):
        load(tmp_path)


def test_a_field_of_a_later_version_is_left_out(tmp_path: Path) -> None:
    info = run_info(config())
    plain = info.to_dict()
    plain["more"] = plain["settings"]["more"] = 5
    (tmp_path / RUN_FILE).write_text(json.dumps(plain))
    assert RunInfo.load(tmp_path) == info


def test_run_and_result_are_read_without_torch(tmp_path: Path) -> None:
    run_info(config()).save(tmp_path)
    result(tmp_path).save()
    code = (
        "import sys; from pathlib import Path\n"
        "from elasticvit.flows.train_result import TrainResult\n"
        "from elasticvit.training.run_info import RunInfo\n"
        "run = Path(sys.argv[1]); RunInfo.load(run); TrainResult.load(run)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 0


LOSSES = StepLosses(level=0, sampled=2.3, smallest=0.1, accuracy=12.5)


def logged(run: Path, steps: int) -> Path:
    log = TrainingLog(run, sampler().levels, 0)
    for step in range(1, steps + 1):
        log.add(step, 0, 1e-3, LOSSES)
    return run / LOG_FILE


def test_rows_behind_the_checkpoint_and_half_a_row_are_dropped(tmp_path: Path) -> None:
    path = logged(tmp_path, 5)
    whole = path.read_text().splitlines()
    path.write_text(path.read_text() + "6,0,0.0")
    TrainingLog(tmp_path, sampler().levels, 3)
    assert path.read_text().splitlines() == whole[:4]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("3,0,0.001", "3,0", "line 4 has 18 values"),
        ("3,0,0.001", "x,0,0.001", r"rows\[2\]\.step is 'x'"),
        ("3,0,0.001", "-3,0,0.001", "step is -3"),
        ("3,0,0.001", "3,0,nan", "lr is nan"),
        ("12.500", "inf", "accuracy_pct is inf"),
        ("12.500", "120", "accuracy_pct is 120"),
        ("step,epoch", "steps,epoch", "does not begin with the columns step, epoch"),
        ("3,0,0.001", "3,0,\udcff", "not a table of comma-separated values"),
    ],
)
def test_a_damaged_log_is_refused(tmp_path: Path, before: str, after: str, words: str) -> None:
    path = logged(tmp_path, 5)
    text = path.read_text().replace(before, after, 1)
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=rf"log\.csv.*{words}.*remove it"):
        TrainingLog(tmp_path, sampler().levels, 5)
    assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_a_log_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path = logged(tmp_path, 3)
    old = [",".join(line.split(",")[:8]) for line in path.read_text().splitlines()]
    path.write_text("\n".join(old) + "\n")
    rows = LOG_TABLE.read(path)
    assert [row.step for row in rows] == [1, 2, 3]
    assert {(row.seconds, row.bank) for row in rows} == {(None, None)}
    log = TrainingLog(tmp_path, sampler().levels, 2, batch_size=64)
    times = StepTimes(data_s=0.5, compute_s=1.0, update_s=0.5, judging_s=7.0)
    log.add(3, 0, 1e-3, LOSSES, times, sampler().draw())
    header, *lines = path.read_text().splitlines()
    assert header == ",".join(COLUMNS)
    assert [line[: len(before)] for line, before in zip(lines, old[1:], strict=True)] == old[1:]
    last = LOG_TABLE.read(path)[-1]
    assert (last.seconds, last.images_per_s, last.judging_s) == (2.0, 32.0, 7.0)
    assert (last.uniform, last.preference, last.bank) == (3, 0, 0)


def test_a_training_refuses_a_damaged_log_before_its_first_step(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text(",".join(COLUMNS) + "\nx" + (len(COLUMNS) - 1) * "," + "\n")
    with pytest.raises(CheckpointError, match="step is 'x'"):
        run_training(trainer(), tmp_path)
