"""Things worn: glasses, hats, earrings."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import Canvas, bell, smooth
from .features import lit
from .head import project, rays, shell_surface

_GLASSES_PLANE = 0.97  # of the head's depth: in front of the eyes, resting on the nose


def paint_glasses(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R) -> None:
    """Frames, bridge, tinted lenses and arms. The frames lie in a plane before the eyes, so that they shift against
    the face as the head turns; they are never thinner than two pixels of a 64-pixel crop."""
    plane = _GLASSES_PLANE * f.head_depth
    (ou, ov, ow), (du, dv, dw) = rays(x, y, R)
    s = (plane - ow) / dw
    u, v = ou + s * du, ov + s * dv - f.eye_height - 0.015
    half = f.glasses_thickness / 2
    side = u.abs() - f.eye_distance - 0.012
    # an ellipse and a rounded box, mixed by how round the pair is
    box_x, box_y = side.abs() - f.glasses_width + 0.07, v.abs() - f.glasses_height + 0.07
    box = torch.sqrt(box_x.clamp_min(0) ** 2 + box_y.clamp_min(0) ** 2 + 1e-9) + torch.maximum(box_x, box_y).clamp_max(0) - 0.07
    radius = torch.sqrt((side / f.glasses_width) ** 2 + (v / f.glasses_height) ** 2 + 1e-9)
    oval = (radius - 1) * f.glasses_height
    rim = torch.lerp(box, oval, f.glasses_round)
    bridge = torch.maximum((v + 0.045 - 0.4 * u**2).abs() - 0.75 * half, u.abs() - f.eye_distance + f.glasses_width - 0.02)
    frame = torch.minimum(rim.abs() - half, bridge)
    _paint_arms(canvas, f, x, y, R, plane)
    lens = canvas.cover(rim) * f.eyeglasses
    canvas.paint(f.glasses_color * 0.6 + 0.1, f.glasses_tint * lens, None)
    glare = smooth((side + 1.2 * v + 0.06).abs(), 0.035, 0.02) * (v < 0.08)
    canvas.paint(torch.ones_like(canvas.color[:, :, :1, :1]), 0.22 * glare * lens)
    light = 0.7 + 0.3 * smooth(-v, -0.05, 0.12)
    canvas.paint((f.glasses_color * light[:, None]).clamp(0, 1), canvas.cover(frame) * f.eyeglasses, 6)


def paint_hat(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R) -> None:
    """A knitted hat with a folded band."""
    shell = shell_surface(f, x, y, R, 1.10 + 0.55 * f.hair_volume * (1 - f.bald), 0.05)
    line = f.hat_line + 0.30 * smooth(torch.atan2(shell.u.abs(), shell.w), 0.7, 1.6)
    region = torch.maximum(shell.outside, (shell.v - line) * 1.0)
    around = torch.atan2(shell.u, shell.w)
    ribs = torch.sin(34 * around) * (1.7 - 36 * canvas.pixel).clamp(0, 1)
    band = smooth(line - shell.v, 0.30, 0.26)
    light = lit(f, shell.normal, 0.5) * (1 + 0.10 * ribs) * (0.86 + 0.20 * band)
    light = light * (1 - 0.45 * bell(((line - shell.v - 0.28) / 0.035) ** 2))
    canvas.paint((f.hat_color * light[:, None]).clamp(0, 1), canvas.cover(region) * f.hat, 18)


def paint_earrings(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R) -> None:
    """A golden drop below each ear that faces the camera."""
    for side in (-1, 1):
        cx, cy, _ = project(side * f.head_width * 1.03, 0.30 + 0 * f.yaw, 0.02 + 0 * f.yaw, R)
        drop = torch.sqrt((x - cx) ** 2 + (0.75 * (y - cy - 0.03)) ** 2) - 0.050
        facing = smooth(side * R[2][0], -0.25, -0.05) if side > 0 else smooth(-R[2][0], -0.25, -0.05)
        covered = 1 - smooth(f.hair_length, 0.38, 0.42) * (1 - f.bald)
        gold = canvas.color.new_tensor((0.95, 0.78, 0.30))[None, :, None, None]
        canvas.paint(gold * (0.7 + 0.3 * smooth(cy - y, -0.06, 0.03))[:, None], canvas.cover(drop) * f.earrings * facing * covered, 9)


def _paint_arms(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R, plane: Tensor) -> None:
    """The arms run from the frame back to the ears; only the one on the side that faces the camera shows."""
    for side in (-1, 1):
        hinge_u = side * (f.eye_distance + f.glasses_width + 0.01)
        ax, ay, _ = project(hinge_u, f.eye_height - 0.03, plane, R)
        bx, by, _ = project(side * f.head_width * 1.02, f.eye_height + 0.02, 0.05 * plane, R)
        dx, dy = bx - ax, by - ay
        along = (((x - ax) * dx + (y - ay) * dy) / (dx**2 + dy**2).clamp_min(1e-6)).clamp(0, 1)
        distance = torch.sqrt((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 + 1e-12) - 0.028
        facing = smooth(side * R[2][0], -0.35, -0.05)
        canvas.paint(f.glasses_color * 0.8, canvas.cover(distance) * f.eyeglasses * facing, 6)
