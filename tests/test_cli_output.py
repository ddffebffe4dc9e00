"""What commands print: quiet and verbose, text with brackets, phases, and a sign of life."""

import io
import json
import math
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from elasticvit.cli import heartbeat
from elasticvit.cli.activity import Activity
from elasticvit.cli.heartbeat import Heartbeat
from elasticvit.cli.output import Stream
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration, elapsed, file_size
from elasticvit.events import Notice, Phase


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0023, "2.3 ms"),
        (0.1, "0.1 s"),
        (0.996, "1.0 s"),
        (9.96, "10 s"),
        (34.4, "34 s"),
        (140, "2 min"),
        (3 * 3600, "3.0 h"),
        (1e9, "11574.1 days"),
        (math.inf, "an unknown time"),
        (-1, "0 ms"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 90 * 60 - 11))
def test_a_running_clock_moves_between_two_signs_of_life(seconds: float) -> None:
    assert elapsed(seconds) != elapsed(seconds + 10)
    for number, text in ((34, "34 s"), (725.9, "12 min 05 s"), (3.5 * 3600, "3.5 h")):
        assert elapsed(number) == text


def test_counts_and_sizes_are_for_people() -> None:
    assert [counted(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
    assert [counted(n, "class") for n in (1, 3)] == ["1 class", "3 classes"]
    sizes = [file_size(n) for n in (12, 2_080_000, 31e6, 9.13e9)]
    assert sizes == ["12 bytes", "2.08 MB", "31 MB", "9.13 GB"]


def spoken(report: Report) -> None:
    with report:
        report.show(Phase(text="measuring [bold]"))
        report.show(Notice(text="[usb] is :smile: as it is"))
        report.show(Notice(text="[red]beware[/red]", warning=True))
        report.place("a/b")
        report.close({"a": 1}, "evit-train")


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    spoken(Report(False))
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "measuring [bold]",
        "[usb] is :smile: as it is",
        "written to a/b",
        "next: evit-train",
    ]
    assert err == "warning: [red]beware[/red]\n"


def test_quiet_prints_warnings_and_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    spoken(Report(False, quiet=True))
    assert capsys.readouterr() == ("a/b\n", "warning: [red]beware[/red]\n")


def test_json_is_the_only_line_of_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        spoken(Report(True, quiet=quiet))
        out, err = capsys.readouterr()
        assert json.loads(out) == {"a": 1}
        assert ("written to a/b" in err) is not quiet
        assert "beware" in err


def test_verbose_tells_how_long_a_phase_took(capsys: pytest.CaptureFixture[str]) -> None:
    spoken(Report(False, verbose=True))
    assert "measuring [bold]: took " in capsys.readouterr().out


def test_characters_that_an_encoding_lacks_are_spelt_out() -> None:
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("caf\u00e9 \udcff")
    stream.flush()
    assert raw.getvalue() == b"caf\\xe9 \\udcff"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_silence_is_broken_and_speech_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.2)
    out = io.StringIO()
    stream = Stream(out)
    console = Console(file=stream, width=120)  # type: ignore[arg-type]
    with Activity(console, stream, shown=True, verbose=False) as activity:
        activity.phase("fitting the predictor")
        wait_for(lambda: "still fitting" in out.getvalue())
        activity.progress("training", 3, 10, "steps", "2 min left")
        wait_for(lambda: "still training" in out.getvalue())
    first, second, *_, last = out.getvalue().splitlines()
    assert first == "fitting the predictor"
    assert second.startswith("still fitting the predictor, ")
    assert last.startswith("still training, ")
    assert last.endswith(": 3 of 10 steps, 2 min left")


def test_a_command_that_speaks_gets_no_sign_of_life() -> None:
    lines: list[str] = []
    stream = Stream(io.StringIO())
    with Heartbeat(stream, lambda: "still here", lines.append, every_s=2.0):
        for _ in range(25):
            time.sleep(0.1)
            stream.write("a line\n")
    assert lines == []
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())


def test_a_quiet_command_gives_no_sign_of_life(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.05)
    with Report(False, quiet=True) as report:
        report.activity.phase("fitting")
        time.sleep(0.2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_live_line_that_leaves_nothing_behind() -> None:
    out = io.StringIO()
    stream = Stream(out)
    console = Console(file=stream, force_terminal=True, width=100)  # type: ignore[arg-type]
    with Activity(console, stream, shown=True, verbose=False) as activity:
        activity.phase("fitting [usb]")
        activity.progress("measuring on host", 3, 10, "timings", "1 min left")
        activity.progress("measuring on pixel6", 1, 10, "timings")
        wait_for(lambda: "measuring on pixel6" in out.getvalue())
    shown = out.getvalue()
    assert "3 of 10 timings" in shown
    assert "measuring on pixel6" in shown
    assert "still" not in shown
    assert sys.stdout is not stream
