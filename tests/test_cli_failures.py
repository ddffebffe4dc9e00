"""How commands fail: what was foreseen, what was not, Ctrl-C, no memory, and no output."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from elasticvit.cli.app import EvitCommand, evit_command
from elasticvit.cli.report import Report
from elasticvit.errors import DataError, EvitError

FAILURES: dict[str, BaseException] = {
    "foreseen": DataError("image [usb].png is broken; remove it", settings=["batch_size"]),
    "bug": KeyError("weights"),
    "memory": MemoryError(),
    "torch-memory": RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes\nmore"),
    "deep": RecursionError("maximum recursion depth exceeded"),
    "ctrl-c": KeyboardInterrupt(),
    "endless": EvitError(f"no space {'x' * 5000}; name another"),
    "escape": EvitError("name \x1b[2J of\nthe device"),
}


def command(name: str) -> click.Command:
    @evit_command("evit-try", "Fail.", "nothing is kept")
    @click.option("--batch-size", default=32, help="Images in a step.")
    def main(report: Report, workspace: str | None, batch_size: int) -> None:
        report.activity.phase("trying")
        try:
            raise ValueError("the first cause")
        except ValueError as cause:
            raise FAILURES[name] from cause

    assert isinstance(main, EvitCommand)
    return main


def attempt(name: str, *options: str) -> Result:
    return CliRunner().invoke(command(name), list(options))


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_what_was_foreseen_is_one_message(traces: Path) -> None:
    failed = attempt("foreseen")
    assert failed.exit_code == 2
    assert failed.stderr == (
        "error: image [usb].png is broken; remove it\n  --batch-size: Images in a step.\n"
    )
    assert not list(traces.iterdir())
    assert "caused by ValueError: the first cause" in attempt("foreseen", "-v").stderr


@pytest.mark.parametrize("name", ["bug", "deep"])
def test_what_nobody_foresaw_is_three_lines_and_a_file(traces: Path, name: str) -> None:
    failed = attempt(name, "-q")
    assert failed.exit_code == 1
    what, where, report = failed.stderr.splitlines()
    assert what.startswith(f"error: {type(FAILURES[name]).__name__}: ")
    assert "report it to" in report
    (trace,) = traces.iterdir()
    assert where == f"the full trace is in {trace}"
    text = trace.read_text()
    for words in ("command: ", "doing: trying", "Python 3.", "torch ", "ValueError: the first"):
        assert words in text
    assert "Traceback" not in failed.output


def test_verbose_shows_the_trace_at_once(traces: Path) -> None:
    failed = attempt("bug", "-v")
    assert failed.exit_code == 1
    assert "Traceback (most recent call last)" in failed.stderr
    assert failed.stderr.splitlines()[-2].startswith("the full trace is in ")


def test_a_trace_that_cannot_be_written_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    failed = attempt("bug")
    assert failed.exit_code == 1
    assert "could not be written to a file: No such file" in failed.stderr
    assert "KeyError: 'weights'" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["memory", "torch-memory"])
def test_too_little_memory_names_what_to_lower(traces: Path, name: str) -> None:
    failed = attempt(name)
    assert failed.exit_code == 2
    first, *advice = failed.stderr.splitlines()
    assert first.startswith("error: not enough memory while trying: ")
    assert advice == ["  --batch-size: Images in a step."]
    assert not list(traces.iterdir())


def test_ctrl_c_says_what_is_true_of_the_command() -> None:
    failed = attempt("ctrl-c")
    assert failed.exit_code == 130
    assert failed.stderr == "interrupted; nothing is kept\n"


def test_a_message_does_not_steer_the_terminal() -> None:
    assert attempt("escape").stderr == "error: name \\x1b[2J of\nthe device\n"


def test_an_endless_value_does_not_hide_what_to_do() -> None:
    told = attempt("endless").stderr
    assert told.startswith("error: no space xxx")
    assert told.endswith("x; name another\n")
    assert len(told) < 1300


def test_verbose_and_quiet_exclude_each_other() -> None:
    failed = attempt("bug", "-v", "-q")
    assert failed.exit_code == 2
    assert "--verbose and --quiet exclude each other" in failed.stderr


SPEAKS = """
import sys
from elasticvit.cli.app import evit_command

@evit_command("evit-speak", "Speak.", "nothing is kept")
def main(report, workspace):
    for number in range(20_000):
        report.say(f"line {number}")
    report.close({"lines": number})

main()
"""


def speak(*options: str, stdout: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", SPEAKS, *options], stdout=stdout, stderr=subprocess.PIPE, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("options", [(), ("--help",)])
def test_a_reader_that_has_gone_ends_the_command_silently(options: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        code, err = speak(*options, stdout=writes)
    finally:
        os.close(writes)
    assert (code in (1, 141), err) == (True, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("options", [(), ("--json", "-q"), ("--help",)])
def test_output_to_a_full_disk_is_one_message(options: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        code, err = speak(*options, stdout=full.fileno())
    assert code == 2
    assert re.fullmatch(r"error: standard output cannot be written: No space left.*\n", err)


def test_a_closed_standard_output_does_no_harm() -> None:
    line = f"exec '{sys.executable}' -c '{SPEAKS}' >&-"
    done = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("library", ["numpy", "click", "elasticvit.workspace"])
def test_an_interruption_while_a_command_is_loaded_is_one_line(
    library: str, tmp_path: Path
) -> None:
    """Ctrl-C reaches the main thread in the middle of the import of a library."""
    code = (
        "import os, signal, sys\n"
        "class Slow:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {library!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from elasticvit.cli.search import main\n"
        "main([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing was begun\n")
