"""Settings of the whole suite: hypothesis draws the same examples in every run, a process
calculates on one thread, and Ctrl-C reaches the programs that tests start."""

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

# also of the programs that tests start. Tests fill the cores by running side by side; with two
# threads each, networks this small wait for each other more than they work: ten times the
# processor time. Set before a test module imports torch, which reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a shell starts its background jobs with Ctrl-C ignored, and they pass that on; with a handler of
# its own, pytest starts programs that answer to Ctrl-C, as a person's do
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_short_fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports load their file in one fresh process, for a moment; `test_export_fresh.py` tests the
    number of them."""
    monkeypatch.setattr("export.fresh_run.PROCESSES", 1)
    monkeypatch.setattr("export.fresh_run.STEADY_MS", 5.0)
