"""What a run must know of a whole clip before it can be edited part by part: where the face is, who it is and how it
moves, and in which direction a text would have it go. Each is found once and kept in the run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .autoencoder import DiffusionVideoAutoencoder
from .editing.text import Shifts, ShiftsOrSearches, found_shifts
from .encoders import FaceDetector
from .footage import find_unless_known
from .memory import give_back
from .overlap import ahead
from .parts import cropped_parts
from .pipeline import invert_clip
from .progress import Cancel, Progress, Watch
from .run_folder import RunFolder
from .values import FaceTrack, Identity, IdentityShift, LandmarkCodes

# How many frames, spread evenly over a clip, a text edit is looked for on.
FRAMES_TO_SEARCH = 16
FACE, PERSON, SHIFTS = "face", "person", "shifts"  # the stages of a run folder


@dataclass(frozen=True, eq=False)
class Person:
    """Who is seen and how they move in the V frames with a face; `crops` [n,3,S,S] are those of `_spread(V)`."""

    identity: Identity
    landmark_codes: LandmarkCodes
    crops: Tensor

    def codes(self, rows: slice | Tensor) -> LandmarkCodes:
        return replace(self.landmark_codes, codes=self.landmark_codes.codes[rows])


def find_face_once(
    run: RunFolder, model: DiffusionVideoAutoencoder, source: str | Path, track: FaceTrack | None,
    detector: FaceDetector | None, progress: Progress, cancelled: Cancel,
) -> tuple[FaceTrack, tuple[int, ...]]:  # fmt: skip
    """As `footage.find_unless_known`: the track, or the one given, and the frames where new shots begin."""
    kept = run.kept(FACE) if track is None else None
    if kept:
        fields, tensors = kept
        cuts, rate = tuple(fields.pop("cuts")), Fraction(fields.pop("frame_rate"))
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return FaceTrack(**arrays, **fields, frame_rate=rate), cuts
    found, cuts = find_unless_known(model, source, track, detector, progress, cancelled)
    if track is None:
        size = {"height": found.height, "width": found.width, "frame_rate": str(found.frame_rate)}
        arrays = {"landmarks": found.landmarks, "quads": found.quads, "valid": found.valid}
        run.keep(FACE, {"cuts": cuts, **size}, {name: torch.from_numpy(array) for name, array in arrays.items()})
    return found, cuts


def encode_once(
    run: RunFolder, model: DiffusionVideoAutoencoder, source: str | Path, track: FaceTrack, progress: Progress,
    cancelled: Cancel,
) -> Person:  # fmt: skip
    """Who is seen in the frames of the track that have a face, and how they move."""
    kept = run.kept(PERSON)
    if kept is None:
        watch = Watch("encode", len(track.valid), progress, cancelled)
        tensors = _encoded(model, source, track, watch)
        run.keep(PERSON, {}, tensors)
    else:
        tensors = kept[1]
    codes = LandmarkCodes(tensors["landmark_codes"], model.name)
    return Person(Identity(tensors["identity"], model.name), codes, tensors["crops"])


def find_shifts_once(
    run: RunFolder, model: DiffusionVideoAutoencoder, person: Person, shifts: ShiftsOrSearches, steps: int,
    solver: str, options: Mapping[str, Any],
) -> Shifts:  # fmt: skip
    """The shifts, each with its scale; those still to be found are looked for on the frames of `person.crops`.

    `options` go to `invert_clip`.
    """
    kept = run.kept(SHIFTS)
    if kept:
        fields, tensors = kept
        moves = zip(fields["names"], tensors["features"].split(1), shifts, strict=True)
        return [(IdentityShift(features, model.name, name), scale) for name, features, (_, scale) in moves]
    if any(not isinstance(shift, IdentityShift) for shift, _ in shifts):
        codes = person.codes(_spread(len(person.landmark_codes.codes)))
        clip = invert_clip(model, person.crops, person.identity.mean(), codes, steps, solver, **options)
        shifts = found_shifts(shifts, clip)
        names, features = [shift.name for shift, _ in shifts], torch.cat([shift.features for shift, _ in shifts])
        run.keep(SHIFTS, {"names": names}, {"features": features})
    return shifts


def _encoded(
    model: DiffusionVideoAutoencoder, source: str | Path, track: FaceTrack, watch: Watch
) -> dict[str, Tensor]:
    identities, codes, crops_kept, first = [], [], [], 0
    spread = set(_spread(int(track.valid.sum())).tolist())
    with ahead(cropped_parts(source, track, model.config.image_size)) as parts:
        for part in parts:
            if len(part.crops):
                identities.append(model.encode_identity(part.crops).features)
                codes.append(model.encode_landmarks(part.crops).codes)
                crops_kept += [crop.clone() for row, crop in enumerate(part.crops, start=first) if row in spread]
                first += len(part.crops)
            watch.tick(len(part.frames))
            del part  # not to be held while the next one is waited for
            give_back()
    return {
        "identity": torch.cat(identities),
        "landmark_codes": torch.cat(codes),
        "crops": torch.stack(crops_kept),
    }


def _spread(frames: int) -> Tensor:
    """A few of so many frames, evenly over all: int64 [n], without repeats."""
    return torch.linspace(0, frames - 1, min(frames, FRAMES_TO_SEARCH)).round().long()
