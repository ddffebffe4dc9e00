"""What was judged, kept for later searches: which images an architecture classifies right.

One SQLite file a workspace. A judgement belongs to a context, which names the weights, the data set
and how its images were chosen; in another context it is not found. A thousand images take 125
bytes.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from elasticvit.arch import Arch
from elasticvit.errors import CheckpointError
from elasticvit.files import file_error, make_folder
from elasticvit.searching.judge import BoolArray

STORE_FILE = "judgements.sqlite"
BUSY_S = 30.0
TABLE = (
    "CREATE TABLE IF NOT EXISTS judgements (context TEXT NOT NULL, genes BLOB NOT NULL, "
    "images INTEGER NOT NULL, correct BLOB NOT NULL, PRIMARY KEY (context, genes)) WITHOUT ROWID"
)
ADD = (
    "INSERT INTO judgements VALUES (?, ?, ?, ?) ON CONFLICT (context, genes) DO UPDATE SET "
    "images = excluded.images, correct = excluded.correct WHERE excluded.images > images"
)
GET = "SELECT images, correct FROM judgements WHERE context = ? AND genes = ?"
NO_SPACE = ("disk is full", "disk I/O error", "readonly database", "unable to open")


class JudgementStore:
    """The file, made when something is added.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, context: str) -> Judgements:
        """The judgements of a context."""
        return Judgements(self, context)

    def get(self, context: str, arch: Arch) -> BoolArray:
        """Which images an architecture classifies right, as many as are known.

        Raises:
            CheckpointError: The file is damaged.
        """
        if not self.path.exists():
            return np.zeros(0, dtype=bool)
        with self._open() as database:
            found = database.execute(GET, (context, _genes(arch))).fetchone()
        if found is None:
            return np.zeros(0, dtype=bool)
        images, packed = found
        fits = isinstance(images, int) and isinstance(packed, bytes)
        if not fits or len(packed) != -(-images // 8):
            raise self._damaged(f"a judgement of {images} images does not fit its bytes")
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))[:images]
        return bits.astype(bool)

    def add(self, context: str, arch: Arch, correct: BoolArray) -> None:
        """Keep a judgement, unless one with more images is there.

        Raises:
            CheckpointError: The file is damaged.
            FileError: It cannot be written.
        """
        make_folder(self.path.parent)
        row = (context, _genes(arch), len(correct), np.packbits(correct).tobytes())
        with self._open() as database, database:
            database.execute(TABLE)
            database.execute(ADD, row)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as database:
                yield database
        except sqlite3.OperationalError as error:
            if not any(words in str(error) for words in NO_SPACE):
                raise self._damaged(str(error)) from error
            full = "full" in str(error)
            cause = OSError(errno.ENOSPC if full else errno.EACCES, str(error))
            raise file_error(self.path, cause) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} is not a file of judgements, or is damaged ({why}); move it away: its "
            "architectures are judged anew then, and nothing else is lost"
        )


class Judgements:
    """The judgements of one context.

    Args:
        store: The store.
        context: Text that names weights and images.
    """

    def __init__(self, store: JudgementStore, context: str) -> None:
        self.store, self.context = store, context

    def get(self, arch: Arch) -> BoolArray:
        """Which images an architecture classifies right, as many as are known; raises as
        `JudgementStore.get` does."""
        return self.store.get(self.context, arch)

    def add(self, arch: Arch, correct: BoolArray) -> None:
        """Keep a judgement; raises as `JudgementStore.add` does."""
        self.store.add(self.context, arch, correct)


def _genes(arch: Arch) -> bytes:
    return np.asarray(arch.genes, dtype="<i2").tobytes()
