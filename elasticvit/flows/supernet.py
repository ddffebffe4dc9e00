"""A trained supernet by name: one that comes with the package, a file, or a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elasticvit.nn.supernet import Supernet


def load_supernet(name: str | Path) -> Supernet:
    """A trained supernet, on the CPU in evaluation mode.

    Batch norm has to be recalibrated for each subnet that is cut out of it
    (`elasticvit.nn.judging.recalibrate`), on images normalised as in its training.

    Args:
        name: Name of a supernet that comes with the package (`elasticvit.nn.shipped` has the list
            and their cards), such as `tiny-cifar10`; a file that `save_supernet` wrote; or the
            folder of a training run.

    Raises:
        CheckpointError: There is no such supernet, or it is damaged.
    """
    if Path(name).is_dir():
        from elasticvit.training import checkpoint

        return checkpoint.load_supernet(Path(name))
    from elasticvit.nn.shipped import read_supernet

    return read_supernet(name)


def is_authors(name: Path | str) -> bool:
    """Whether a name is that of a file which is no supernet of this project, and so may be the
    authors' checkpoint."""
    from elasticvit.nn.shipped import names_supernet

    return Path(name).is_file() and not names_supernet(name)
