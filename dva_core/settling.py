"""Files that outlive a power cut: what was written waits in memory until the system is told to put it on the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def settle(path: Path) -> None:
    """Waits until a file, or a folder of files, is on the disk; its own name may not be. Raises OSError."""
    if path.is_dir():
        for file in path.iterdir():
            settle(file)
        _settle_names(path)
        return
    with path.open("rb+") as opened:
        os.fsync(opened.fileno())


def settle_name(path: Path) -> None:
    """Waits until the name of a file or folder that was just made or renamed is on the disk, where that can be done."""
    _settle_names(path.parent)


def _settle_names(path: Path) -> None:
    if os.name == "nt":  # where folders cannot be opened
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems settle no folders
            os.fsync(folder)
    finally:
        os.close(folder)
