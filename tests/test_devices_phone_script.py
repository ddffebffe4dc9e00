from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.phone.facts import sections
from devices.phone.script import KEPT_OUTPUT, ScriptSpec, group_script, read_results
from devices.phone.state import celsius

TOKEN = "@evit-00ff "
line = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=60)


def stream(outputs: list[str], *, upto: int | None = None) -> bytes:
    parts = []
    for index, output in enumerate(outputs):
        parts += [
            f"\n{TOKEN}before {index} t,41000,39500 f,1803000,2253000\n",
            output,
            f"\n{TOKEN}after {index} t,43000, f,\n",
            f"{TOKEN}end {index} {index}\n",
        ]
    return "".join([*parts, f"{TOKEN}done\n"]).encode()[:upto]


@given(st.lists(st.lists(line, max_size=5), max_size=4), st.lists(st.integers(1, 200)))
def test_results_do_not_depend_on_how_the_link_cuts_the_output(outputs, sizes):
    texts = ["\n".join(lines) for lines in outputs]
    data = stream(texts)
    chunks, start = [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    results = list(read_results([*chunks, data[start:]], TOKEN))
    assert [r.index for r in results] == list(range(len(texts)))
    assert [r.code for r in results] == list(range(len(texts)))
    for result, text in zip(results, texts, strict=True):
        assert result.output == text
        assert result.before.temperature_c == 41.0
        assert result.before.frequency_mhz == pytest.approx(2028.0)
        assert (result.after.temperature_c, result.after.frequency_mhz) == (43.0, None)


@given(st.integers(0, 400))
def test_an_output_that_ends_early_gives_only_whole_results(upto):
    whole = list(read_results([stream(["one", "two", "three"])], TOKEN))
    partial = list(read_results([stream(["one", "two", "three"], upto=upto)], TOKEN))
    assert partial == whole[: len(partial)]


def test_a_flood_keeps_its_end_only():
    flood = "\n".join(f"line {i}" for i in range(200_000))
    (result,) = read_results([stream([flood])], TOKEN)
    assert result.output.endswith("line 199999")
    assert len(result.output) < 2 * KEPT_OUTPUT


def test_failures_are_described():
    texts = {
        0: None,
        1: "exit code 1",
        127: "lost its exit code",
        137: "no answer in time",
        139: "signal 11",
    }
    for code, said in texts.items():
        data = f"{TOKEN}before 0 t f\nlast words\n{TOKEN}after 0 t f\n{TOKEN}end 0 {code}\n"
        (result,) = read_results([data.encode()], TOKEN)
        if said is None:
            assert result.failure is None
        else:
            assert said in result.failure
            assert "last words" in result.failure


def test_the_script_runs_in_a_plain_shell(tmp_path):
    """The script itself, by this computer's sh: what it prints is what is read."""
    runner = tmp_path / "a runner"
    runner.write_text('#!/bin/sh\necho "args: $*"; echo oops >&2; printf "no newline"; exit 5\n')
    runner.chmod(0o755)
    model = tmp_path / "model"
    model.write_bytes(b"x")
    zone = tmp_path / "zone"
    zone.mkdir()
    (zone / "temp").write_text("45500\n")
    spec = ScriptSpec(
        runner=str(runner),
        arguments=["--num_runs=3", "--odd=a b"],
        mask=None,
        cores=(4000,),
        zones=(str(zone), str(tmp_path / "absent")),
        timeout_s=5,
        token=TOKEN,
    )
    text = group_script(spec, [str(model), str(tmp_path / "not there"), str(model)])
    done = subprocess.run(["sh", "-c", text], capture_output=True)
    first, missing, last = read_results([done.stdout], TOKEN)
    assert missing.output is None
    assert (first.index, missing.index, last.index) == (0, 1, 2)
    assert first.code == last.code == 5
    assert f"args: --num_runs=3 --odd=a b --graph={model}" in first.output
    assert "oops" in first.output
    assert "no newline" in first.output
    assert first.before.temperature_c == 45.5
    assert first.before.frequency_mhz is None


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("41000", 41.0), ("41", 41.0), ("-40000", None), ("", None), ("x", None), ("999999", None)],
)
def test_sensors_tell_thousandths_or_degrees(text, degrees):
    assert celsius(text) == degrees


def test_sections_are_cut_at_the_markers():
    told = sections("noise\n@evit@ a b\n1\n2\n@evit@ c\n@evit@ d\n\n3\n")
    assert told == {"a b": "1\n2", "c": "", "d": "3"}
