"""Hair: a shell around the skull cut along a hairline, long hair hanging behind the neck, strands and highlights."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import Canvas, bell, smooth
from .features import lit
from .head import Surface, project, shell_surface


def paint_hair_behind(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R) -> None:
    """What hangs behind neck and ears: the far side of the shell and, if it is long, the fall of hair."""
    shell = _shell(f, x, y, R, back=True)
    region = torch.maximum(shell.outside, shell.v - 0.42)
    color = f.hair_color * (0.50 * _strands(f, canvas, shell) * lit(f, shell.normal, 1.0).clamp(0, 1))[:, None]
    has_hair = 1 - f.bald
    canvas.paint(color, canvas.cover(region, 0.02) * has_hair, 17)
    cx, cy, _ = project(0 * f.yaw, 0.2 + 0 * f.yaw, -0.25 + 0 * f.yaw, R)
    dx, dy = x - cx, y - cy
    wave = (0.035 * f.hair_wave + 0.01) * torch.sin(dy * 11 + f.hair_parting * 9)
    half = f.head_width * (1.02 + f.hair_volume) + 0.07 * smooth(dy, 0.0, 0.8) + wave * dx.sign()
    fall = torch.maximum(dx.abs() - half, torch.maximum(-dy - 0.35, dy - f.hair_length - 0.06 * torch.cos(dx * 9)))
    hanging = smooth(f.hair_length, 0.38, 0.42) * has_hair
    shade = 0.52 + 0.26 * smooth(dx.abs() / half, 0.45, 1.0) + 0.10 * torch.sin(dx * 30 + 3 * torch.sin(dy * 4)) * _visible(canvas, 30)
    canvas.paint(f.hair_color * shade[:, None], canvas.cover(fall, 0.02) * hanging, 17)


def paint_hair(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, R, face: Surface) -> None:
    """The hair over the skull, with its shadow on the skin."""
    has_hair = 1 - f.bald
    on_skin = smooth(_below_hairline(f, face.u / f.head_width, face.v, face.w / f.head_depth), 0.16, -0.02)
    canvas.shade(0.62, on_skin * canvas.cover(face.outside) * has_hair * (1 - f.hat))
    shell = _shell(f, x, y, R)
    curls = f.hair_wave * 0.035 * torch.sin(9 * shell.u + 5 * shell.v + 4) * torch.sin(8 * shell.v - 6 * shell.w)
    region = torch.maximum(shell.outside + curls, _below_hairline(f, shell.u, shell.v, shell.w) * 0.9)
    alpha = canvas.cover(region, 0.03) * has_hair
    canvas.paint(_hair_shading(f, canvas, shell), alpha, 17)


def _below_hairline(f: SimpleNamespace, u: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """Signed height below the hairline on the unit sphere: negative is hair. It runs over the forehead, down the temples,
    in front of the ears and around the nape; bangs come down to the brows, long hair covers the ears."""
    around = torch.atan2(u.abs(), w)
    long = smooth(f.hair_length, 0.38, 0.42)
    parting = 0.10 * bell(((u - 0.25 * f.hair_parting.sign()) / 0.13) ** 2) * (1 - f.bangs)
    fringe = -0.25 + 0.022 * torch.sin(u * 17 + f.hair_parting * 7) * smooth(f.hair_wave, 0, 0.3)
    front = torch.lerp(f.hairline + 0.14 * (u - 0.2 * f.hair_parting) ** 2 - parting, fringe.expand_as(u), f.bangs)
    temple = f.hair_side - 0.02 + 0.62 * long
    line = front + (temple - front) * smooth(around, 0.78 - 0.10 * long, 1.22 - 0.16 * long)
    return v - line - (0.45 + 0.5 * long - temple) * smooth(around, 1.45, 1.75)


def _hair_shading(f: SimpleNamespace, canvas: Canvas, shell: Surface) -> Tensor:
    light = lit(f, shell.normal, 0.6) * _strands(f, canvas, shell)
    gloss = (0.45 * shell.normal[2] + 0.55 * (shell.normal[0] * f.light[:, 0] + shell.normal[1] * (f.light[:, 1] - 0.35) + shell.normal[2] * f.light[:, 2]))
    gloss = 0.22 * gloss.clamp_min(0) ** 10 * (0.3 + 0.7 * _strands(f, canvas, shell))
    rim = 1 - 0.25 * smooth(shell.outside, -0.16, 0.0)
    return (f.hair_color * (light * rim)[:, None] + (0.35 + 0.65 * f.hair_color) * gloss[:, None]).clamp(0, 1)


def _strands(f: SimpleNamespace, canvas: Canvas, shell: Surface) -> Tensor:
    """Locks of hair combed from the parting: brightness around 0.9."""
    lock = torch.atan2(shell.u - 0.35 * f.hair_parting * (shell.w > 0), -shell.v + 0.35 + 0.2 * shell.w)
    bend = lock + 0.10 * (1 + 2 * f.hair_wave) * torch.sin(5 * shell.v + 4 * shell.w + 3 * f.hair_parting)
    coarse = torch.sin(11 * f.strands * bend + 2.0) * _visible(canvas, 14)
    fine = torch.sin(37 * f.strands * bend + 3 * torch.sin(6 * shell.v)) * _visible(canvas, 40)
    return 0.90 + 0.13 * coarse + 0.10 * fine


def _shell(f: SimpleNamespace, x: Tensor, y: Tensor, R, back: bool = False) -> Surface:
    return shell_surface(f, x, y, R, 1.03 + 0.55 * f.hair_volume, 0.02, back)


def _visible(canvas: Canvas, waves: float) -> Tensor:
    """1 while a texture of `waves` radians per head unit is coarser than the pixels, 0 when it would alias."""
    return (1.7 - waves * canvas.pixel).clamp(0, 1)
