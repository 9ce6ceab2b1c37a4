"""Zips of weight files, unpacked into a folder whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from ..errors import DvaError


@contextmanager
def unpacked(archive: Path, target: Path, needed: Iterable[str], name: str) -> Iterator[Path]:
    """Gives a folder with a zip's files, to look at; it becomes `target` at the end, or goes if anything is raised.

    One folder around all files is left out. What was in `target` before goes too, but only then. Raises DvaError, which
    calls the zip `name`, for a damaged zip, one that would write elsewhere and one that lacks a `needed` file; OSError
    where the files cannot be written, or have no room.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unpacking")
    try:
        _extract(archive, unfinished, set(needed), name)
        yield unfinished
        _replace(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _extract(archive: Path, folder: Path, needed: set[str], name: str) -> None:
    try:
        with ZipFile(archive) as file:
            members = _members(file, name)
            if missing := needed - {path.as_posix() for path in members}:
                raise DvaError(
                    f"The zip of {name} lacks {', '.join(sorted(missing))}; it is another than was expected."
                )
            _check_room(folder.parent, sum(member.file_size for member in members.values()))
            for path, member in members.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, (folder / path).open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError: zipfile's for a zip with a password, or packed in a way that it does not know.
        raise DvaError(f"The zip of {name} cannot be unpacked ({error}), and is not kept; get it again.") from error


def _members(file: ZipFile, name: str) -> dict[PurePosixPath, ZipInfo]:
    # Zips made on a Mac carry its own notes in __MACOSX.
    wanted = [info for info in file.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    paths = [PurePosixPath(info.filename.replace("\\", "/")) for info in wanted]
    for path in paths:
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise DvaError(
                f"The zip of {name} holds {path}, which would be written outside its folder; do not trust it."
            )
    tops = {path.parts[0] for path in paths}
    if len(tops) == 1 and all(len(path.parts) > 1 for path in paths):
        paths = [PurePosixPath(*path.parts[1:]) for path in paths]
    return dict(zip(paths, wanted, strict=True))


def _check_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"no room for {needed / 1e9:.1f} GB", str(folder))


def _replace(unfinished: Path, target: Path) -> None:
    """The new folder in place of the old one, which stays if anything goes wrong."""
    before = target.with_name(f".{target.name}.{os.getpid()}.before")
    if target.exists():
        target.rename(before)
    try:
        unfinished.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)
