"""The upright square around a face (the FFHQ recipe), kept steady over time, and the crops cut out of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from scipy.ndimage import gaussian_filter1d, label
from torch import Tensor

from ..errors import DvaError
from ..values import FaceTrack
from .warping import bounds, crop_to_frame, shift, side_length, warp

# Kim et al. 2023 follow Tzaban et al. 2022 (Stitch it in Time): the centre is smoothed less than size and turn.
CENTRE_SIGMA = 1.0
AXES_SIGMA = 3.0


def face_axes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The square of each face as centre c, half its width X and half its height Y as vectors; each float64 [T,2].

    landmarks: [T,68,2] (x,y) in pixels, iBUG order. Karras et al. 2019 (FFHQ), as published with the data set.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    left, right = landmarks[:, 36:42].mean(axis=1), landmarks[:, 42:48].mean(axis=1)
    eyes, between = (left + right) / 2, right - left
    to_mouth = (landmarks[:, 48] + landmarks[:, 54]) / 2 - eyes
    direction = between - _turned(to_mouth)
    length = np.maximum(2.0 * _norm(between), 1.8 * _norm(to_mouth))
    x_axis = direction / _norm(direction) * length
    return eyes + 0.1 * to_mouth, x_axis, _turned(x_axis)


def face_quads(landmarks: np.ndarray) -> np.ndarray:
    """Corners float64 [T,4,2] of each face's square: top-left, bottom-left, bottom-right, top-right."""
    return _corners(*face_axes(landmarks))


def smooth_quads(landmarks: np.ndarray, valid: np.ndarray | None = None, smooth: float = 1.0) -> np.ndarray:
    """The same corners, smoothed by a Gaussian along time within each run of valid frames.

    landmarks: [T,68,2]; valid: bool [T], all when left out. `smooth` multiplies the published widths of the Gaussian;
    0 smooths nothing. Rows of invalid frames are NaN.
    """
    axes = face_axes(landmarks)
    runs, count = label(np.ones(len(landmarks), bool) if valid is None else valid)
    quads = np.full((len(landmarks), 4, 2), np.nan)
    for run in range(1, count + 1):
        sigmas = (CENTRE_SIGMA, AXES_SIGMA, AXES_SIGMA)
        steady = (_smoothed(axis[runs == run], smooth * sigma) for axis, sigma in zip(axes, sigmas, strict=True))
        quads[runs == run] = _corners(*steady)
    return quads


def inverse_coefficients(quad: np.ndarray, size: int) -> np.ndarray:
    """The eight numbers a..h, float64, that take frame positions to positions in a crop of `size` pixels:

    ((a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1)); both count from the picture's edge,
    half a pixel more than `quad` [4,2] does. This is Pillow's PERSPECTIVE convention.
    """
    matrix = np.linalg.inv(crop_to_frame(np.asarray(quad, dtype=np.float64), size))
    return (matrix / matrix[2, 2]).reshape(9)[:8]


def crop_faces(frames: Iterable[np.ndarray], quads: np.ndarray, size: int, faithful: bool = False) -> Tensor:
    """Cuts quad t [4,2] out of frame t uint8 [H,W,3]: float32 [T,3,size,size] in -1..1.

    Each crop pixel is the mean over its own area of the frame; outside the frame its edge goes on.
    `faithful` repeats the published pre-processing instead: one bilinear sample a pixel, black outside the frame.
    Raises DvaError when there are not as many frames as quads.
    """
    quads = np.asarray(quads, dtype=np.float64)
    crops, count = torch.empty(len(quads), 3, size, size), 0
    for count, frame in enumerate(frames, start=1):
        if count <= len(quads):
            crops[count - 1] = _crop(frame, quads[count - 1], size, faithful)
    if count != len(quads):
        raise DvaError(f"There must be one quad for each frame, but there are {len(quads)} quads and {count} frames.")
    return crops


def _smoothed(vectors: np.ndarray, sigma: float) -> np.ndarray:
    """Vectors [T,2] under a Gaussian along time, its width in frames."""
    if sigma == 0:
        return vectors
    return gaussian_filter1d(vectors, sigma, axis=0, mode="reflect", truncate=4.0)


def crop_track(frames: Iterable[np.ndarray], track: FaceTrack, size: int) -> Tensor:
    """The crops of a clip's V frames that have a face: float32 [V,3,size,size] in -1..1. Takes all its frames."""
    with_face = (frame for frame, valid in zip(frames, track.valid, strict=True) if valid)
    return crop_faces(with_face, track.quads[track.valid], size)


def _crop(frame: np.ndarray, quad: np.ndarray, size: int, faithful: bool) -> Tensor:
    scale = 1.0 if faithful else side_length(quad) / size
    height, width = frame.shape[:2]
    # Large faces are first shrunk a little by whole pixels: far fewer samples, and half a crop pixel at most.
    shrink = max(1, min(int(scale / 2), height, width))
    rows, columns = _patch(quad, height, width, shrink)
    patch = rearrange(frame[rows, columns], "h w c -> c h w")
    patch = torch.from_numpy(np.ascontiguousarray(patch, dtype=np.float32)) / 127.5 - 1
    if shrink > 1:
        patch = F.avg_pool2d(patch, shrink)
    matrix = np.diag([1 / shrink, 1 / shrink, 1.0]) @ shift(-columns.start, -rows.start) @ crop_to_frame(quad, size)
    if faithful:
        return (warp(patch + 1, matrix, size, size) - 1).clamp(-1, 1)
    return warp(patch, matrix, size, size, samples=max(1, math.ceil(scale / shrink)), padding="border").clamp(-1, 1)


def _patch(quad: np.ndarray, height: int, width: int, shrink: int) -> tuple[slice, slice]:
    """The part of the frame that a crop needs: at least `shrink` pixels high and wide, even for a quad outside."""
    rows, columns = bounds(quad + 0.5, height, width)
    return _at_least(rows, height, shrink), _at_least(columns, width, shrink)


def _at_least(part: slice, length: int, least: int) -> slice:
    start = min(part.start, length - least)
    return slice(start, max(part.stop, start + least))


def _corners(c: np.ndarray, x_axis: np.ndarray, y_axis: np.ndarray) -> np.ndarray:
    return np.stack([c - x_axis - y_axis, c - x_axis + y_axis, c + x_axis + y_axis, c + x_axis - y_axis], axis=1)


def _turned(vectors: np.ndarray) -> np.ndarray:
    """Vectors [T,2] turned by a quarter from x towards y."""
    return np.stack([-vectors[:, 1], vectors[:, 0]], axis=1)


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.hypot(vectors[:, 0], vectors[:, 1])[:, None]
