"""All faces of all frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..encoders import FaceDetector
from ..progress import Watch


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """One face in one frame, in its pixels (x,y), the centre of the top-left pixel at (0,0).

    box: float64 [4] x0,y0,x1,y1. score: 0..1. landmarks: float64 [68,2] in iBUG order.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray


def detect_faces(
    detector: FaceDetector, frames: Iterable[np.ndarray], batch_size: int = 16, watch: Watch | None = None
) -> list[list[FaceDetection]]:
    """The faces of each frame uint8 [H,W,3], any size but all the same; at most `batch_size` frames are held.

    `watch` is told of every frame.
    """
    frames = iter(frames)
    found: list[list[FaceDetection]] = []
    while batch := list(islice(frames, batch_size)):
        for faces in detector.detect(np.stack(batch)):
            rows = zip(faces.boxes, faces.scores, faces.landmarks, strict=True)
            found.append([FaceDetection(box, float(score), landmarks) for box, score, landmarks in rows])
        if watch is not None:
            watch.tick(len(batch))
    return found
