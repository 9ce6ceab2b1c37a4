"""What is not the head: background, clothes, neck, ears, and the object that may pass before the face."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import Canvas, bell, smooth
from .features import lit
from .head import project


def background(f: SimpleNamespace, x: Tensor, y: Tensor) -> Tensor:
    """A blurred room [N,3,H,W] in scene coordinates: a gradient, soft furniture and a slowly moving low-contrast texture."""
    fade = smooth(y, -1.6, 1.6)[:, None]
    color = f.background[:, 0] * (1 - fade) + f.background[:, 1] * fade
    for k in range(f.panels.shape[1]):
        px, py, half_x, half_y, soft, *rgb = f.panels[:, k].unbind(1)
        distance = torch.maximum((x - px).abs() - half_x, (y - py).abs() - half_y)
        color = color + 0.7 * smooth(-distance, -soft, soft)[:, None] * (torch.stack(rgb, 1) - color)
    texture = 0
    for k in range(f.waves.shape[1]):
        fx, fy, phase, amplitude = f.waves[:, k].unbind(1)
        texture = texture + amplitude * torch.sin(2 * torch.pi * (fx * x + fy * y) + phase)
    return (color * (1 + texture[:, None])).clamp(0, 1)


def paint_clothes(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor) -> None:
    """Shoulders in a garment, half following the turn of the head."""
    dx = x - 0.15 * torch.sin(f.roll) * -1
    depth, frequency, strength = f.cloth_style.unbind(1)
    shoulder = 1.22 + 0.42 * (dx.abs() / 1.5) ** 2.2 + 0.9 * (dx.abs() - 1.45).clamp_min(0) ** 1.5
    collar = (0.30 - dx.abs()).clamp_min(0) * 0.9 * depth / 0.35
    stripes = smooth(torch.sin(2 * torch.pi * frequency * y / 4), -0.2, 0.2) * strength * (1.2 - 3 * canvas.pixel * frequency).clamp(0, 1)
    color = f.cloth[:, 0] + stripes[:, None] * (f.cloth[:, 1] - f.cloth[:, 0])
    side = 0.5 + 0.5 * (dx * f.light[:, 0]).clamp(-1, 1)
    light = (0.62 + 0.38 * side) * (1 - 0.30 * smooth(dx.abs(), 0.9, 1.7)) * (0.75 + 0.25 * smooth(y - shoulder, 0, 0.25))
    canvas.paint((color * light[:, None]).clamp(0, 1), canvas.cover(shoulder + collar - y), 16)


def paint_neck(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R) -> None:
    """The neck from the skull down into the garment, darker in the shadow of the chin."""
    top_x, top_y, _ = project(0 * f.yaw, 0.55 + 0 * f.yaw, -0.15 + 0 * f.yaw, R)
    down = ((y - top_y) / 0.9).clamp(0, 1)
    cx = top_x * (1 - down)
    half = f.head_width * (0.60 + 0.16 * smooth(down, 0.55, 1.0))
    depth = f.cloth_style[:, 0]
    end = 1.30 + (0.28 - (x - cx).abs()).clamp_min(0) * 1.1 * (0.4 + depth / 0.35)
    shape = torch.maximum((x - cx).abs() - half, torch.maximum(top_y - y, y - end))
    across = ((x - cx) / half).clamp(-1, 1)
    normal = (across, 0 * across, (1 - across**2).clamp_min(0.02).sqrt())
    chin_x, chin_y, _ = project(0 * f.yaw, 1.0 + 0 * f.yaw, 0.45 + 0 * f.yaw, R)
    shadow = 1 - 0.48 * smooth(chin_y + 0.32 - y, -0.12, 0.30) * smooth(0.75 - (x - chin_x).abs(), 0, 0.3)
    canvas.paint((f.skin_color * (0.94 * lit(f, normal) * shadow)[:, None]).clamp(0, 1), canvas.cover(shape), 14)
    edge = bell(((y - end) / 0.035) ** 2) * canvas.cover((x - cx).abs() - half, 0.1)
    canvas.shade(0.72, edge)


def paint_ears(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R) -> None:
    """Both ears; the head is painted over the one that is turned away."""
    roll_x, roll_y = R[0][1], R[1][1]
    for side, label in ((-1, 7), (1, 8)):
        cx, cy, _ = project(side * f.head_width * 1.00, f.eye_height + 0.12, -0.06 + 0 * f.yaw, R)
        dx, dy = x - cx, y - cy
        along, across = dx * roll_x + dy * roll_y, dx * roll_y - dy * roll_x
        turned = (0.62 + 0.75 * (-side * torch.sin(f.yaw))).clamp(0.35, 1.2)
        wide, tall = 0.125 * f.ear_size * turned, 0.21 * f.ear_size
        shape = torch.sqrt((across / (wide * (1 - 0.25 * (along / tall).clamp(-1, 1)))) ** 2 + (along / tall) ** 2) - 1
        light = f.ambient + (1.1 - f.ambient) * (0.45 + 0.4 * side * f.light[:, 0]).clamp(0, 1)
        alpha = canvas.cover(shape * wide)
        canvas.paint((f.skin_color * light[:, None] * canvas.color.new_tensor((1.0, 0.90, 0.88))[None, :, None, None]).clamp(0, 1), alpha, label)
        inner = torch.sqrt(((across - side * 0.1 * wide) / (0.55 * wide)) ** 2 + ((along + 0.15 * tall) / (0.6 * tall)) ** 2) - 1
        canvas.shade(0.58, canvas.cover(inner * wide * 0.5, 0.05) * alpha)


def paint_occluder(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor) -> Tensor:
    """The object before the face, in scene coordinates. Returns its coverage [N,H,W]."""
    px, py, half_x, half_y, angle, *rgb = f.occluder.unbind(1)
    dx, dy = x - px, y - py
    c, s = torch.cos(angle), torch.sin(angle)
    qx, qy = (c * dx + s * dy).abs() - half_x + 0.08, (c * dy - s * dx).abs() - half_y + 0.08
    shape = torch.sqrt(qx.clamp_min(0) ** 2 + qy.clamp_min(0) ** 2 + 1e-9) + torch.maximum(qx, qy).clamp_max(0) - 0.08
    alpha = canvas.cover(shape) * (half_x > 0)
    light = 0.65 + 0.35 * smooth(-(c * dx + s * dy) / half_x.clamp_min(0.05), -1, 1)
    canvas.paint((torch.stack(rgb, 1) * light[:, None]).clamp(0, 1), alpha, 0)
    return alpha
