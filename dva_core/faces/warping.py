"""Resampling a picture through a plane map, without aliasing and without loss of place.

Positions here count from the picture's EDGE: its top-left corner is (0,0), the centre of its first pixel (0.5,0.5).
Landmarks and quads count from that pixel's centre, so they are half a pixel less.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def crop_to_frame(quad: np.ndarray, size: int) -> np.ndarray:
    """The perspective map float64 [3,3] from positions in a crop of `size` pixels to positions in the frame.

    quad: [4,2] top-left, bottom-left, bottom-right, top-right in frame pixels.
    """
    corners = size * np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    return _perspective(corners, quad + 0.5)


def side_length(quad: np.ndarray) -> float:
    """The longest edge of a quad, in pixels."""
    return float(np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1).max())


def warp(
    picture: Tensor, matrix: np.ndarray, height: int, width: int, samples: int = 1, padding: str = "zeros"
) -> Tensor:
    """Bilinear samples of `picture` [C,H,W] -> [C,height,width].

    matrix: [3,3] takes positions in the result to positions in the picture. Each pixel of the result is the mean of
    `samples` x `samples` samples spread over its square. `padding` is what lies outside: "zeros" or "border".
    """
    rows, columns = picture.shape[-2:]
    to_unit = np.array([[2 / columns, 0, -1], [0, 2 / rows, -1], [0, 0, 1]]) @ matrix
    x = torch.from_numpy((np.arange(width * samples) + 0.5) / samples)
    y = torch.from_numpy((np.arange(height * samples) + 0.5) / samples)[:, None]
    across, down, depth = (((a * x + c).float(), (b * y).float()) for a, b, c in to_unit / to_unit[2, 2])
    grid = torch.empty(1, height * samples, width * samples, 2)
    torch.add(*across, out=grid[0, ..., 0])
    torch.add(*down, out=grid[0, ..., 1])
    if not np.allclose(to_unit[2, :2], 0, atol=1e-9):
        grid /= torch.add(*depth)[..., None]
    result = F.grid_sample(picture[None], grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return F.avg_pool2d(result, samples)[0] if samples > 1 else result[0]


def bounds(points: np.ndarray, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels around positions [N,2], with one to spare, inside a picture; may be empty."""
    low = np.floor(points.min(axis=0)).astype(int) - 1
    high = np.ceil(points.max(axis=0)).astype(int) + 1
    (x0, y0), (x1, y1) = (np.clip(end, 0, (width, height)) for end in (low, high))
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def shift(x: float, y: float) -> np.ndarray:
    """The map that adds (x,y) to a position."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Positions [N,2] taken through a map [3,3]."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def _perspective(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map [3,3], last element 1, that takes four points [4,2] to four others."""
    (x, y), (u, v) = source.T, target.T
    zero, one = np.zeros(4), np.ones(4)
    across = np.stack([x, y, one, zero, zero, zero, -x * u, -y * u], axis=1)
    down = np.stack([zero, zero, zero, x, y, one, -x * v, -y * v], axis=1)
    solution = np.linalg.solve(np.concatenate([across, down]), np.concatenate([u, v]))
    return np.append(solution, 1.0).reshape(3, 3)
