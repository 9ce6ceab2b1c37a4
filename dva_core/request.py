"""What decides the output of a run, as plain values that can be compared: its request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .autoencoder import DiffusionVideoAutoencoder
from .editing.text import ShiftSearch, ShiftsOrSearches
from .editing.timeline import Curve
from .encoders import FaceDetector
from .parts import frames_of_a_part
from .values import FaceTrack
from .video import files_of

# Another number whenever the same request would come to be answered in another way, or kept in another form.
FORMAT_VERSION = 2


def edit_request(
    model: DiffusionVideoAutoencoder, source: str | Path, edits: Mapping[str, float], steps: int, solver: str,
    shifts: ShiftsOrSearches, preserve: Sequence[str], curve: Curve | Sequence[float] | None,
    detail_in_head: float | None, detector: FaceDetector | None, track: FaceTrack | None, batch_size: int,
) -> dict[str, Any]:  # fmt: skip
    """All that `edit_video` is given, JSON-able, under the names of its arguments.

    The source counts by name, size and time of change, and so do a detector's files; the model counts by its weights.
    """
    return {
        "format_version": FORMAT_VERSION,
        "source": [file_facts(file) for file in files_of(source)],
        "model": {"name": model.name, "weights": _digest(model.state_dict())},
        "device": str(model.device),
        "edits": dict(edits),
        "shifts": [[_shift_facts(shift), scale] for shift, scale in shifts],
        "preserve": list(preserve),
        "curve": _curve_facts(curve),
        "steps": steps,
        "solver": solver,
        "detail_in_head": detail_in_head,
        "detector": None if detector is None else _detector_facts(detector),
        "track": None if track is None else _digest({"quads": track.quads, "valid": track.valid}),
        "batch_size": batch_size,
        "frames_at_once": frames_of_a_part(batch_size),
    }


def file_facts(file: Path) -> list[Any]:
    """By which a file counts as the same: its name, size and time of change. Raises OSError."""
    about = file.stat()
    return [file.name, about.st_size, about.st_mtime_ns]


def _shift_facts(shift: Any) -> Any:
    if isinstance(shift, ShiftSearch):
        return shift.request
    return {"name": shift.name, "features": _digest({"features": shift.features})}


def _detector_facts(detector: FaceDetector) -> list[Any]:
    """Its kind, and its `files` where it has any that are still there."""
    files = (file for file in getattr(detector, "files", ()) if file.is_file())
    return [type(detector).__qualname__, *map(file_facts, files)]


def _curve_facts(curve: Curve | Sequence[float] | None) -> Any:
    if isinstance(curve, Curve):
        return {"keys": [list(key) for key in curve.keys], "interpolation": curve.interpolation}
    return None if curve is None else [float(strength) for strength in curve]


def _digest(tensors: Mapping[str, Tensor | np.ndarray]) -> str:
    """A hash of names, types, sizes and numbers."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = torch.as_tensor(tensors[name])
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
