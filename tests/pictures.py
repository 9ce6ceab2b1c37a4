"""Pictures and faces whose truth is known by formula."""

from __future__ import annotations

import numpy as np


def dots(height: int, width: int, centres: np.ndarray, sigma: float) -> np.ndarray:
    """A dark frame uint8 [H,W,3] with bright round spots at centres [N,2] (x,y); pixel centres are whole numbers."""
    y, x = np.mgrid[:height, :width]
    bright = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres)
    return np.rint(40 + 180 * np.repeat(bright[..., None], 3, axis=-1)).clip(0, 255).astype(np.uint8)


def centroid(weights: np.ndarray) -> np.ndarray:
    """(x,y) of the centre of gravity of weights [H,W]."""
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


def square(centre: tuple[float, float], half: float, degrees: float) -> np.ndarray:
    """The quad [4,2] of a square: half its side in pixels, turned clockwise by an angle."""
    turn = np.deg2rad(degrees)
    x_axis = half * np.array([np.cos(turn), np.sin(turn)])
    y_axis = half * np.array([-np.sin(turn), np.cos(turn)])
    c = np.array(centre)
    return np.stack([c - x_axis - y_axis, c - x_axis + y_axis, c + x_axis + y_axis, c + x_axis - y_axis])


def in_quad(quad: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Frame positions [N,2] of points given in fractions of a crop, (0,0) its top-left corner, for a parallelogram."""
    right, down = quad[3] - quad[0], quad[1] - quad[0]
    return quad[0] + fractions[:, :1] * right + fractions[:, 1:] * down


def face_landmarks(centre: tuple[float, float], eye_distance: float, degrees: float = 0.0) -> np.ndarray:
    """68 landmarks [68,2] of a schematic upright face, turned clockwise: only eyes and mouth corners matter."""
    points = np.zeros((68, 2))
    points[36:42] = (-0.5, 0.0)
    points[42:48] = (0.5, 0.0)
    points[48:68] = (0.0, 1.0)
    points[48], points[54] = (-0.4, 1.0), (0.4, 1.0)
    points[:17] = np.stack([np.linspace(-1, 1, 17), 1.5 - np.linspace(-1, 1, 17) ** 2], axis=1)
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return eye_distance * points @ rotation + centre


def face_points(landmarks: np.ndarray) -> np.ndarray:
    """The four points of landmarks [...,68,2]: both eyes and both corners of the mouth."""
    eyes = [landmarks[..., start : start + 6, :].mean(axis=-2) for start in (36, 42)]
    return np.stack([*eyes, landmarks[..., 48, :], landmarks[..., 54, :]], axis=-2)
