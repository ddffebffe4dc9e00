"""Names of where a search may find architectures to begin with, and of checkpoints."""

STARTS = ("bank", "published", "searches")
USUAL = ("bank", "published")  # earlier searches would make the next one depend on them
CHECKPOINTS = ("latest", "best")
