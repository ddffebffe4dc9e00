"""Settings of the whole suite: hypothesis draws the same examples in every run, and a process
calculates on one thread."""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

# also of the programs that tests start. Tests fill the cores by running side by side; with two
# threads each, networks this small wait for each other more than they work: ten times the
# processor time. Set before a test module imports torch, which reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
