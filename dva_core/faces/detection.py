"""All faces of all frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from ..encoders import FaceDetector
from ..encoders.detector import Faces
from ..memory import give_back
from ..progress import Watch
from .alignment import face_quads

# Pixels across: smaller squares show no face, and each of their pixels would be the mean of thousands of the crop's.
LEAST_SIDE = 8.0

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Who they are: (frame uint8 [H,W,3], landmarks float64 [K,68,2] of its faces) -> float32 [K,512] of length 1."""


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """One face in one frame, in its pixels (x,y), the centre of the top-left pixel at (0,0).

    box: float64 [4] x0,y0,x1,y1. score: 0..1. landmarks: float64 [68,2] in iBUG order. features: who it is,
    float32 [512] of length 1, or None where nobody has asked.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray
    features: np.ndarray | None = None


def detect_faces(
    detector: FaceDetector,
    frames: Iterable[np.ndarray],
    batch_size: int = 16,
    watch: Watch | None = None,
    embed: Embed | None = None,
) -> list[list[FaceDetection]]:
    """The faces of each frame uint8 [H,W,3], any size but all the same; at most `batch_size` frames are held.

    `watch` is told of every frame. `embed` gives the faces their features, except those too small to be followed.
    """
    frames = iter(frames)
    found: list[list[FaceDetection]] = []
    while batch := list(islice(frames, batch_size)):
        for frame, faces in zip(batch, detector.detect(np.stack(batch)), strict=True):
            detections = _detections(faces)
            found.append(detections if embed is None else with_features(detections, frame, embed))
        give_back()
        if watch is not None:
            watch.tick(len(batch))
    return found


def with_features(faces: list[FaceDetection], frame: np.ndarray, embed: Embed) -> list[FaceDetection]:
    """The faces of a frame uint8 [H,W,3] with their features, except those too small to be followed."""
    if not faces:
        return []
    landmarks = np.stack([face.landmarks for face in faces])
    known = large_enough(landmarks)
    features = iter(embed(frame, landmarks[known]) if known.any() else ())
    return [replace(face, features=next(features)) if large else face for face, large in zip(faces, known, strict=True)]


def large_enough(landmarks: np.ndarray) -> np.ndarray:
    """Which of landmarks [N,68,2] are finite and give a square of LEAST_SIDE or more: bool [N]."""
    with np.errstate(all="ignore"):  # points that all coincide have no direction; their square becomes NaN
        quads = face_quads(landmarks)
        sides = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    return np.isfinite(landmarks).all(axis=(1, 2)) & (sides >= LEAST_SIDE)


def _detections(faces: Faces) -> list[FaceDetection]:
    rows = zip(faces.boxes, faces.scores, faces.landmarks, strict=True)
    # Copies: rows of a detector's results would keep all of these in memory.
    return [FaceDetection(box.copy(), float(score), points.copy()) for box, score, points in rows]
