"""Things worn: glasses, hats, earrings."""

from __future__ import annotations

import torch
from torch import Tensor

from .canvas import bell, smooth
from .features import lit
from .hair import hangs
from .head import project, rays, shell_surface
from .part import Part

_GLASSES_PLANE = 0.97  # of the head's depth: in front of the eyes, resting on the nose


def paint_glasses(part: Part) -> None:
    """Frames, bridge, tinted lenses and arms. The frames lie in a plane before the eyes, so that they shift against
    the face as the head turns; they are never thinner than two pixels of a 64-pixel crop."""
    plane = _GLASSES_PLANE * part.f.head_depth
    _, height, _ = project(0.0, part.f.eye_height, plane, part.R)
    part = part.window((part.y - height).abs() < 0.65 + part.canvas.pixel)
    _paint_arms(part, plane)
    canvas, f = part.canvas, part.f
    (ou, ov, ow), (du, dv, dw) = rays(part.x, part.y, part.R)
    s = (plane - ow) / dw
    u, v = ou + s * du, ov + s * dv - f.eye_height - 0.015
    half = f.glasses_thickness / 2
    side = u.abs() - f.eye_distance - 0.012
    rim = _rim(part, side, v)
    sag = (v + 0.045 - 0.4 * u * u).abs() - 0.75 * half
    bridge = torch.maximum(sag, u.abs() - f.eye_distance + f.glasses_width - 0.02)
    frame = torch.minimum(rim.abs() - half, bridge)
    lens = canvas.cover(rim)
    canvas.paint(f.glasses_color * 0.6 + 0.1, f.glasses_tint * lens)
    glare = smooth((side + 1.2 * v + 0.06).abs(), 0.035, 0.02) * (v < 0.08)
    canvas.paint(torch.ones_like(canvas.color[:, :, :1, :1]), 0.22 * glare * lens)
    light = 0.7 + 0.3 * smooth(-v, -0.05, 0.12)
    canvas.paint((f.glasses_color * light[:, None]).clamp_(0, 1), canvas.cover(frame), 6)


def paint_hat(part: Part) -> None:
    """A knitted hat with a folded band."""
    canvas, f = part.canvas, part.f
    shell = shell_surface(f, part.x, part.y, part.R, 1.10 + 0.55 * f.hair_volume * (1 - f.bald), 0.05)
    line = f.hat_line + 0.30 * smooth(torch.atan2(shell.u.abs(), shell.w), 0.7, 1.6)
    ribs = torch.sin(34 * torch.atan2(shell.u, shell.w)) * (1.7 - 36 * canvas.pixel).clamp(0, 1)
    band = smooth(line - shell.v, 0.30, 0.26)
    light = lit(f, shell.normal, 0.5) * (1 + 0.10 * ribs) * (0.86 + 0.20 * band)
    light = light * (1 - 0.45 * bell(((line - shell.v - 0.28) / 0.035) ** 2))
    region = torch.maximum(shell.outside, shell.v - line)
    canvas.paint((f.hat_color * light[:, None]).clamp_(0, 1), canvas.cover(region), 18)


def paint_earrings(part: Part) -> None:
    """A golden drop below each ear that faces the camera."""
    for side in (-1, 1):
        _paint_earring(part, side)


def _paint_earring(part: Part, side: int) -> None:
    f = part.f
    x, y, _ = project(side * f.head_width * 1.03, 0.30, 0.02, part.R)
    reach = 0.1 + part.canvas.pixel
    part = part.window(((part.x - x).abs() < reach) & ((part.y - y - 0.03).abs() < reach))
    canvas, dx, dy = part.canvas, part.x - x, part.y - y
    drop = torch.sqrt(dx**2 + (0.75 * (dy - 0.03)) ** 2) - 0.050
    seen = smooth(side * part.R[2][0], -0.25, -0.05) * (1 - hangs(f))
    gold = canvas.color.new_tensor((0.95, 0.78, 0.30))[None, :, None, None]
    canvas.paint(gold * (0.7 + 0.3 * smooth(-dy, -0.06, 0.03))[:, None], canvas.cover(drop) * seen, 9)


def _rim(part: Part, side: Tensor, v: Tensor) -> Tensor:
    """Distance to the edge of the lens: an ellipse and a rounded box, mixed by how round the pair is."""
    f = part.f
    box_x, box_y = side.abs() - f.glasses_width + 0.07, v.abs() - f.glasses_height + 0.07
    corner = torch.sqrt(box_x.clamp_min(0) ** 2 + box_y.clamp_min(0) ** 2 + 1e-9)
    box = corner + torch.maximum(box_x, box_y).clamp_max(0) - 0.07
    radius = torch.sqrt((side / f.glasses_width) ** 2 + (v / f.glasses_height) ** 2 + 1e-9)
    return torch.lerp(box, (radius - 1) * f.glasses_height, f.glasses_round)


def _paint_arms(part: Part, plane: Tensor) -> None:
    """The arms run from the frame back to the ears; only the one on the side that faces the camera shows."""
    canvas, f, R = part.canvas, part.f, part.R
    for side in (-1, 1):
        hinge = side * (f.eye_distance + f.glasses_width + 0.01)
        ax, ay, _ = project(hinge, f.eye_height - 0.03, plane, R)
        bx, by, _ = project(side * f.head_width * 1.02, f.eye_height + 0.02, 0.05 * plane, R)
        dx, dy = bx - ax, by - ay
        px, py = part.x - ax, part.y - ay
        along = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp_min(1e-6)).clamp_(0, 1)
        distance = torch.sqrt((px - along * dx) ** 2 + (py - along * dy) ** 2 + 1e-12) - 0.028
        facing = smooth(side * R[2][0], -0.35, -0.05)
        canvas.paint(f.glasses_color * 0.8, canvas.cover(distance) * facing, 6)
