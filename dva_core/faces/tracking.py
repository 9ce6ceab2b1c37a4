"""One person followed through a clip."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import DvaError
from ..values import LANDMARK_POINTS, FaceTrack
from .alignment import face_quads, smooth_quads
from .detection import FaceDetection

# Boxes of one person in neighbouring frames share at least this part (intersection over union).
LEAST_OVERLAP = 0.1
# While a face is hidden it may move: its last box grows by this share of its size for each frame, at most to double.
GROWTH_PER_FRAME = 0.1

Person = dict[int, FaceDetection]  # the detections of one person by frame number


def track_face(
    detections: Sequence[Sequence[FaceDetection]],
    height: int,
    width: int,
    frame_rate: Fraction,
    which: Literal["largest", "leftmost", "rightmost"] = "largest",
    smooth: bool = True,
) -> FaceTrack:
    """Follows one person by the overlap of boxes; detections[t] are the faces of frame t, in any order.

    `which` chooses among several people: "largest" fills the most pixels over the whole clip. `smooth` steadies the
    quads over time. Frames where the person is not found are invalid. Raises DvaError when no frame has a face.
    """
    people = _follow(detections)
    if not people:
        raise DvaError(
            f"No face was found in any of the {len(detections)} frames; the face must be turned to the camera "
            "and not much smaller than a tenth of the picture."
        )
    chosen = max(people, key=_RANKS[which])
    frames = sorted(chosen)
    valid = np.zeros(len(detections), dtype=bool)
    valid[frames] = True
    landmarks = np.full((len(detections), LANDMARK_POINTS, 2), np.nan)
    landmarks[frames] = [chosen[frame].landmarks for frame in frames]
    quads = smooth_quads(landmarks, valid) if smooth else face_quads(landmarks)
    return FaceTrack(landmarks, quads, valid, height, width, Fraction(frame_rate))


def _follow(detections: Sequence[Sequence[FaceDetection]]) -> list[Person]:
    """Everybody in the clip. Each frame's faces go to the people they overlap most, all pairs weighed together."""
    people: list[Person] = []
    for frame, faces in enumerate(detections):
        overlaps = np.array([[_overlap(_expected(person, frame), face.box) for face in faces] for person in people])
        taken = set()
        if overlaps.size:
            for i, k in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
                if overlaps[i, k] >= LEAST_OVERLAP:
                    people[i][frame] = faces[k]
                    taken.add(k)
        people += [{frame: face} for k, face in enumerate(faces) if k not in taken]
    return people


def _expected(person: Person, frame: int) -> np.ndarray:
    """The last box of a person, grown with the time since then."""
    last = max(person)
    box = person[last].box
    grown = min(0.5, GROWTH_PER_FRAME / 2 * (frame - last - 1)) * (box[2:] - box[:2])
    return np.concatenate([box[:2] - grown, box[2:] + grown])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0,y0,x1,y1."""
    inner = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner
    return float(inner / union) if union > 0 else 0.0


def _area(person: Person) -> float:
    """Pixels filled, summed over the frames."""
    return float(sum(np.prod(face.box[2:] - face.box[:2]) for face in person.values()))


def _place(person: Person) -> float:
    """The mean x of a person's boxes."""
    return float(np.mean([face.box[[0, 2]].mean() for face in person.values()]))


_RANKS = {"largest": _area, "leftmost": lambda person: -_place(person), "rightmost": _place}
