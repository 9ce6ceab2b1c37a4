"""The shape of the head: an ellipsoid with a relief, met by parallel rays, and the 68 landmarks on it.

Head coordinates (u, v, w): u to the right of the picture, v down, w out of the face, in head units; the centre of the
head is the origin. Camera coordinates (x, y, z): x right, y down, z towards the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Surface:
    """Where each pixel's ray meets a surface, all [N,H,W]: head coordinates, distance to the silhouette (negative
    inside, in head units), and the unit normal in camera coordinates [3][N,H,W]."""

    u: Tensor
    v: Tensor
    w: Tensor
    outside: Tensor
    normal: tuple[Tensor, Tensor, Tensor]


def rotation(factors: SimpleNamespace) -> list[list[Tensor]]:
    """Head to camera: R = R_roll R_pitch R_yaw as nested lists of [N,1,1]."""
    cy, sy = torch.cos(factors.yaw), torch.sin(factors.yaw)
    cp, sp = torch.cos(factors.pitch), torch.sin(factors.pitch)
    cr, sr = torch.cos(factors.roll), torch.sin(factors.roll)
    zero = torch.zeros_like(cy)
    turn = [[cy, zero, sy], [zero, cy / cy, zero], [-sy, zero, cy]]
    nod = [[cp / cp, zero, zero], [zero, cp, sp], [zero, -sp, cp]]
    tilt = [[cr, -sr, zero], [sr, cr, zero], [zero, zero, cr / cr]]
    return _matmul(tilt, _matmul(nod, turn))


def rays(x: Tensor, y: Tensor, R: list[list[Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Origin and direction in head coordinates of the parallel rays through camera points (x, y), [N,H,W]."""
    return [R[0][k] * x + R[1][k] * y for k in range(3)], [R[2][k] for k in range(3)]


def project(u: Tensor, v: Tensor, w: Tensor, R: list[list[Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Head coordinates to camera coordinates (before the camera's shift and zoom)."""
    return tuple(R[k][0] * u + R[k][1] * v + R[k][2] * w for k in range(3))


def face_surface(f: SimpleNamespace, x: Tensor, y: Tensor, R: list[list[Tensor]]) -> Surface:
    """The skin: ellipsoid, jaw and relief. The relief depends on where the ray lands, so landing is found by iteration."""
    origin, direction = rays(x, y, R)
    v = torch.zeros_like(x)
    height = torch.zeros_like(x)
    for last in (False, False, True):
        A, B = _half_width(f, v), _half_height(f, v)
        u, v, w, closest = _land(origin, direction, A, B, f.head_depth, 1 + height)
        height, slope_u, slope_v = _relief(f, u, v, slopes=last)
    outside = (closest.clamp_min(0).sqrt() - 1 - height) * A
    normal = _unit(u / A**2 - slope_u, v / B**2 - slope_v, w / f.head_depth**2)
    return Surface(u, v, w, outside, _turn(normal, R))


def shell_surface(f: SimpleNamespace, x: Tensor, y: Tensor, R, scale: Tensor, lift: float, back: bool = False) -> Surface:
    """An ellipsoid around the head, `scale` larger and `lift` higher: hair, hats. `back`: its far side.

    u, v, w come divided by the half axes, so that they lie on the unit sphere.
    """
    origin, direction = rays(x, y, R)
    origin = [origin[0], origin[1] + lift, origin[2]]
    A, B, C = f.head_width * scale, scale, f.head_depth * scale
    u, v, w, closest = _land(origin, direction, A, B, C, 1.0, back)
    u, v, w = u / A, v / B, w / C
    return Surface(u, v, w, (closest.clamp_min(0).sqrt() - 1) * A, _turn(_unit(u / A, v / B, w / C), R))


def landmarks(f: SimpleNamespace, R: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """The 68 iBUG points in camera coordinates: positions [N,68,2] and whether the surface faces the camera [N,68].

    They follow the expression (blink, mouth, smile, brows) exactly as the painted parts do.
    """
    from .features import brow_line, eye_lids, mouth_curves

    one = torch.ones_like(f.yaw[..., 0])  # [N,1]
    g = SimpleNamespace(**{name: value[..., 0] for name, value in vars(f).items() if value.ndim == 3})
    row = lambda *values: one * torch.tensor(values, dtype=one.dtype, device=one.device)  # noqa: E731
    angle = row(*(torch.linspace(0.03, 1, 9) * torch.pi / 2)[:8].tolist())
    jaw_u, jaw_v = torch.cos(angle), torch.sin(angle)
    jaw_v = torch.cat([jaw_v, one, jaw_v.flip(1)], 1) * 0.97 * _half_height(g, one)
    jaw_u = torch.cat([-jaw_u, 0 * one, jaw_u.flip(1)], 1) * 0.97 * _half_width(g, jaw_v)
    points = [(jaw_u, jaw_v)]
    for side in (-1, 1):
        t = row(-1, -0.5, 0, 0.5, 1) * side
        points.append((side * (g.eye_distance + t * 0.16), brow_line(g, t)))
    points.append((0 * row(0, 0, 0, 0), g.eye_height + 0.02 + (g.nose_length - 0.02) * row(0, 0.33, 0.67, 1)))
    points.append((g.nose_width * row(-1, -0.5, 0, 0.5, 1), g.eye_height + g.nose_length + row(0.05, 0.07, 0.085, 0.07, 0.05)))
    for side in (-1, 1):
        t = row(-1, -0.4, 0.4, 1, 0.4, -0.4)
        upper, lower = eye_lids(g, t * side)
        lid = torch.where(row(1, 1, 1, 0, 0, 0) > 0, upper, lower)
        points.append((side * g.eye_distance + t * g.eye_width, g.eye_height + lid))
    for inner in (False, True):
        t = row(-0.85, -0.3, 0, 0.3, 0.85, 0.3, 0, -0.3) if inner else row(-1, -0.6, -0.25, 0, 0.25, 0.6, 1, 0.6, 0.25, 0, -0.25, -0.6)
        top, inner_top, inner_bottom, bottom, width = mouth_curves(g, t)
        is_top = torch.arange(t.shape[1], device=t.device) < (4 if inner else 6)
        curve = torch.where(is_top, inner_top if inner else top, inner_bottom if inner else bottom)
        points.append((t * width, curve))
    u, v = torch.cat([p[0] for p in points], 1), torch.cat([p[1] for p in points], 1)
    return _on_surface(g, u, v, [[entry[..., 0] for entry in line] for line in R])


def _on_surface(f: SimpleNamespace, u: Tensor, v: Tensor, R) -> tuple[Tensor, Tensor]:
    height, slope_u, slope_v = _relief(f, u, v)
    A, B = _half_width(f, v), _half_height(f, v)
    w = f.head_depth * ((1 + height) ** 2 - (u / A) ** 2 - (v / B) ** 2).clamp_min(0.0).sqrt()
    x, y, _ = project(u, v, w, R)
    facing = _turn(_unit(u / A**2 - slope_u, v / B**2 - slope_v, w / f.head_depth**2), R)[2]
    return torch.stack([x, y], -1), facing > 0.05


def _half_width(f: SimpleNamespace, v: Tensor) -> Tensor:
    return f.head_width * (1 - f.jaw_taper * v.clamp(0, 1.2) ** 2)


def _half_height(f: SimpleNamespace, v: Tensor) -> Tensor:
    """The jaw drops with the opening of the mouth."""
    return 1 + (0.05 * f.mouth_open + f.chin) * (v > 0)


def _land(origin, direction, A, B, C, radius, back: bool = False):
    """First (or last) point of the ray on the ellipsoid scaled by `radius`; past the rim, the closest point to it."""
    (ou, ov, ow), (du, dv, dw) = origin, direction
    a = (du / A) ** 2 + (dv / B) ** 2 + (dw / C) ** 2
    b = ou * du / A**2 + ov * dv / B**2 + ow * dw / C**2
    closest = (ou / A) ** 2 + (ov / B) ** 2 + (ow / C) ** 2 - b**2 / a
    reach = ((radius**2 - closest).clamp_min(0) / a).sqrt()
    s = -b / a + (-reach if back else reach)
    return ou + s * du, ov + s * dv, ow + s * dw, closest


def _relief(f: SimpleNamespace, u: Tensor, v: Tensor, slopes: bool = True):
    """Height over the ellipsoid as a fraction of its radius, and its slopes along u and v: a sum of bells (see `bell`)."""
    nose = 1 + 0.35 * f.big_nose
    tip = f.eye_height + f.nose_length
    mouth = f.mouth_height + 0.05 * f.mouth_open
    side, sign = u.abs(), u.sign()
    hills = (
        # centre u, centre v, width u, width v, height; off-centre hills stand on both sides
        (0.0, tip - 0.20, 0.055 * nose, 0.16, 0.06),
        (0.0, tip, 0.075 * nose, 0.085 * nose, 0.15 * nose),
        (f.nose_width * nose, tip + 0.03, 0.045 * nose, 0.05, 0.045 * nose),
        (f.eye_distance, f.eye_height, 0.13, 0.09, -0.045),
        (f.eye_distance, f.eye_height - 0.15, 0.17, 0.06, 0.025),
        (0.40, 0.27, 0.13, 0.13, 0.030 + 0.02 * f.smile.clamp_min(0)),
        (0.0, mouth, 0.17, 0.07, 0.035),
        (0.0, mouth + 0.14, 0.12, 0.04, -0.022),
        (0.0, 0.88 + 0.05 * f.mouth_open, 0.15, 0.10, 0.04 + f.chin),
        (0.0, 0.90, 0.45, 0.30, 0.07 * f.beard_length * f.full + 0.04 * f.goatee),
    )
    height = slope_u = slope_v = 0
    for cu, cv, wu, wv, amount in hills:
        central = isinstance(cu, float) and cu == 0
        du = (u if central else side - cu) * (1 / wu)
        dv = (v - cv) * (1 / wv)
        t = (1 - 0.25 * (du * du + dv * dv)).clamp_min(0)
        cube = amount * t * t * t
        height = height + cube * t
        if slopes:
            slope_u = slope_u - cube * du * (2 / wu) * (1 if central else sign)
            slope_v = slope_v - cube * dv * (2 / wv)
    return height, slope_u, slope_v


def _unit(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scale = (a * a + b * b + c * c).clamp_min(1e-12).rsqrt()
    return a * scale, b * scale, c * scale


def _turn(vector, R) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(R[k][0] * vector[0] + R[k][1] * vector[1] + R[k][2] * vector[2] for k in range(3))


def _matmul(left, right):
    return [[sum(left[i][k] * right[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
