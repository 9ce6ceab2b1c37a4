"""Pictures with attributes as CelebA-HQ has them: a text file of labels, and a folder or an LMDB of aligned faces."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..editing.attributes import CELEBA_ATTRIBUTES
from ..errors import DvaError, first_line
from ..progress import Cancel, Progress, Watch, never, silent
from .directions import LabelledFeatures
from .rendered import pictures_to_crops

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
_KEY = re.compile(rb"(\d+)-(\d+)")
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class PictureLabels:
    """What a label file at `path` says: pictures, P names of files; labels bool [P,A], columns `names`."""

    path: Path
    pictures: tuple[str, ...]
    labels: np.ndarray
    names: tuple[str, ...]

    def only(self, there: np.ndarray) -> PictureLabels:
        """Those pictures for which bool [P] is true."""
        pictures = tuple(name for name, is_there in zip(self.pictures, there, strict=True) if is_there)
        return PictureLabels(self.path, pictures, self.labels[there], self.names)


class Pictures(Protocol):
    """Where the pictures of a label file lie."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a picture of this name."""

    def __getitem__(self, name: str) -> tuple[str, bytes]:
        """Where a picture lies, in words, and the bytes of its file."""


def read_labels(path: str | Path) -> PictureLabels:
    """Reads CelebA's list_attr_celeba.txt or CelebAMask-HQ-attribute-anno.txt, or any file like them.

    Line 1 is the number of pictures, line 2 the attributes (any of CelebA's, in any order), then for each picture its
    file name and a 1 or -1 for each attribute. Raises DvaError that names the line which is not so.
    """
    path = Path(path)
    lines = _lines(path)
    if not lines or not re.fullmatch(r"\s*[0-9]{1,9}\s*", lines[0]):
        raise DvaError(f"{path}, line 1: there should be the number of pictures; give CelebA's attribute text file.")
    names = tuple(lines[1].split()) if len(lines) > 1 else ()
    unknown = [name for name in names if name not in CELEBA_ATTRIBUTES]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"{unknown[0]} is no attribute of CelebA" if unknown else "each attribute should stand there once"
        raise DvaError(f"{path}, line 2: {wrong}; the names are {', '.join(CELEBA_ATTRIBUTES)}.")
    pictures, labels = [], np.empty((len(lines) - 2, len(names)), bool)
    for row, line in enumerate(lines[2:]):
        picture, *values = line.split() or [""]
        if len(values) != len(names) or not set(values) <= {"1", "-1", "0"}:
            raise DvaError(
                f"{path}, line {row + 3}: there should be a file name and {len(names)} times 1 or -1, not "
                f"'{line.strip()[:60]}'."
            )
        pictures.append(picture)
        labels[row] = [value == "1" for value in values]
    if len(pictures) != int(lines[0]) or not pictures:
        raise DvaError(
            f"{path} announces {int(lines[0])} pictures in line 1 and lists {len(pictures)}; get the whole file."
        )
    name, times = Counter(pictures).most_common(1)[0]
    if times > 1:
        raise DvaError(f"{path} lists {name} {times} times; keep one line for each picture.")
    return PictureLabels(path, tuple(pictures), labels, names)


class PictureFolder:
    """A folder of pictures, found by name; another ending than the label file's will do, such as 0.png for 0.jpg."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DvaError(f"There is no folder {self.folder} of pictures; give --images the folder that holds them.")
        files = sorted(file.name for file in self.folder.iterdir() if file.suffix.lower() in _PICTURES)
        self._files = {Path(name).stem: name for name in files} | {name: name for name in files}

    def __contains__(self, name: str) -> bool:
        return self._file(name) is not None

    def __getitem__(self, name: str) -> tuple[str, bytes]:
        file = self.folder / self._file(name)
        return str(file), file.read_bytes()

    def _file(self, name: str) -> str | None:
        return self._files.get(name) or self._files.get(Path(name).stem)


class PictureLmdb:
    """An LMDB with the files of pictures under keys such as "256-00017": the side in pixels, then the number that the
    label file's name has, here 17.jpg. Of several sides the smallest of at least `side` is taken, or else the largest.
    """

    def __init__(self, path: str | Path, side: int) -> None:
        lmdb = _lmdb()
        self.path = Path(path)
        if not self.path.exists():
            raise DvaError(f"There is no LMDB {self.path}; give --lmdb the folder or file that holds it.")
        try:
            environment = lmdb.open(
                str(self.path), subdir=self.path.is_dir(), readonly=True, lock=False, readahead=False
            )
            self._pictures = environment.begin(buffers=True)
            keys = [bytes(key) for key in self._pictures.cursor().iternext(values=False)]
        except lmdb.Error as error:
            raise DvaError(f"{self.path} cannot be read as an LMDB ({first_line(error)}); make it again.") from error
        found = [(key, match) for key in keys if (match := _KEY.fullmatch(key))]
        sides = sorted({int(match[1]) for _, match in found})
        if not sides:
            raise DvaError(f"{self.path} holds no pictures under keys such as 256-00000; give one made for CelebA-HQ.")
        chosen = next((each for each in sides if each >= side), sides[-1])
        self._keys = {int(match[2]): key for key, match in found if int(match[1]) == chosen}

    def __contains__(self, name: str) -> bool:
        return _number(name) in self._keys

    def __getitem__(self, name: str) -> tuple[str, bytes]:
        key = self._keys[_number(name)]
        return f"{key.decode()} in {self.path}", bytes(self._pictures.get(key))


def present(labels: PictureLabels, pictures: Pictures, where: str | Path, skip_missing: bool = False) -> PictureLabels:
    """The labels whose pictures are there. DvaError when some are not, unless `skip_missing`, or when none is."""
    there = np.array([name in pictures for name in labels.pictures], bool)
    if there.all():
        return labels
    if skip_missing and there.any():
        return labels.only(there)
    advice = "check both" if skip_missing else "give all, or --skip-missing to go on with those that are there"
    raise DvaError(
        f"{(~there).sum()} of the {len(there)} pictures that {labels.path} lists are not in {where} (the first: "
        f"{labels.pictures[int(np.argmin(there))]}); {advice}."
    )


def encode_pictures(
    model: DiffusionVideoAutoencoder, labels: PictureLabels, pictures: Pictures,
    progress: Progress = silent, cancelled: Cancel = never,
) -> LabelledFeatures:  # fmt: skip
    """Encodes every picture and its mirror image; each picture counts as a person of its own.

    A picture is taken as the aligned crop that it is, and brought to the model's size; of one that is not square the
    middle counts. Raises DvaError that names a picture which cannot be read, and Cancelled.
    """
    watch = Watch("encode pictures", len(labels.pictures), progress, cancelled)
    features: list[Tensor] = []
    for batch in _batches(labels, pictures, model.config.image_size):
        crops = pictures_to_crops(batch)
        features += [model.encode_identity(torch.cat([crops, crops.flip(-1)])).features.unflatten(0, (2, -1))]
        watch.tick(len(batch))
    both = torch.cat(features, dim=1)
    person = torch.arange(both.shape[1]).repeat(2)
    return LabelledFeatures(both.flatten(0, 1), person, torch.from_numpy(labels.labels), labels.names)


def _batches(labels: PictureLabels, pictures: Pictures, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(labels.pictures), _AT_ONCE):
        names = labels.pictures[start : start + _AT_ONCE]
        yield np.stack([_decoded(*pictures[name], size) for name in names])


def _decoded(place: str, file: bytes, size: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(file)) as picture:
            return np.asarray(ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.BILINEAR))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DvaError(f"{place} cannot be read as a picture; it is damaged or something else.") from error


def _lines(path: Path) -> list[str]:
    """The lines of a text file without empty ones at its end."""
    try:
        return path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise DvaError(f"{path} is no text file; give CelebA's attribute text file.") from error
    except OSError as error:
        raise DvaError(
            f"The labels {path} cannot be read ({error.strerror}); give CelebA's attribute text file."
        ) from error


def _number(name: str) -> int | None:
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() else None


def _lmdb():
    try:
        import lmdb
    except ImportError as error:
        raise DvaError(
            "Reading an LMDB needs the Python package lmdb: pip install lmdb (or give --images a folder)."
        ) from error
    return lmdb
