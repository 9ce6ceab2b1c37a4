"""What to do where a followed face was not found."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from einops import rearrange
from scipy.ndimage import find_objects, label

from ..errors import DvaError
from ..values import LANDMARK_POINTS, FaceTrack
from .tracking import landmarks_to_track


def fill_gaps(
    track: FaceTrack, mode: Literal["pass", "hold", "interpolate", "error"], smooth: float = 1.0
) -> FaceTrack:
    """The track with something in its frames without a face.

    "pass": the track itself; those frames will be passed on unchanged. "hold": the face stays where it last was, or
    at the start of the clip where it first is. "interpolate": its landmarks go straight from one side to the other,
    and stay at both ends. Quads are made anew from the landmarks; `smooth` as in `follow_faces`. "error" raises
    DvaError and names the frames; so does filling when no frame has a face.
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
    return _held(track, smooth) if mode == "hold" else _interpolated(track, smooth)


def frame_ranges(missing: np.ndarray) -> str:
    """The true entries of bool [T] in words, such as "3, 12-19 and 40", counting from 0; empty for none."""
    runs = [run for (run,) in find_objects(label(missing)[0])]
    words = [f"{run.start}-{run.stop - 1}" if run.stop - run.start > 1 else str(run.start) for run in runs]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _held(track: FaceTrack, smooth: float) -> FaceTrack:
    # Squares are smoothed before they are held: a face that comes back elsewhere must not pull at them.
    known = landmarks_to_track(track.landmarks, track.valid, track.height, track.width, track.frame_rate, smooth)
    frames = np.flatnonzero(known.valid)
    last = np.searchsorted(frames, np.arange(len(known.valid)), side="right") - 1
    rows = frames[last.clip(min=0)]
    return replace(known, landmarks=known.landmarks[rows], quads=known.quads[rows], valid=known.valid[rows])


def _interpolated(track: FaceTrack, smooth: float) -> FaceTrack:
    count, frames = len(track.valid), np.flatnonzero(track.valid)
    columns = rearrange(track.landmarks[frames], "t points xy -> (points xy) t")
    filled = np.stack([np.interp(np.arange(count), frames, column) for column in columns])
    landmarks = rearrange(filled, "(points xy) t -> t points xy", points=LANDMARK_POINTS)
    everywhere = np.ones(count, dtype=bool)
    return landmarks_to_track(landmarks, everywhere, track.height, track.width, track.frame_rate, smooth)
