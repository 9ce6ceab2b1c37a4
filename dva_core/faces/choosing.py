"""Which of several people is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DvaError
from ..values import FaceTrack


def largest(tracks: Sequence[FaceTrack]) -> int:
    """The index of the one whose squares fill the most pixels, summed over the clip."""
    return int(np.argmax([_filled(track) for track in tracks]))


def by_number(tracks: Sequence[FaceTrack], number: int) -> int:
    """The index of a person counted from 1, the leftmost of `follow_faces`.

    Raises DvaError when there are not as many.
    """
    if not 1 <= number <= len(tracks):
        people = "1 face was" if len(tracks) == 1 else f"{len(tracks)} faces were"
        raise DvaError(f"There is no face {number}: {people} found; count from 1, from left to right.")
    return number - 1


def nearest(tracks: Sequence[FaceTrack], x: float, y: float) -> int:
    """The index of the one whose mean place is nearest to a point; x and y are fractions 0..1 of the frame."""
    return int(np.argmin([_distance(track, x, y) for track in tracks]))


def most_alike(features: Sequence[Tensor], reference: Tensor) -> int:
    """The index of the person who looks most like the reference, by the cosine of their mean identity features.

    features: [N_i,512] for each person. reference: [M,512]. Means are taken first, as everywhere (Kim et al. 2023,
    Sec. 3.1).
    """
    means = torch.stack([each.mean(dim=0) for each in features])
    return int(F.cosine_similarity(means, reference.mean(dim=0, keepdim=True)).argmax())


def _filled(track: FaceTrack) -> float:
    """Pixels inside the squares, summed over the frames."""
    quads = track.quads[track.valid]
    return float(((quads[:, 3] - quads[:, 0]) ** 2).sum())


def _distance(track: FaceTrack, x: float, y: float) -> float:
    """From the mean centre of the squares, in pixels."""
    middle = track.quads[track.valid].mean(axis=(0, 1)) + 0.5
    return float(np.hypot(middle[0] - x * track.width, middle[1] - y * track.height))
