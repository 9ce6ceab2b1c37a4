"""Folders of numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DvaError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def files_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (2 before 10); DvaError when it has none."""
    files = [f for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES and not f.name.startswith(".")]
    if not files:
        raise DvaError(f"The folder {folder} has no pictures in it ({', '.join(sorted(_SUFFIXES))}).")
    return sorted(files, key=_natural)


def read(file: Path) -> np.ndarray:
    """One picture, upright: uint8 [H,W,3] RGB. DvaError when it is damaged."""
    try:
        with Image.open(file) as picture:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise DvaError(f"{file} cannot be read as a picture; it is damaged or something else ({error}).") from error


def read_all(folder: Path) -> Iterator[np.ndarray]:
    """The pictures of a folder, one after the other; DvaError at one that is damaged or of another size."""
    shape = None
    for file in files_in(folder):
        picture = read(file)
        shape = shape or picture.shape
        if picture.shape != shape:
            raise DvaError(
                f"{file} is {picture.shape[1]} x {picture.shape[0]}, the pictures before it are "
                f"{shape[1]} x {shape[0]}; all of a folder must be of one size."
            )
        yield picture


def write_all(folder: Path, frames: Iterable[np.ndarray]) -> None:
    """Makes the folder and writes frames uint8 [H,W,3] as 000000.png, 000001.png, ..."""
    folder.mkdir()
    for n, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{n:06d}.png", compress_level=3)


def _natural(file: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", file.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
