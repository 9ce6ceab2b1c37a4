"""Where the 68 iBUG points lie on a head: they follow the expression exactly as the painted parts do."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import Tensor

from .features import brow_line, eye_lids, mouth_curves, mouth_half_width
from .head import Rotation, face_point, half_height, half_width

Points = tuple[Tensor, Tensor]
"""Head coordinates u and v, [N,points] each."""


def landmarks(f: SimpleNamespace, R: Rotation) -> tuple[Tensor, Tensor]:
    """The 68 points in camera coordinates: positions [N,68,2], and whether the skin there faces the camera [N,68]."""
    g = SimpleNamespace(**{name: value[..., 0] for name, value in vars(f).items() if value.ndim == 3})
    parts = [_jaw(g), _brow(g, -1), _brow(g, 1), *_nose(g), _eye(g, -1), _eye(g, 1), _outer_lips(g), _inner_lips(g)]
    u, v = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
    (x, y, _), normal = face_point(g, u, v, [[entry[..., 0] for entry in line] for line in R])
    return torch.stack([x, y], -1), normal[2] > 0.05


def _jaw(g: SimpleNamespace) -> Points:
    """From the left ear (of the picture) around the chin to the right one, just within the outline."""
    angle = _row(g, *(math.pi / 2 * (0.03 + 0.97 * k / 8) for k in range(8)))
    u, v = torch.cos(angle), torch.sin(angle)
    chin = torch.ones_like(g.yaw)
    v = torch.cat([v, chin, v.flip(1)], 1) * 0.97 * half_height(g, chin)
    return torch.cat([-u, 0 * chin, u.flip(1)], 1) * 0.97 * half_width(g, v), v


def _brow(g: SimpleNamespace, side: int) -> Points:
    t = _row(g, -1, -0.5, 0, 0.5, 1) * side
    return side * (g.eye_distance + t * 0.16), brow_line(g, t)


def _nose(g: SimpleNamespace) -> tuple[Points, Points]:
    """Down the ridge, then below the nostrils from left to right."""
    down = g.eye_height + 0.02 + (g.nose_length - 0.02) * _row(g, 0, 0.33, 0.67, 1)
    across = g.nose_width * _row(g, -1, -0.5, 0, 0.5, 1)
    return (0 * down, down), (across, g.eye_height + g.nose_length + _row(g, 0.05, 0.07, 0.085, 0.07, 0.05))


def _eye(g: SimpleNamespace, side: int) -> Points:
    """Around the eye from its left corner, the upper lid first."""
    t = _row(g, -1, -0.4, 0.4, 1, 0.4, -0.4)
    upper, lower = eye_lids(g, t * side)
    lid = torch.cat([upper[:, :3], lower[:, 3:]], 1)
    return side * g.eye_distance + t * g.eye_width, g.eye_height + lid


def _outer_lips(g: SimpleNamespace) -> Points:
    t = _row(g, -1, -0.6, -0.25, 0, 0.25, 0.6, 1, 0.6, 0.25, 0, -0.25, -0.6)
    top, _, _, bottom = mouth_curves(g, t)
    return t * mouth_half_width(g), torch.cat([top[:, :6], bottom[:, 6:]], 1)


def _inner_lips(g: SimpleNamespace) -> Points:
    t = _row(g, -0.85, -0.3, 0, 0.3, 0.85, 0.3, 0, -0.3)
    _, inner_top, inner_bottom, _ = mouth_curves(g, t)
    return t * mouth_half_width(g), torch.cat([inner_top[:, :4], inner_bottom[:, 4:]], 1)


def _row(g: SimpleNamespace, *values: float) -> Tensor:
    return g.yaw.new_tensor(values).expand(len(g.yaw), -1)
