"""Other landmark layouts in iBUG's: point by point what they are called, and on a face."""

from __future__ import annotations

import numpy as np
import pytest

from dva_core.detectors.conversion import faces_from_points, points_68_from_98, points_68_from_106
from dva_core.faces.points import MEAN_FACE

# What Face++ calls the places of the 68 points. insightface's 106 are "ordered by point names" (its README).
OUTLINE = [f"contour_left{i}" for i in range(1, 16, 2)] + ["contour_chin"]
OUTLINE += [f"contour_right{i}" for i in range(15, 0, -2)]
QUARTERS = ("upper_left_quarter", "upper_middle", "upper_right_quarter")
LEFT_BROW = [f"left_eyebrow_{place}" for place in ("left_corner", *QUARTERS, "upper_right_corner")]
RIGHT_BROW = [f"right_eyebrow_{place}" for place in ("upper_left_corner", *QUARTERS, "right_corner")]
NOSE = ["nose_bridge1", "nose_bridge2", "nose_bridge3", "nose_tip", "nose_left_contour4", "nose_left_contour5"]
NOSE += ["nose_middle_contour", "nose_right_contour5", "nose_right_contour4"]
AROUND_EYE = ("left_corner", "upper_left_quarter", "upper_right_quarter", "right_corner")
AROUND_EYE += ("lower_right_quarter", "lower_left_quarter")
EYES = [f"{side}_eye_{place}" for side in ("left", "right") for place in AROUND_EYE]
OUTER_LIPS = ["mouth_left_corner", "mouth_upper_lip_left_contour2", "mouth_upper_lip_left_contour1"]
OUTER_LIPS += ["mouth_upper_lip_top", "mouth_upper_lip_right_contour1", "mouth_upper_lip_right_contour2"]
OUTER_LIPS += ["mouth_right_corner", "mouth_lower_lip_right_contour2", "mouth_lower_lip_right_contour3"]
OUTER_LIPS += ["mouth_lower_lip_bottom", "mouth_lower_lip_left_contour3", "mouth_lower_lip_left_contour2"]
INNER_LIPS = ["mouth_upper_lip_left_contour3", "mouth_upper_lip_left_contour4", "mouth_upper_lip_bottom"]
INNER_LIPS += ["mouth_upper_lip_right_contour4", "mouth_upper_lip_right_contour3", "mouth_lower_lip_right_contour1"]
INNER_LIPS += ["mouth_lower_lip_top", "mouth_lower_lip_left_contour1"]
IBUG = [*OUTLINE, *LEFT_BROW, *RIGHT_BROW, *NOSE, *EYES, *OUTER_LIPS, *INNER_LIPS]

# The other 38 of Face++'s points, which iBUG does not have.
BELOW_LEFT = ("lower_left_quarter", "lower_middle", "lower_right_quarter", "lower_right_corner")
BELOW_RIGHT = ("lower_left_corner", "lower_left_quarter", "lower_middle", "lower_right_quarter")
OTHERS = [f"contour_{side}{i}" for side in ("left", "right") for i in range(2, 17, 2)]
OTHERS += [f"{side}_eye_{place}" for side in ("left", "right") for place in ("top", "bottom", "center", "pupil")]
OTHERS += [f"left_eyebrow_{place}" for place in BELOW_LEFT] + [f"right_eyebrow_{place}" for place in BELOW_RIGHT]
OTHERS += [f"nose_{side}_contour{i}" for side in ("left", "right") for i in (1, 2, 3)]

MIRROR_98 = np.array([
    *range(32, -1, -1), 46, 45, 44, 43, 42, 50, 49, 48, 47, 37, 36, 35, 34, 33, 41, 40, 39, 38,  # outline, brows
    51, 52, 53, 54, 59, 58, 57, 56, 55, 72, 71, 70, 69, 68, 75, 74, 73, 64, 63, 62, 61, 60, 67, 66, 65,  # nose, eyes
    82, 81, 80, 79, 78, 77, 76, 87, 86, 85, 84, 83, 92, 91, 90, 89, 88, 95, 94, 93, 97, 96,  # lips, pupils
])  # fmt: skip


def test_insightfaces_106_points_are_found_by_their_names():
    order = sorted([*IBUG, *OTHERS])
    assert len(set(order)) == 106
    numbers = np.repeat(np.arange(106.0)[None, :, None], 2, axis=2)
    assert [order[int(number)] for number in points_68_from_106(numbers)[0, :, 0]] == IBUG


def test_wflws_98_points_become_facexlibs_own_68():
    alignment = pytest.importorskip("facexlib.alignment")
    points = np.random.default_rng(0).random((2, 98, 2)).astype(np.float32)
    expected = np.stack([alignment.landmark_98_to_68(face) for face in points])
    np.testing.assert_allclose(points_68_from_98(points), expected, atol=1e-6)


def test_what_is_left_in_the_98_or_106_points_is_left_in_the_68():
    mirrored_98 = _mirror_of_68(points_68_from_98, MIRROR_98)
    order = sorted([*IBUG, *OTHERS])
    mirrored_106 = _mirror_of_68(points_68_from_106, np.array([order.index(_other_side(name)) for name in order]))
    np.testing.assert_array_equal(mirrored_98, mirrored_106)
    # The mean face is its own mirror image: so says which of the 68 points face each other.
    np.testing.assert_allclose(MEAN_FACE[mirrored_106], MEAN_FACE * (-1, 1), atol=1e-9)


def test_faces_come_best_first_and_their_boxes_hold_the_points():
    points = np.stack([MEAN_FACE, MEAN_FACE + 5])
    faces = faces_from_points(points, np.array([0.6, 0.9]))
    assert faces.scores.tolist() == [0.9, 0.6]
    np.testing.assert_array_equal(faces.landmarks, points[::-1])
    np.testing.assert_allclose(faces.boxes[1], [-1.21, -0.35, 1.21, 1.785])


def test_no_points_are_no_faces():
    faces = faces_from_points(np.zeros((0, 68, 2)), np.zeros(0))
    assert faces.boxes.shape == (0, 4) and faces.scores.shape == (0,) and faces.landmarks.shape == (0, 68, 2)


def _mirror_of_68(convert, mirror: np.ndarray) -> np.ndarray:
    """For each of the 68 points the row of its partner, told from the partners [N] among the N points converted."""
    marks = np.random.default_rng(0).random((1, len(mirror), 2))
    plain, mirrored = convert(marks)[0], convert(marks[:, mirror])[0]
    return np.abs(mirrored[:, None] - plain).sum(axis=2).argmin(axis=1)


def _other_side(name: str) -> str:
    return name.replace("left", "?").replace("right", "left").replace("?", "right")
