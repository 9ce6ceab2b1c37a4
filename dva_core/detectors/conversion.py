"""What published landmark nets find, in the form that this engine's own detector gives it."""

from __future__ import annotations

import numpy as np

from ..encoders import Faces

# The row of insightface's 106 points at each of the 68 iBUG points. The 106 are those of Face++, sorted by their names
# (which is why contour_left10 comes before contour_left2), and of the brows' two edges iBUG has the upper one.
IBUG_IN_106 = np.array([
    1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17,  # outline: every other point
    43, 48, 49, 51, 50, 102, 103, 104, 105, 101,  # brows
    72, 73, 74, 86, 78, 79, 80, 85, 84,  # nose
    35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90,  # eyes
    52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55,  # lips, outside
    65, 66, 62, 70, 69, 57, 60, 54,  # lips, inside
])  # fmt: skip
# The same for the 98 points of WFLW (Wu et al. 2018), of which two are averaged where a brow's edges face each other.
IBUG_IN_98 = np.array([
    *((i, i) for i in range(0, 33, 2)),  # outline: every other point
    (33, 33), (34, 41), (35, 40), (36, 39), (37, 38), (42, 50), (43, 49), (44, 48), (45, 47), (46, 46),  # brows
    *((i, i) for i in range(51, 60)),  # nose
    *((i, i) for i in (60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75)),  # eyes
    *((i, i) for i in range(76, 96)),  # lips
])  # fmt: skip


def points_68_from_106(points: np.ndarray) -> np.ndarray:
    """Points [K,106,2] in the order of insightface's 2d106det -> [K,68,2] in iBUG order."""
    return points[:, IBUG_IN_106]


def points_68_from_98(points: np.ndarray) -> np.ndarray:
    """Points [K,98,2] in the order of WFLW -> [K,68,2] in iBUG order."""
    return points[:, IBUG_IN_98].mean(axis=2)


def faces_from_points(points: np.ndarray, scores: np.ndarray) -> Faces:
    """The faces of a frame, best first, from their points [K,68,2] in its pixels and scores [K] 0..1."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    points, scores = np.asarray(points, dtype=np.float64)[order], np.asarray(scores, dtype=np.float64)[order]
    return Faces(np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1), scores, points)
