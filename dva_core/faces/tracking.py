"""Everybody in a clip, each followed from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import DvaError
from ..values import LANDMARK_POINTS, FaceTrack
from .alignment import face_quads, smooth_quads
from .choosing import largest
from .detection import FaceDetection

# Boxes of one person in neighbouring frames share at least this part (intersection over union).
LEAST_OVERLAP = 0.1
# While a face is hidden it may move: its last box grows by this share of its size for each frame, at most to double.
GROWTH_PER_FRAME = 0.1
# Seen in fewer frames than this, and in a smaller share of the clip than this: a false alarm.
LEAST_FRAMES, LEAST_SHARE = 3, 0.05
# Pixels across: smaller squares show no face, and each of their pixels would be the mean of thousands of the crop's.
LEAST_SIDE = 8.0

Person = dict[int, FaceDetection]  # the detections of one person by frame number


def follow_faces(
    detections: Sequence[Sequence[FaceDetection]], height: int, width: int, frame_rate: Fraction, smooth: float = 1.0
) -> list[FaceTrack]:
    """Everybody in the clip, from left to right by their mean place; detections[t] are the faces of frame t.

    A person is followed by the overlap of boxes, whatever the order of the detections; frames where they are not
    found are invalid. Who is seen for a moment only, in fewer than 3 frames and in less than a twentieth of the clip,
    is a false alarm and left out unless nobody is seen longer. Faces less than 8 pixels across are not looked at.
    `smooth` steadies the quads over time: 1 as published, 0 not at all. Raises DvaError when no frame has a face.
    """
    people = _follow(detections)
    if not people:
        raise DvaError(
            f"No face was found in any of the {len(detections)} frames; the face must be turned to the camera "
            "and not much smaller than a tenth of the picture."
        )
    enough = min(LEAST_FRAMES, LEAST_SHARE * len(detections), max(map(len, people)))
    seen = sorted((person for person in people if len(person) >= enough), key=_place)
    return [_track(person, len(detections), height, width, frame_rate, smooth) for person in seen]


def track_face(
    detections: Sequence[Sequence[FaceDetection]],
    height: int,
    width: int,
    frame_rate: Fraction,
    which: Literal["largest", "leftmost", "rightmost"] = "largest",
    smooth: float = 1.0,
) -> FaceTrack:
    """One of the people that `follow_faces` finds; "largest" fills the most pixels over the whole clip.

    Raises DvaError when no frame has a face.
    """
    tracks = follow_faces(detections, height, width, frame_rate, smooth)
    return tracks[{"largest": largest(tracks), "leftmost": 0, "rightmost": -1}[which]]


def landmarks_to_track(
    landmarks: np.ndarray, valid: np.ndarray, height: int, width: int, frame_rate: Fraction, smooth: float = 1.0
) -> FaceTrack:
    """The track of a face whose landmarks are known: [T,68,2] (x,y) in pixels, iBUG order, and valid bool [T].

    Frames whose landmarks are not finite, or whose square is less than 8 pixels across, become invalid; the
    landmarks and quads of invalid frames are NaN. `smooth` as in `follow_faces`. Raises DvaError when no frame is
    left.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    valid = np.asarray(valid, dtype=bool) & _usable(landmarks)
    if not valid.any():
        raise DvaError(
            f"None of the {len(valid)} frames has landmarks of a face at least {LEAST_SIDE:g} pixels across; "
            "give landmarks in pixels of the frame, or larger frames."
        )
    landmarks = np.where(valid[:, None, None], landmarks, np.nan)
    return FaceTrack(landmarks, smooth_quads(landmarks, valid, smooth), valid, height, width, Fraction(frame_rate))


def _follow(detections: Sequence[Sequence[FaceDetection]]) -> list[Person]:
    """Everybody in the clip. Each frame's faces go to the people they overlap most, all pairs weighed together."""
    people: list[Person] = []
    for frame, found in enumerate(detections):
        faces = [face for face in found if _usable(face.landmarks[None])[0]]
        overlaps = np.array([[_overlap(_expected(person, frame), face.box) for face in faces] for person in people])
        taken = set()
        if overlaps.size:
            for i, k in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
                if overlaps[i, k] >= LEAST_OVERLAP:
                    people[i][frame] = faces[k]
                    taken.add(k)
        people += [{frame: face} for k, face in enumerate(faces) if k not in taken]
    return people


def _track(person: Person, count: int, height: int, width: int, frame_rate: Fraction, smooth: float) -> FaceTrack:
    landmarks = np.full((count, LANDMARK_POINTS, 2), np.nan)
    landmarks[list(person)] = [face.landmarks for face in person.values()]
    return landmarks_to_track(landmarks, np.isin(np.arange(count), list(person)), height, width, frame_rate, smooth)


def _usable(landmarks: np.ndarray) -> np.ndarray:
    """Which of landmarks [N,68,2] are finite and give a square of LEAST_SIDE or more: bool [N]."""
    with np.errstate(all="ignore"):  # points that all coincide have no direction; their square becomes NaN
        quads = face_quads(landmarks)
        sides = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    return np.isfinite(landmarks).all(axis=(1, 2)) & (sides >= LEAST_SIDE)


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


def _place(person: Person) -> float:
    """The mean x of a person's boxes."""
    return float(np.mean([face.box[[0, 2]].mean() for face in person.values()]))
