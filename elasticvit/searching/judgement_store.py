"""What was judged, kept for later searches: which images an architecture classifies right.

One SQLite file a workspace. A judgement belongs to a context, which names the weights, the data set
and how its images were chosen; in another context it is not found. It holds the first images of the
context's order, a thousand of which take 125 bytes, and is only ever replaced by one of more
images. Everything that is added at once is a transaction: a process that is killed loses what it
was adding, and nothing else. When the file is full, the contexts that were used longest ago go.
"""

from __future__ import annotations

import errno
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import Arch
from elasticvit.errors import CheckpointError, EvitError
from elasticvit.files import file_error, make_folder
from elasticvit.searching.judge import BoolArray
from elasticvit.searching.judgement_tables import ADD, GET, NUMBER, USE, make_room, make_tables

STORE_FILE = "judgements.sqlite"
BUSY_S = 30.0
MAGIC = b"SQLite format 3\x00"
# parts of SQLite's messages about the file system
FULL = "disk is full"
REFUSED = (FULL, "disk I/O error", "readonly database", "unable to open")
BUSY = "is locked"


class JudgementStore:
    """The file, made when something is added.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, context: str) -> Judgements:
        """The judgements of a context.

        Args:
            context: Text that names the weights and how the images were chosen.

        Raises:
            CheckpointError: The file is damaged, or a later version wrote it.
        """
        if self._there():
            with self._open():
                pass
        return Judgements(self, context)

    def get(self, context: str, archs: Sequence[Arch]) -> list[BoolArray]:
        """Which images each architecture classifies right, as many of the first ones as are known;
        empty where nothing is.

        Raises:
            CheckpointError: The file, or the judgement of one of them, is damaged; or a later
                version wrote it.
        """
        if not self._there():
            return [np.zeros(0, dtype=bool) for _ in archs]
        with self._open() as database:
            rows = [database.execute(GET, (context, _genes(arch))).fetchone() for arch in archs]
        return [self._bits(context, *pair) for pair in zip(archs, rows, strict=True)]

    def add(self, context: str, archs: Sequence[Arch], correct: Sequence[BoolArray]) -> None:
        """Keep judgements, all or none, except those of which more images are known.

        Args:
            correct: Which of the first images each architecture classifies right.

        Raises:
            CheckpointError: The file is damaged, or a later version wrote it.
            FileError: It cannot be written; what it held stays.
        """
        make_folder(self.path.parent)
        self._there()
        with self._open() as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(USE, (context,))
            (number,) = database.execute(NUMBER, (context,)).fetchone()
            for arch, bits in zip(archs, correct, strict=True):
                packed = np.packbits(bits).tobytes()
                row = (number, _genes(arch), len(bits), packed)
                database.execute(ADD, (*row, _checksum(context, *row[1:])))
            make_room(database, number)

    def _bits(self, context: str, arch: Arch, row: tuple[Any, ...] | None) -> BoolArray:
        if row is None:
            return np.zeros(0, dtype=bool)
        images, packed, checksum = row
        fits = isinstance(images, int) and isinstance(packed, bytes)
        if not fits or checksum != _checksum(context, _genes(arch), images, packed):
            raise self._damaged(f"the judgement of {arch} is not what was written")
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))[:images]
        return bits.astype(bool)

    def _there(self) -> bool:
        """Whether there is anything in the file.

        Raises:
            CheckpointError: It is no SQLite file.
        """
        try:
            if not self.path.exists():
                return False
            with self.path.open("rb") as file:
                head = file.read(len(MAGIC))
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error
        if head and head != MAGIC:
            raise self._damaged("it is no SQLite file")
        return bool(head)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as database:
                make_tables(database, self.path)
                yield database
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> EvitError:
        said = str(error)
        if any(words in said for words in REFUSED):
            number = errno.ENOSPC if FULL in said else errno.EACCES
            return file_error(self.path, OSError(number, said))
        if BUSY in said:
            return CheckpointError(
                f"{self.path} is in use by another process; wait for it, or stop it"
            )
        return self._damaged(said)

    def _damaged(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} is not a file of judgements, or is damaged ({why}); move it away: its "
            "architectures are judged anew then, and nothing else is lost"
        )


class Judgements:
    """The judgements of one context.

    Args:
        store: The store.
        context: Text that names the weights and how the images were chosen.
    """

    def __init__(self, store: JudgementStore, context: str) -> None:
        self.store, self.context = store, context

    def get(self, archs: Sequence[Arch]) -> list[BoolArray]:
        """Which images each architecture classifies right, as many as are known; raises as
        `JudgementStore.get` does."""
        return self.store.get(self.context, archs)

    def add(self, archs: Sequence[Arch], correct: Sequence[BoolArray]) -> None:
        """Keep judgements; raises as `JudgementStore.add` does."""
        self.store.add(self.context, archs, correct)


def _genes(arch: Arch) -> bytes:
    return np.asarray(arch.genes, dtype="<i2").tobytes()


def _checksum(context: str, genes: bytes, images: int, packed: bytes) -> int:
    return zlib.crc32(packed, zlib.crc32(f"{context} {images} ".encode() + genes))
