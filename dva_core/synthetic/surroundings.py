"""What is not the head: background, clothes, neck, ears, and the object that may pass before the face."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import bell, smooth
from .features import lit
from .head import project
from .part import Part


def background(f: SimpleNamespace, x: Tensor, y: Tensor) -> Tensor:
    """A blurred room [N,3,H,W] in scene coordinates: a gradient, soft furniture and a slow texture of low contrast."""
    top, bottom = f.background.unbind(1)
    color = smooth(y, -1.6, 1.6)[:, None] * (bottom - top) + top
    for panel in f.panels.unbind(1):
        px, py, half_x, half_y, soft = panel[:, :5].unbind(1)
        distance = torch.maximum((x - px).abs_() - half_x, (y - py).abs_() - half_y)
        color.lerp_(panel[:, 5:], 0.7 * smooth(-distance, -soft, soft)[:, None])
    texture = torch.ones_like(x)
    for wave in f.waves.unbind(1):
        fx, fy, phase, amplitude = wave.unbind(1)
        angle = (2 * torch.pi * fx * x).addcmul_(2 * torch.pi * fy, y).add_(phase)
        texture.addcmul_(amplitude, angle.sin_())
    return color.mul_(texture[:, None]).clamp_(0, 1)


def paint_clothes(part: Part) -> None:
    """Shoulders in a garment, half following the turn of the head."""
    part = part.window(part.y > 1.22 - part.canvas.pixel)
    canvas, f, y = part.canvas, part.f, part.y
    dx = part.x + 0.15 * torch.sin(f.roll)
    wide = dx.abs()
    depth, frequency, strength = f.cloth_style.unbind(1)
    shoulder = 1.22 + 0.42 * (wide / 1.5) ** 2.2 + 0.9 * (wide - 1.45).clamp_min(0) ** 1.5
    collar = (0.30 - wide).clamp_min(0) * 0.9 * depth / 0.35
    stripes = smooth(torch.sin(2 * torch.pi * frequency * y / 4), -0.2, 0.2)
    stripes = stripes * strength * (1.2 - 3 * canvas.pixel * frequency).clamp(0, 1)
    garment, other = f.cloth.unbind(1)
    color = garment + stripes[:, None] * (other - garment)
    side = 0.5 + 0.5 * (dx * f.light[:, 0]).clamp(-1, 1)
    light = (0.62 + 0.38 * side) * (1 - 0.30 * smooth(wide, 0.9, 1.7)) * (0.75 + 0.25 * smooth(y - shoulder, 0, 0.25))
    canvas.paint((color * light[:, None]).clamp_(0, 1), canvas.cover(shoulder + collar - y), 16)


def paint_neck(part: Part) -> None:
    """The neck from the skull down into the garment, darker in the shadow of the chin."""
    top_x, top_y, _ = project(0.0, 0.55, -0.15, part.R)
    chin_x, chin_y, _ = project(0.0, 1.0, 0.45, part.R)
    pixel = part.canvas.pixel
    near = (part.x.abs() < part.f.head_width + top_x.abs() + pixel) & (part.y > top_y - pixel) & (part.y < 1.85 + pixel)
    part = part.window(near)
    canvas, f, x, y = part.canvas, part.f, part.x, part.y
    down = ((y - top_y) / 0.9).clamp(0, 1)
    dx = x - top_x * (1 - down)
    wide = dx.abs()
    half = f.head_width * (0.60 + 0.16 * smooth(down, 0.55, 1.0))
    end = 1.30 + (0.28 - wide).clamp_min(0) * 1.1 * (0.4 + f.cloth_style[:, 0] / 0.35)
    shape = torch.maximum(wide - half, torch.maximum(top_y - y, y - end))
    across = (dx / half).clamp(-1, 1)
    normal = (across, torch.zeros_like(across), (1 - across * across).clamp_min(0.02).sqrt())
    shadow = 1 - 0.48 * smooth(chin_y + 0.32 - y, -0.12, 0.30) * smooth(0.75 - (x - chin_x).abs(), 0, 0.3)
    color = f.skin_color * (0.94 * lit(f, normal) * shadow)[:, None]
    canvas.paint(color.clamp_(0, 1), canvas.cover(shape), 14)
    edge = bell(((y - end) / 0.035) ** 2) * canvas.cover(wide - half, 0.1)
    canvas.shade(0.72, edge)


def paint_ears(part: Part) -> None:
    """Both ears; the head is painted over the one that is turned away."""
    for side, label in ((-1, 7), (1, 8)):
        _paint_ear(part, side, label)


def _paint_ear(part: Part, side: int, label: int) -> None:
    f, pixel = part.f, part.canvas.pixel
    tall, turned = 0.21 * f.ear_size, (0.62 - side * 0.75 * torch.sin(f.yaw)).clamp(0.35, 1.2)
    wide = 0.125 * f.ear_size * turned
    center_x, center_y, _ = project(side * f.head_width, f.eye_height + 0.12, -0.06, part.R)
    reach = 1.1 * tall * (1 + 0.5 * pixel / wide) + pixel
    part = part.window(((part.x - center_x).abs() < reach) & ((part.y - center_y).abs() < reach))
    canvas, dx, dy = part.canvas, part.x - center_x, part.y - center_y
    roll_x, roll_y = part.R[0][1], part.R[1][1]
    along, across = dx * roll_x + dy * roll_y, dx * roll_y - dy * roll_x
    narrowing = 1 - 0.25 * (along / tall).clamp(-1, 1)
    shape = torch.sqrt((across / (wide * narrowing)) ** 2 + (along / tall) ** 2) - 1
    alpha = canvas.cover(shape * wide)
    light = f.ambient + (1.1 - f.ambient) * (0.45 + 0.4 * side * f.light[:, 0]).clamp(0, 1)
    redder = canvas.color.new_tensor((1.0, 0.90, 0.88))[None, :, None, None]
    canvas.paint((f.skin_color * light[:, None] * redder).clamp(0, 1), alpha, label)
    inner_across, inner_along = (across - side * 0.1 * wide) / (0.55 * wide), (along + 0.15 * tall) / (0.6 * tall)
    inner = torch.sqrt(inner_across**2 + inner_along**2) - 1
    canvas.shade(0.58, canvas.cover(inner * wide * 0.5, 0.05) * alpha)


def paint_occluder(part: Part) -> Tensor:
    """The object before the face, in scene coordinates. Returns its coverage [N,H,W]."""
    canvas, f = part.canvas, part.f
    px, py, half_x, half_y, angle = f.occluder[:, :5].unbind(1)
    dx, dy = part.x - px, part.y - py
    c, s = torch.cos(angle), torch.sin(angle)
    along, across = c * dx + s * dy, c * dy - s * dx
    qx, qy = along.abs() - half_x + 0.08, across.abs() - half_y + 0.08
    corner = torch.sqrt(qx.clamp_min(0) ** 2 + qy.clamp_min(0) ** 2 + 1e-9)
    shape = corner + torch.maximum(qx, qy).clamp_max(0) - 0.08
    alpha = canvas.cover(shape) * (half_x > 0)
    light = 0.65 + 0.35 * smooth(-along / half_x.clamp_min(0.05), -1, 1)
    canvas.paint((f.occluder[:, 5:] * light[:, None]).clamp_(0, 1), alpha, 0)
    return alpha
