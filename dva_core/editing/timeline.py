"""An edit whose strength changes during the clip: a beard that grows in, glasses that come and go.

Our addition, not the paper's, and with its guarantee against flicker: one identity for the whole clip is edited, once
for each strength, so that two frames differ in who is seen only by as much as the curve does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from ..errors import DvaError
from ..values import Identity
from .attributes import AttributeDirections, edit_identity
from .text import Shifts, shift_identity


@dataclass(frozen=True)
class Curve:
    """Key frames (frame, strength), at least one, in order; frames are counted from 0.

    The first and the last strength are held before and after them. "smooth" rests at the first and last key and where
    the direction turns, and passes the others without stopping; no strength lies beyond those of the keys around it.
    "linear" goes straight from key to key. Raises DvaError for keys out of order, before frame 0 or not finite.
    """

    keys: tuple[tuple[float, float], ...]
    interpolation: Literal["smooth", "linear"] = "smooth"

    def __post_init__(self) -> None:
        if self.interpolation not in ("smooth", "linear"):
            raise DvaError(f"A curve is 'smooth' or 'linear', not '{self.interpolation}'; choose one of them.")
        frames = [frame for frame, _ in self.keys]
        if not frames or not all(math.isfinite(number) for key in self.keys for number in key):
            raise DvaError("A curve needs at least one key, and finite numbers in each; see 0:0, 24:1.")
        if frames[0] < 0 or any(after <= before for before, after in pairwise(frames)):
            raise DvaError(
                f"The key frames of a curve must rise from 0 on, not {', '.join(f'{frame:g}' for frame in frames)}; "
                "put them in order, each once."
            )

    def values(self, frames: int) -> np.ndarray:
        """The strength in each of the first `frames` frames, float64 [T]; exactly that of the key at a key."""
        at, strength = np.array(self.keys, dtype=np.float64).T
        times = np.arange(frames).clip(at[0], at[-1])
        if self.interpolation == "linear":
            return np.interp(times, at, strength)
        # With a still stretch at either end the monotone cubic starts and ends at rest, and is defined for one key.
        at, strength = np.pad(at, 1), np.pad(strength, 1, mode="edge")
        at[0], at[-1] = at[1] - 1, at[-2] + 1
        return PchipInterpolator(at, strength)(times)


def read_curve(text: str, interpolation: Literal["smooth", "linear"] = "smooth") -> Curve:
    """The curve of a text such as "0:0, 24:1": FRAME:STRENGTH, separated by commas. Raises DvaError for any other."""
    try:
        keys = [tuple(map(float, key.split(":"))) for key in text.split(",")]
    except ValueError:
        keys = []
    if not keys or any(len(key) != 2 for key in keys):
        raise DvaError(f"'{text}' is no curve; write frames with their strength, such as 0:0,24:1.")
    return Curve(tuple(keys), interpolation)


def strengths_over(curve: Curve | Sequence[float], frames: int) -> np.ndarray:
    """The strength in each of a clip's frames, float64 [T], from a curve or from a list of T numbers.

    T counts all frames of the video. Crops exist only of those with a face: `strengths_over(curve, T)[track.valid]`.
    Raises DvaError for a list of another length or with numbers that are not finite.
    """
    if isinstance(curve, Curve):
        return curve.values(frames)
    strengths = np.array(curve, dtype=np.float64)
    if strengths.shape != (frames,):
        raise DvaError(
            f"There are {strengths.size} strengths for {frames} frames; give one for each frame, or a curve of key "
            "frames."
        )
    if not np.isfinite(strengths).all():
        raise DvaError(f"The strength of frame {np.argmin(np.isfinite(strengths))} is no finite number; give one.")
    return strengths


def edit_over_time(
    identity: Identity, directions: AttributeDirections, edits: Mapping[str, float], strengths: Sequence[float], *,
    preserve: Sequence[str] = (), shifts: Shifts = (),
) -> Identity:  # fmt: skip
    """A clip's one identity [1,512], edited and then shifted in frame t with each scale times strengths[t]: [T,512].

    Where the strength is 0 the row is the identity itself. Raises DvaError as `edit_identity` and `shift_identity` do,
    and for an identity of several rows, which would bring back the flicker of single frames.
    """
    if len(identity.features) != 1:
        raise DvaError(
            f"An edit over time starts from one identity, not from {len(identity.features)} rows; take their mean()."
        )
    levels, level_of_frame = np.unique(np.asarray(strengths, dtype=np.float64), return_inverse=True)
    rows = []
    for level in levels.tolist():
        scales = {name: scale * level for name, scale in edits.items()}
        row = edit_identity(identity, directions, scales, preserve=preserve)
        for shift, scale in shifts:
            row = shift_identity(row, shift, scale * level)
        rows.append(row.features)
    return Identity(torch.cat(rows)[level_of_frame], identity.model)
