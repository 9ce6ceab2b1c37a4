"""Zips of weight files: read so that damage is told from all else, and unpacked into a folder whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from ..errors import DvaError, first_line
from ..files import check_room

BLOCK = 1_000_000


class DamagedZip(Exception):
    """A zip cannot be read; says why, as part of a sentence."""


@contextmanager
def unpacked(archive: Path, target: Path, needed: Iterable[str], name: str) -> Iterator[Path]:
    """Gives a folder with a zip's files, to look at; it becomes `target` at the end, or goes if anything is raised.

    One folder around all files is left out. What was in `target` before goes too, but only then. Raises DvaError, which
    calls the zip `name`, for a damaged zip, one that would write elsewhere or one file over another, and one that
    lacks a `needed` file; OSError where the files cannot be written, or have no room.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unpacking")
    try:
        _extract(archive, unfinished, set(needed), name)
        yield unfinished
        _replace(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def opened(archive: Path) -> Iterator[ZipFile]:
    """A zip to be read, which has at least a list of its files; raises DamagedZip."""
    with _damage_told():
        file = ZipFile(archive)
    with file:
        yield file


def blocks(file: ZipFile, member: ZipInfo) -> Iterator[bytes]:
    """A file of a zip, BLOCK bytes at a time; raises DamagedZip, also for a wrong checksum at its end."""
    with _damage_told():
        stream = file.open(member)
    with stream:
        while True:
            with _damage_told():
                block = stream.read(BLOCK)
            if not block:
                return
            yield block


def _extract(archive: Path, folder: Path, needed: set[str], name: str) -> None:
    try:
        with opened(archive) as file:
            members = _members(file, name)
            if missing := needed - {path.as_posix() for path in members}:
                raise DvaError(
                    f"The zip of {name} lacks {', '.join(sorted(missing))}; it is another than was expected."
                )
            check_room(folder.parent, sum(member.file_size for member in members.values()))
            for path, member in members.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with (folder / path).open("wb") as sink:
                    for block in blocks(file, member):
                        sink.write(block)
    except DamagedZip as error:
        raise DvaError(f"The zip of {name} cannot be unpacked ({error}), and is not kept; get it again.") from error


def _members(file: ZipFile, name: str) -> dict[PurePosixPath, ZipInfo]:
    # Zips made on a Mac carry its own notes in __MACOSX.
    wanted = [info for info in file.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    paths = [PurePosixPath(info.filename.replace("\\", "/")) for info in wanted]
    folders = {folder for path in paths for folder in path.parents}
    for path, times in Counter(paths).items():
        if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
            raise _untrusted(name, f"{path}, which would be written outside its folder")
        if not path.parts or path in folders:
            raise _untrusted(name, f"{path} as a file, which is a folder")
        if times > 1:
            raise _untrusted(name, f"{path} twice")
    tops = {path.parts[0] for path in paths}
    if len(tops) == 1 and all(len(path.parts) > 1 for path in paths):
        paths = [PurePosixPath(*path.parts[1:]) for path in paths]
    return dict(zip(paths, wanted, strict=True))


def _untrusted(name: str, held: str) -> DvaError:
    return DvaError(f"The zip of {name} holds {held}; do not trust it.")


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damage can show itself anywhere in a zip, and each way of packing has its own errors
        raise DamagedZip(first_line(error)) from error


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
