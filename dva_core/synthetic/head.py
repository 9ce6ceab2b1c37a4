"""The shape of the head: an ellipsoid with a relief, met by parallel rays.

Head coordinates (u, v, w): u to the right of the picture, v down, w out of the face, in head units; the centre of the
head is the origin. Camera coordinates (x, y, z): x right, y down, z towards the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

Rotation = list[list[Tensor]]
"""Head to camera: three rows of three [N,1,1]."""
Vector = tuple[Tensor, Tensor, Tensor]

HEAD_REACH = 1.45
"""No part of the head, short hair and hat included, is further from its centre; long hair falls below."""


@dataclass(frozen=True)
class Surface:
    """Where each pixel's ray meets a surface, all [N,H,W]: head coordinates, distance to the silhouette (negative
    inside, in head units), and the unit normal in camera coordinates [3][N,H,W]."""

    u: Tensor
    v: Tensor
    w: Tensor
    outside: Tensor
    normal: Vector

    def each(self, change: Callable[[Tensor], Tensor]) -> Surface:
        """The surface with every field changed in the same way."""
        fields = (change(field) for field in (self.u, self.v, self.w, self.outside))
        return Surface(*fields, normal=tuple(change(component) for component in self.normal))


def rotation(factors: SimpleNamespace) -> Rotation:
    """Head to camera: R = R_roll R_pitch R_yaw."""
    cy, sy = torch.cos(factors.yaw), torch.sin(factors.yaw)
    cp, sp = torch.cos(factors.pitch), torch.sin(factors.pitch)
    cr, sr = torch.cos(factors.roll), torch.sin(factors.roll)
    zero, one = torch.zeros_like(cy), torch.ones_like(cy)
    turn = [[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]]
    nod = [[one, zero, zero], [zero, cp, sp], [zero, -sp, cp]]
    tilt = [[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]]
    return _matmul(tilt, _matmul(nod, turn))


def rays(x: Tensor, y: Tensor, R: Rotation) -> tuple[Vector, Vector]:
    """Origin and direction in head coordinates of the parallel rays through camera points (x, y), [N,H,W]."""
    return tuple((R[0][k] * x).addcmul_(R[1][k], y) for k in range(3)), tuple(R[2])


def project(u: float | Tensor, v: float | Tensor, w: float | Tensor, R: Rotation) -> Vector:
    """Head coordinates to camera coordinates (before the camera's shift and zoom)."""
    return tuple(R[k][0] * u + R[k][1] * v + R[k][2] * w for k in range(3))


def face_surface(f: SimpleNamespace, x: Tensor, y: Tensor, R: Rotation) -> Surface:
    """The skin: ellipsoid, jaw and relief. The relief depends on where the ray lands: landing is found by iteration."""
    origin, direction = rays(x, y, R)
    hills = _hills(f)
    v = height = torch.zeros_like(f.head_depth)
    for last in (False, False, True):
        A, B = half_width(f, v), half_height(f, v)
        u, v, w, closest = _land(origin, direction, (A, B, f.head_depth), 1 + height)
        height, *slopes = _relief(hills, u, v, slopes=last)
    outside = (closest.clamp_min(0).sqrt() - 1 - height) * A
    return Surface(u, v, w, outside, _turn(_relief_normal((u, v, w), (A, B, f.head_depth), slopes), R))


def shell_surface(
    f: SimpleNamespace, x: Tensor, y: Tensor, R: Rotation, scale: Tensor, lift: float, back: bool = False
) -> Surface:
    """An ellipsoid around the head, `scale` larger and `lift` higher: hair, hats. `back`: its far side.

    u, v, w come divided by the half axes, so that they lie on the unit sphere.
    """
    origin, direction = rays(x, y, R)
    A, B, C = f.head_width * scale, scale, f.head_depth * scale
    u, v, w, closest = _land((origin[0], origin[1] + lift, origin[2]), direction, (A, B, C), 1.0, back)
    u, v, w = u / A, v / B, w / C
    return Surface(u, v, w, (closest.clamp_min(0).sqrt() - 1) * A, _turn(_unit(u / A, v / B, w / C), R))


def face_point(f: SimpleNamespace, u: Tensor, v: Tensor, R: Rotation) -> tuple[Vector, Vector]:
    """The point of the skin at (u, v), and the unit normal there, both in camera coordinates."""
    height, *slopes = _relief(_hills(f), u, v)
    A, B, C = half_width(f, v), half_height(f, v), f.head_depth
    w = C * ((1 + height) ** 2 - (u / A) ** 2 - (v / B) ** 2).clamp_min(0.0).sqrt()
    return project(u, v, w, R), _turn(_relief_normal((u, v, w), (A, B, C), slopes), R)


def half_width(f: SimpleNamespace, v: Tensor) -> Tensor:
    """Half axis of the head along u at height v: the jaw is narrower."""
    lower = v.clamp(0, 1.2)
    return f.head_width * (1 - f.jaw_taper * lower * lower)


def half_height(f: SimpleNamespace, v: Tensor) -> Tensor:
    """Half axis of the head along v: the jaw drops with the opening of the mouth."""
    return 1 + (0.05 * f.mouth_open + f.chin) * (v > 0)


def _land(
    origin: Vector, direction: Vector, axes: Vector, radius: float | Tensor, back: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First (or last) point of the ray on the ellipsoid scaled by `radius`; past the rim, the closest point to it.

    Returns the point and the squared distance of the ray from the centre, in multiples of the ellipsoid.
    """
    p, q = ([part / axis for part, axis in zip(vector, axes, strict=True)] for vector in (origin, direction))
    a, b, c = _dot(q, q), _dot(p, q), _dot(p, p)
    middle = -b / a
    closest = torch.addcmul(c, b, middle)
    reach = ((radius * radius - closest).clamp_min_(0) / a).sqrt_()
    s = middle - reach if back else middle + reach
    u, v, w = (torch.addcmul(start, s, step) for start, step in zip(origin, direction, strict=True))
    return u, v, w, closest


def _hills(f: SimpleNamespace) -> list[tuple]:
    """The relief as bells: centre u and v, one over twice the widths along u and v, height.

    Hills off the middle (a centre u that is not 0.0) stand on both sides.
    """
    nose = 1 + 0.35 * f.big_nose
    tip = f.eye_height + f.nose_length
    mouth = f.mouth_height + 0.05 * f.mouth_open
    hills = (
        # centre u, centre v, width u, width v, height
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
    return [(cu, cv, 0.5 / wu, 0.5 / wv, amount) for cu, cv, wu, wv, amount in hills]


def _relief(hills: list[tuple], u: Tensor, v: Tensor, slopes: bool = True) -> Vector:
    """Height over the ellipsoid as a fraction of its radius, and its slopes along u and v (see `canvas.bell`)."""
    side, one = u.abs(), u.new_ones(())
    height, slope_v, slope_middle, slope_sides = (torch.zeros_like(u) for _ in range(4))
    for cu, cv, per_u, per_v, amount in hills:
        central = isinstance(cu, float) and cu == 0
        du = u * per_u if central else (side - cu).mul_(per_u)
        dv = (v - cv).mul_(per_v)
        t = torch.addcmul(one, du, du, value=-1).addcmul_(dv, dv, value=-1).clamp_min_(0)
        cube = t * t * t * amount
        height.addcmul_(cube, t)
        if slopes:
            cube.mul_(-8)
            (slope_middle if central else slope_sides).add_(du.mul_(cube).mul_(per_u))
            slope_v.add_(dv.mul_(cube).mul_(per_v))
    return height, slope_middle.addcmul_(slope_sides, u.sign()), slope_v


def _relief_normal(point: Vector, axes: Vector, slopes: list[Tensor]) -> Vector:
    (u, v, w), (A, B, C), (slope_u, slope_v) = point, axes, slopes
    return _unit(u / (A * A) - slope_u, v / (B * B) - slope_v, w / (C * C))


def _unit(a: Tensor, b: Tensor, c: Tensor) -> Vector:
    scale = _dot((a, b, c), (a, b, c)).clamp_min_(1e-12).rsqrt_()
    return a * scale, b * scale, c * scale


def _turn(vector: Vector, R: Rotation) -> Vector:
    return tuple(_dot(vector, line) for line in R)


def _dot(a: Vector, b: Vector) -> Tensor:
    return torch.addcmul(torch.addcmul(a[0] * b[0], a[1], b[1]), a[2], b[2])


def _matmul(left: Rotation, right: Rotation) -> Rotation:
    return [[sum(left[i][k] * right[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
