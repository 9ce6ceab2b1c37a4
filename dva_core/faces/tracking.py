"""Everybody in a clip, each followed from frame to frame by where they are and by who they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import DvaError
from ..values import LANDMARK_POINTS, FaceTrack
from .alignment import smooth_quads
from .choosing import largest
from .cuts import shots
from .detection import LEAST_SIDE, FaceDetection, large_enough

# Boxes of one person in neighbouring frames share at least this part (intersection over union).
LEAST_OVERLAP = 0.1
# While a face is hidden it may move: its last box grows by this share of its size for each frame, at most to double.
GROWTH_PER_FRAME = 0.1
# Likeness is the cosine of features. Faces less alike than UNLIKE are two people's, unless one takes the place of the
# other from a frame to the next and shares at least this part of its box: then it has been covered, or has turned away.
# Faces as alike as SAME are one person's wherever they are.
# The demo's net, 40 rendered people, a face against the mean of a clip: the same person 0.87 or more in 99 % of frames
# (0.80 blurred, 0.57 at a quarter of the size, 0.30 with something before the face), another less than 0.31 in 99 %.
# ArcFace (Deng et al. 2019) separates people's photographs at 0.2 to 0.4, and within a shot they are much alike.
UNLIKE, SAME, PLACE_ALONE = 0.25, 0.5, 0.5
# Seen in fewer frames than this, and in a smaller share of the clip than this: a false alarm.
LEAST_FRAMES, LEAST_SHARE = 3, 0.05


def follow_faces(
    detections: Sequence[Sequence[FaceDetection]],
    height: int,
    width: int,
    frame_rate: Fraction,
    smooth: float = 1.0,
    cuts: Sequence[int] = (),
) -> list[FaceTrack]:
    """Everybody in the clip, from left to right by their mean place; detections[t] are the faces of frame t.

    A person is followed by the overlap of boxes and, where detections have features, by likeness to the mean of their
    features so far, whatever the order of the detections; frames where they are not found are invalid. Who comes back
    in another place is known by the features. `cuts` are the frames that begin a new shot; whoever is seen there is
    somebody new. Who is seen for a moment only, in fewer than 3 frames and in less than a twentieth of the clip, is a
    false alarm and left out unless nobody is seen longer. Faces less than 8 pixels across are not looked at. `smooth`
    steadies the quads over time: 1 as published, 0 not at all. Raises DvaError when no frame has a face.
    """
    people = [person for shot in shots(cuts, len(detections)) for person in _reunited(_follow(detections, shot))]
    if not people:
        raise DvaError(
            f"No face was found in any of the {len(detections)} frames; the face must be turned to the camera "
            "and not much smaller than a tenth of the picture."
        )
    enough = min(LEAST_FRAMES, LEAST_SHARE * len(detections), max(len(person.faces) for person in people))
    seen = sorted((person for person in people if len(person.faces) >= enough), key=_place)
    return [_track(person, len(detections), height, width, frame_rate, smooth) for person in seen]


def track_face(
    detections: Sequence[Sequence[FaceDetection]],
    height: int,
    width: int,
    frame_rate: Fraction,
    which: Literal["largest", "leftmost", "rightmost"] = "largest",
    smooth: float = 1.0,
    cuts: Sequence[int] = (),
) -> FaceTrack:
    """One of the people that `follow_faces` finds; "largest" fills the most pixels over the whole clip.

    Raises DvaError when no frame has a face.
    """
    tracks = follow_faces(detections, height, width, frame_rate, smooth, cuts)
    return tracks[{"largest": largest(tracks), "leftmost": 0, "rightmost": -1}[which]]


def landmarks_to_track(
    landmarks: np.ndarray,
    valid: np.ndarray,
    height: int,
    width: int,
    frame_rate: Fraction,
    smooth: float = 1.0,
    cuts: Sequence[int] = (),
) -> FaceTrack:
    """The track of a face whose landmarks are known: [T,68,2] (x,y) in pixels, iBUG order, and valid bool [T].

    Frames whose landmarks are not finite, or whose square is less than 8 pixels across, become invalid; the
    landmarks and quads of invalid frames are NaN. `smooth` as in `follow_faces`, within each of the shots that `cuts`
    begin. Raises DvaError when no frame is left.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    valid = np.asarray(valid, dtype=bool) & large_enough(landmarks)
    if not valid.any():
        raise DvaError(
            f"None of the {len(valid)} frames has landmarks of a face at least {LEAST_SIDE:g} pixels across; "
            "give landmarks in pixels of the frame, or larger frames."
        )
    landmarks = np.where(valid[:, None, None], landmarks, np.nan)
    parts = (slice(shot.start, shot.stop) for shot in shots(cuts, len(valid)))
    quads = np.concatenate([smooth_quads(landmarks[part], valid[part], smooth) for part in parts])
    return FaceTrack(landmarks, quads, valid, height, width, Fraction(frame_rate))


@dataclass
class _Person:
    """The faces of one person by frame number, the latest last, and the sum of their features (None without any)."""

    faces: dict[int, FaceDetection]
    features: np.ndarray | None

    def add(self, other: _Person) -> None:
        self.faces.update(other.faces)
        if self.features is None or other.features is None:
            self.features = other.features if self.features is None else self.features
        else:
            self.features = self.features + other.features


def _follow(detections: Sequence[Sequence[FaceDetection]], shot: range) -> list[_Person]:
    """Everybody in a shot. Each frame's faces go to the people they fit best, all pairs weighed together."""
    people: list[_Person] = []
    for frame in shot:
        found = [face for face in detections[frame] if large_enough(face.landmarks[None])[0]]
        faces = [_Person({frame: face}, face.features) for face in found]
        fits = np.array([[_fit(person, face, frame) for face in faces] for person in people])
        taken = set()
        if fits.size:
            for i, k in zip(*linear_sum_assignment(fits, maximize=True), strict=True):
                if fits[i, k] > 0:
                    people[i].add(faces[k])
                    taken.add(k)
        people += [face for k, face in enumerate(faces) if k not in taken]
    return people


def _fit(person: _Person, face: _Person, frame: int) -> float:
    """How well a face of this frame goes on with a person: 0 not at all, else overlap and likeness together."""
    last = next(reversed(person.faces))
    overlap = _overlap(_expected(person.faces[last].box, frame - last - 1), face.faces[frame].box)
    likeness = _likeness(person, face)
    if overlap < LEAST_OVERLAP:
        return 0.0
    if likeness is None:
        return overlap
    in_place = overlap >= PLACE_ALONE and last == frame - 1
    return overlap + max(likeness, 0.0) if likeness >= UNLIKE or in_place else 0.0


def _reunited(people: Sequence[_Person]) -> list[_Person]:
    """The people of a shot, those joined who look the same and are never seen at once; each goes to the most alike."""
    known: list[_Person] = []
    for person in people:
        others = [(_likeness(person, other) or 0.0, other) for other in known if _apart(person, other)]
        likeness, same = max(others, key=lambda pair: pair[0], default=(0.0, person))
        if likeness >= SAME:
            same.add(person)
        else:
            known.append(person)
    return known


def _apart(a: _Person, b: _Person) -> bool:
    return a.faces.keys().isdisjoint(b.faces.keys())


def _likeness(a: _Person, b: _Person) -> float | None:
    """The cosine of two people's mean features; None where they are not known."""
    if a.features is None or b.features is None:
        return None
    lengths = np.linalg.norm(a.features) * np.linalg.norm(b.features)
    return float(a.features @ b.features / lengths) if lengths > 0 else None


def _track(person: _Person, count: int, height: int, width: int, frame_rate: Fraction, smooth: float) -> FaceTrack:
    frames = list(person.faces)
    landmarks = np.full((count, LANDMARK_POINTS, 2), np.nan)
    landmarks[frames] = [face.landmarks for face in person.faces.values()]
    return landmarks_to_track(landmarks, np.isin(np.arange(count), frames), height, width, frame_rate, smooth)


def _expected(box: np.ndarray, hidden: int) -> np.ndarray:
    """A box grown by the frames that its face has been hidden for."""
    grown = min(0.5, GROWTH_PER_FRAME / 2 * hidden) * (box[2:] - box[:2])
    return np.concatenate([box[:2] - grown, box[2:] + grown])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0,y0,x1,y1."""
    inner = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner
    return float(inner / union) if union > 0 else 0.0


def _place(person: _Person) -> float:
    """The mean x of a person's boxes."""
    return float(np.mean([face.box[[0, 2]].mean() for face in person.faces.values()]))
