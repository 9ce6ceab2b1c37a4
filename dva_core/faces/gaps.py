"""What to do where a followed face was not found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from einops import rearrange
from scipy.ndimage import find_objects, label

from ..errors import DvaError
from ..values import LANDMARK_POINTS, FaceTrack
from .cuts import shots
from .tracking import landmarks_to_track


def fill_gaps(
    track: FaceTrack,
    mode: Literal["pass", "hold", "interpolate", "error"],
    smooth: float = 1.0,
    cuts: Sequence[int] = (),
) -> FaceTrack:
    """The track with something in its frames without a face.

    "pass": the track itself; those frames will be passed on unchanged. "hold": the face stays where it last was, or
    at the start where it first is. "interpolate": its landmarks go straight from one side to the other, and stay at
    both ends. Both fill the shots in which the face is seen, each from its own frames; `cuts` are the frames that begin
    a new shot. Quads are made anew from the landmarks; `smooth` as in `follow_faces`. "error" raises DvaError and names
    the frames; so does filling when no frame has a face.
    """
    missing = ~track.valid
    if mode == "pass" or not missing.any():
        return track
    if mode == "error":
        raise DvaError(
            f"No face was found in frames {frame_ranges(missing)} of {len(missing)} (counting from 0); "
            "cut them off, or choose another way to treat gaps."
        )
    if missing.all():
        raise DvaError(f"None of the {len(missing)} frames has a face to fill the others from; give another clip.")
    filling = _held if mode == "hold" else _interpolated
    return filling(track, smooth, cuts)


def frame_ranges(missing: np.ndarray) -> str:
    """The true entries of bool [T] in words, such as "3, 12-19 and 40", counting from 0; empty for none."""
    runs = [run for (run,) in find_objects(label(missing)[0])]
    words = [f"{run.start}-{run.stop - 1}" if run.stop - run.start > 1 else str(run.start) for run in runs]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _held(track: FaceTrack, smooth: float, cuts: Sequence[int]) -> FaceTrack:
    # Squares are smoothed before they are held: a face that comes back elsewhere must not pull at them.
    size = track.height, track.width, track.frame_rate
    known = landmarks_to_track(track.landmarks, track.valid, *size, smooth, cuts)
    rows = np.arange(len(known.valid))
    for shot, frames in _shots_with_face(known.valid, cuts):
        last = np.searchsorted(frames, shot, side="right") - 1
        rows[shot] = frames[last.clip(min=0)]
    return replace(known, landmarks=known.landmarks[rows], quads=known.quads[rows], valid=known.valid[rows])


def _interpolated(track: FaceTrack, smooth: float, cuts: Sequence[int]) -> FaceTrack:
    landmarks, valid = track.landmarks.copy(), track.valid.copy()
    for shot, frames in _shots_with_face(track.valid, cuts):
        columns = rearrange(track.landmarks[frames], "t points xy -> (points xy) t")
        filled = np.stack([np.interp(shot, frames, column) for column in columns])
        landmarks[shot] = rearrange(filled, "(points xy) t -> t points xy", points=LANDMARK_POINTS)
        valid[shot] = True
    return landmarks_to_track(landmarks, valid, track.height, track.width, track.frame_rate, smooth, cuts)


def _shots_with_face(valid: np.ndarray, cuts: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames of each shot that shows the face, and those of them that do."""
    for shot in shots(cuts, len(valid)):
        frames = np.array(shot)
        if valid[frames].any():
            yield frames, frames[valid[frames]]
