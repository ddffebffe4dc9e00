"""Files that are written whole or not at all, and what is said when they cannot be.

Every failure of the file system while something is written becomes one `FileError`, which names
the path, the cause and what to do next. What was complete before stays as it is.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elasticvit.errors import FileError

REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "get the permission to write there, or choose another folder",
    errno.EPERM: "get the permission to write there, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name or a shorter folder",
    errno.ENOTDIR: "a part of its path is a file; choose another folder",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "something of that name is in the way; move it away or choose another name",
    errno.EFBIG: "raise the limit on the size of files",
    errno.ELOOP: "its symbolic links form a circle; mend them",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


def file_error(path: Path | str, error: OSError) -> FileError:
    """The `FileError` that an `OSError` becomes when `path` cannot be written."""
    remedy = REMEDIES.get(error.errno or 0, "check the folder and the disk")
    reason = error.strerror or str(error)
    return FileError(f"{path} cannot be written: {reason}; {remedy}, then repeat this")


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn what the file system refuses while `path` is written into a `FileError`.

    Raises:
        FileError: The work inside raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise file_error(path, error) from error


def make_folder(path: Path) -> Path:
    """Make a folder and those around it, unless they are there.

    Raises:
        FileError: The folder cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file that takes the place of `path` when the work inside is done, so that readers see
    the old content or the new, never a part.

    Missing parent folders are made. What a killed process leaves has a name that begins with a
    dot.

    Raises:
        FileError: The file cannot be written; an old one stays as it was.
    """
    make_folder(path.parent)
    with writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Missing parent folders are made.

    Raises:
        FileError: The file cannot be written; an old one stays as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
