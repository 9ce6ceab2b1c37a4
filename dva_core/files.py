"""Files written without harm: whole or not at all, by one at a time, and only where there is room."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import DvaError

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_PAUSE = 0.01


@contextmanager
def whole_or_nothing(path: str | Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; it takes the place of `path` at the end, or goes if anything is raised.

    Folders on the way are made. The ending stays, because writers choose their format by it. Raises OSError.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield unfinished
        _share(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """DvaError when a file or folder could not be made there: to be told before hours of work and not after."""
    path = Path(path)
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise DvaError(f"{path} cannot be written: {nearest} is not a folder that you may write to.")


def check_not_there(path: str | Path, overwrite: bool) -> None:
    """DvaError when there is a file already that is not to be replaced without being asked for it."""
    if os.path.isfile(path) and not overwrite:
        raise DvaError(
            f"{path} is there already; give another name, or --overwrite (overwrite=True) to replace it."
        )


@contextmanager
def alone(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Only one thread of one process is inside for the same `path` at a time; a hidden lock file beside it sees to it.

    Folders on the way are made. Raises BlockingIOError when another is still inside after `patience` seconds; OSError
    when the lock file cannot be made. Where the file system knows no locks, all may go inside.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, deadline = path.with_name(f".{path.name}.lock"), time.monotonic() + patience
    while (file := _locked(lock)) is None:
        if time.monotonic() >= deadline:
            raise BlockingIOError(errno.EAGAIN, "another program is writing there", str(path))
        time.sleep(_PAUSE)
    with file:
        try:
            yield
        finally:
            # Windows removes no file that is open; what stays is empty.
            with suppress(OSError):
                lock.unlink()


def check_room(folder: Path, needed: int) -> None:
    """Raises OSError (ENOSPC) when `folder`, which has to be there, has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{size_text(free)} free, and {size_text(needed)} more are needed", str(folder))


def size_text(size: int) -> str:
    """A number of bytes for people: "3.50 GB", "0.2 MB"."""
    if size >= 1e9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB"


def _locked(lock: Path) -> IO[str] | None:
    """The lock file, open and ours; None when it is another's."""
    file = lock.open("a")
    try:
        # Whoever was inside before has removed its lock file; holding that one would keep nobody out.
        if _taken(file) and _still_there(file, lock):
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _taken(file: IO[str]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    return True


def _still_there(file: IO[str], lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False


def _share(path: Path) -> None:
    """Gives a file the rights of any new file; some writers keep theirs to their owner."""
    if path.is_file():
        path.chmod(0o666 & ~_UMASK)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


# It can be read only by changing it for a moment: once, while nobody else writes, and not in each of several threads.
_UMASK = _umask()
