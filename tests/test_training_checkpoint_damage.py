"""A damaged `checkpoint.pt`, as the first versions wrote it, is refused with its file and field,
and never gone on with."""

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_forms import Plain, plain_of, put_first_version
from hypothesis import given, settings
from hypothesis import strategies as st
from training_small import sampler, trainer

from elasticvit.errors import CheckpointError
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.run_info import CHECKPOINT_FILE, RUN_FILE

WEIGHT = "blocks.head_0_block.classifier.weight"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("run")
    job = trainer()
    job.info.save(folder)
    for batch in (next(job.loader.batches(0)),) * 2:
        losses = job.step_at(batch, job.sampler.draw()).losses()
        job.step += 1
        job.watch.look(job.step, losses)
    job.save(folder)
    put_first_version(folder, plain_of(folder))
    return folder


@pytest.fixture(scope="module")
def plain(run: Path) -> Plain:
    """What its checkpoint holds."""
    data: Plain = torch.load(run / CHECKPOINT_FILE, weights_only=True)
    data["sampler"]["kept"] = list(data["sampler"]["kept"])
    return data


def copied(run: Path, folder: Path, data: object) -> Path:
    """The run with another checkpoint."""
    (folder / RUN_FILE).write_bytes((run / RUN_FILE).read_bytes())
    if isinstance(data, bytes):
        (folder / CHECKPOINT_FILE).write_bytes(data)
    else:
        torch.save(data, folder / CHECKPOINT_FILE)
    return folder


def refusal(folder: Path, use: Callable[[Path], object]) -> str:
    with pytest.raises(CheckpointError) as refused:
        use(folder)
    text = str(refused.value)
    assert str(folder / CHECKPOINT_FILE) in text or "the checkpoint" in text
    assert "fresh training" in text
    assert "weights_only" not in text
    assert "\n" not in text
    return text


def resume(folder: Path) -> None:
    trainer().resume(folder)


def test_what_is_whole_is_gone_on_with(run: Path, plain: Plain, tmp_path: Path) -> None:
    job = trainer()
    assert job.resume(copied(run, tmp_path, plain))
    assert job.step == 2
    assert all(torch.equal(v, plain["weights"][k]) for k, v in job.supernet.state_dict().items())
    assert job.sampler.state() == _walked().state()


def _walked() -> Any:
    twice = sampler()
    twice.draw()
    twice.draw()
    return twice


@pytest.mark.parametrize("value", ["missing", None, -5, "text", [1], {}, math.nan, torch.zeros(2)])
@pytest.mark.parametrize(
    "name", ["schema", "info", "step", "weights", "ema", "optimiser", "sampler", "trainer"]
)
def test_no_entry_can_be_lacking_or_of_another_type(
    run: Path, plain: Plain, tmp_path: Path, name: str, value: object
) -> None:
    changed = {**plain, name: value}
    if isinstance(value, str) and value == "missing":
        del changed[name]
    assert name in refusal(copied(run, tmp_path, changed), resume)


def set_at(data: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("step",), -5, "step is -5"),
        (("step",), 10**6, "step is 1000000; the run has 19 steps"),
        (("step",), "2", "step is '2'"),
        (("info", "seed"), 8, "its seed differs"),
        (("info", "space"), "nothing", "info: space"),
        (("info", "settings", "epochs"), -1, "epochs is -1"),
        (("weights", WEIGHT), torch.zeros(3, 3), "must be 10 x 64 of float32"),
        (("weights", WEIGHT), torch.zeros(10, 64, dtype=torch.int64), "of int64"),
        (("weights", WEIGHT), torch.full((10, 64), math.nan), "not finite"),
        (("weights", WEIGHT), torch.zeros(10, 64).to_sparse(), "another kind"),
        (("weights", WEIGHT), [0.0], "weights"),
        (("weights", "more"), torch.zeros(1), "'more' is unknown"),
        (("ema", WEIGHT), torch.full((10, 64), math.inf), "not finite"),
        (("optimiser", "state", 0), {}, "holds nothing"),
        (("optimiser", "state", 10**9), {"step": torch.tensor(1.0)}, "is of no parameter"),
        (("optimiser", "state", 0, "exp_avg"), torch.zeros(1), r"state[0].exp_avg is 1"),
        (("optimiser", "state", 0, "step"), torch.tensor(-1.0), "step is -1"),
        (("optimiser", "state", 0, "step"), torch.tensor(99.0), "step is 99"),
        (("optimiser", "param_groups", 0, "params"), [0], "their params differ"),
        (("optimiser", "param_groups"), [], "their params differ"),
        (("sampler", "level"), 99, "level 99"),
        (("sampler", "level"), -1, "level is -1"),
        (("sampler", "values"), [1.0], "complexity levels [1.0]"),
        (("sampler", "rng"), "{}", "sampler.rng"),
        (("sampler", "rng"), '{"bit_generator": "PCG64", "state": 5}', "sampler.rng"),
        (("sampler", "kept", 0), [[1, 2]], "architectures of another form"),
        (("sampler", "kept", 0), [[1] * 13], "outside the space"),
        (("sampler", "kept", 0), [[10**9] * 13], "kept"),
        (("trainer", "watch", "mean"), math.nan, "mean is nan"),
        (("trainer", "watch", "warned"), "no", "warned"),
        (("trainer", "torch_rng"), torch.zeros(3, dtype=torch.uint8), "torch_rng"),
        (("trainer", "torch_rng"), torch.zeros(5056), "torch_rng"),
    ],
)
def test_values_that_cannot_be_are_named(
    run: Path, plain: Plain, tmp_path: Path, path: tuple[Any, ...], value: Any, words: str
) -> None:
    data = deepcopy(plain)
    set_at(data, path, value)
    assert words in refusal(copied(run, tmp_path, data), resume)


def test_a_search_refuses_weights_that_are_not_finite(
    run: Path, plain: Plain, tmp_path: Path
) -> None:
    data = deepcopy(plain)
    data["ema"][WEIGHT][0, 0] = math.nan
    assert f"ema: {WEIGHT} holds" in refusal(copied(run, tmp_path, data), load_supernet)


def endless() -> list[Any]:
    """A small list that takes 2 to the power of 60 steps to walk through."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("make", [endless, circle])
def test_values_without_end_are_refused(
    run: Path, plain: Plain, tmp_path: Path, make: Callable[[], object]
) -> None:
    folder = copied(run, tmp_path, {**plain, "more": make()})
    assert "holds more than 2,000,000 values" in refusal(folder, load_supernet)


def repacked(raw: bytes, method: int, **extra: bytes) -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as before,
        zipfile.ZipFile(buffer, "w", method) as after,
    ):
        for entry in before.infolist():
            after.writestr(entry.filename, before.read(entry))
        for name, data in extra.items():
            after.writestr(name, data)
    return buffer.getvalue()


def test_an_archive_that_unpacks_to_more_than_the_file_is_refused(
    run: Path, tmp_path: Path
) -> None:
    raw = (run / CHECKPOINT_FILE).read_bytes()
    bomb = repacked(raw, zipfile.ZIP_DEFLATED, bomb=bytes(10**8))
    assert len(bomb) < 10**7
    assert "it is packed" in refusal(copied(run, tmp_path, bomb), load_supernet)


def damages(raw: bytes) -> Iterator[bytes]:
    yield b""
    yield b"garbage"
    yield raw[: len(raw) // 2]
    yield raw[: len(raw) - 1]
    yield raw[len(raw) // 2 :]
    yield raw.replace(b"classifier", b"klassifier")


def test_garbled_archives_are_refused(run: Path, tmp_path: Path) -> None:
    for raw in damages((run / CHECKPOINT_FILE).read_bytes()):
        refusal(copied(run, tmp_path, raw), load_supernet)


def test_a_folder_in_the_place_of_a_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_bytes((run / RUN_FILE).read_bytes())
    (tmp_path / CHECKPOINT_FILE).mkdir()
    assert "is not a file" in refusal(tmp_path, load_supernet)


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_is_refused_or_changes_nothing(
    run: Path, tmp_path_factory: pytest.TempPathFactory, place: float, byte: int
) -> None:
    raw = bytearray((run / CHECKPOINT_FILE).read_bytes())
    raw[int(place * len(raw))] = byte
    folder = copied(run, tmp_path_factory.mktemp("changed"), bytes(raw))
    expected = load_supernet(run).state_dict()
    try:
        found = load_supernet(folder).state_dict()
    except CheckpointError:
        refusal(folder, load_supernet)
    else:
        assert all(torch.equal(found[name], expected[name]) for name in expected)
