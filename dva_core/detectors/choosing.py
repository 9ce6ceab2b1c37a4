"""The detectors for real footage by name, and the weight files that each needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DvaError
from ..weights import places
from ..weights.registry import weight

if TYPE_CHECKING:
    import torch

    from ..encoders import FaceDetector

DETECTORS: Mapping[str, tuple[str, ...]] = {
    "insightface": ("insightface-buffalo_l",),
    "insightface-antelopev2": ("insightface-antelopev2",),
    "insightface-buffalo_s": ("insightface-buffalo_s",),
    "facexlib": ("facexlib-retinaface-resnet50", "facexlib-fan"),
    "facexlib-mobile0.25": ("facexlib-retinaface-mobile0.25", "facexlib-fan"),
}
"""The weight files of each detector, by their names in `dva models`."""


def load_detector(name: str, folders: Sequence[Path] = (), device: str | torch.device = "cpu") -> FaceDetector:
    """The detector of this name, from weight files on this disk; `folders` are models folders to look in first.

    Raises DvaError when the name is unknown, a file is missing (saying how to get it) or wrong, or the library that it
    is for is not installed.
    """
    files = require_files(name, folders)
    if name.startswith("insightface"):
        from .insightface import load_insightface

        return load_insightface(*files, device=device)
    from .facexlib import load_facexlib

    return load_facexlib(*files, device=device)


def require_files(name: str, folders: Sequence[Path] = ()) -> list[Path]:
    """The weight files of a detector, there and checked; raises as `load_detector` does."""
    if name not in DETECTORS:
        raise DvaError(f"There is no face detector '{name}'; choose one of: {', '.join(DETECTORS)}.")
    return [places.require(file, folders, f"The face detector {name}") for file in DETECTORS[name]]


def installed_detector(folders: Sequence[Path] = ()) -> str:
    """The first detector whose library and weight files are all here; DvaError saying how to get one otherwise."""
    for name, files in DETECTORS.items():
        if find_spec(name.partition("-")[0]) and all(places.find(weight(file), folders) for file in files):
            return name
    commands = [f"`dva models get {' '.join(DETECTORS[name])}`" for name in ("insightface", "facexlib")]
    raise DvaError(
        f"No face detector for real footage is here; get one with {commands[0]} (non-commercial research only) or "
        f"{commands[1]} (`dva models` tells the licences), or give the places of eyes and mouth by hand (`dva edit "
        "--points`, Track Face by Points)."
    )
