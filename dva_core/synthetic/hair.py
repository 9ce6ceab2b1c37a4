"""Hair: a shell around the skull cut along a hairline, long hair hanging behind the neck, strands and highlights."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import Canvas, bell, smooth
from .features import lit, toward_light
from .head import Surface, project, shell_surface
from .part import Part


def hangs(f: SimpleNamespace) -> Tensor:
    """0 where the hair is short, 1 where it covers the ears and falls behind the neck."""
    return smooth(f.hair_length, 0.38, 0.42) * (1 - f.bald)


def paint_far_hair(part: Part) -> None:
    """The far side of the shell, seen below the ears."""
    canvas, f = part.canvas, part.f
    shell = _shell(part, back=True)
    region = torch.maximum(shell.outside, shell.v - 0.42)
    light = 0.50 * _strands(f, canvas, shell) * lit(f, shell.normal, 1.0).clamp_(0, 1)
    canvas.paint(f.hair_color * light[:, None], canvas.cover(region, 0.02), 17)


def paint_hanging_hair(part: Part) -> None:
    """The fall of long hair behind neck and ears."""
    canvas, f = part.canvas, part.f
    x, y, _ = project(0.0, 0.2, -0.25, part.R)
    dx, dy = part.x - x, part.y - y
    wave = (0.035 * f.hair_wave + 0.01) * torch.sin(dy * 11 + f.hair_parting * 9)
    half = f.head_width * (1.02 + f.hair_volume) + 0.07 * smooth(dy, 0.0, 0.8) + wave * dx.sign()
    ends = torch.maximum(-dy - 0.35, dy - f.hair_length - 0.06 * torch.cos(dx * 9))
    strands = torch.sin(dx * 30 + 3 * torch.sin(dy * 4)) * _visible(canvas, 30)
    light = 0.52 + 0.26 * smooth(dx.abs() / half, 0.45, 1.0) + 0.10 * strands
    fall = canvas.cover(torch.maximum(dx.abs() - half, ends), 0.02) * hangs(f)
    canvas.paint(f.hair_color * light[:, None], fall, 17)


def paint_hair(part: Part) -> None:
    """The hair over the skull, with its shadow on the skin."""
    canvas, f, face = part.canvas, part.f, part.face
    on_skin = smooth(_below_hairline(f, face.u / f.head_width, face.v, face.w / f.head_depth), 0.16, -0.02)
    canvas.shade(0.62, on_skin * part.inside * (1 - f.hat))
    shell = _shell(part)
    curls = f.hair_wave * 0.035 * torch.sin(9 * shell.u + 5 * shell.v + 4) * torch.sin(8 * shell.v - 6 * shell.w)
    region = torch.maximum(shell.outside + curls, _below_hairline(f, shell.u, shell.v, shell.w) * 0.9)
    canvas.paint(_hair_shading(f, canvas, shell), canvas.cover(region, 0.03), 17)


def _below_hairline(f: SimpleNamespace, u: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """Signed height below the hairline on the unit sphere: negative is hair.

    It runs over the forehead, down the temples, in front of the ears and around the nape; bangs come down to the
    brows, long hair covers the ears.
    """
    around = torch.atan2(u.abs(), w)
    long = smooth(f.hair_length, 0.38, 0.42)
    parting = 0.10 * bell(((u - 0.25 * f.hair_parting.sign()) / 0.13) ** 2) * (1 - f.bangs)
    bare = f.hairline + 0.14 * (u - 0.2 * f.hair_parting) ** 2 - parting
    fringe = -0.25 + 0.022 * torch.sin(u * 17 + f.hair_parting * 7) * smooth(f.hair_wave, 0, 0.3)
    front = torch.lerp(bare, fringe, f.bangs)
    temple = f.hair_side - 0.02 + 0.62 * long
    line = front + (temple - front) * smooth(around, 0.78 - 0.10 * long, 1.22 - 0.16 * long)
    return v - line - (0.45 + 0.5 * long - temple) * smooth(around, 1.45, 1.75)


def _hair_shading(f: SimpleNamespace, canvas: Canvas, shell: Surface) -> Tensor:
    strands = _strands(f, canvas, shell)
    rim = 1 - 0.25 * smooth(shell.outside, -0.16, 0.0)
    light = lit(f, shell.normal, 0.6) * strands * rim
    # the highlight stands a little above where light and camera would put it
    gloss = 0.45 * shell.normal[2] + 0.55 * (toward_light(f, shell.normal) - 0.35 * shell.normal[1])
    gloss = 0.22 * gloss.clamp_min_(0) ** 10 * (0.3 + 0.7 * strands)
    return (f.hair_color * light[:, None] + (0.35 + 0.65 * f.hair_color) * gloss[:, None]).clamp_(0, 1)


def _strands(f: SimpleNamespace, canvas: Canvas, shell: Surface) -> Tensor:
    """Locks of hair combed from the parting: brightness around 0.9."""
    lock = torch.atan2(shell.u - 0.35 * f.hair_parting * (shell.w > 0), -shell.v + 0.35 + 0.2 * shell.w)
    bend = lock + 0.10 * (1 + 2 * f.hair_wave) * torch.sin(5 * shell.v + 4 * shell.w + 3 * f.hair_parting)
    coarse = torch.sin(11 * f.strands * bend + 2.0) * _visible(canvas, 14)
    fine = torch.sin(37 * f.strands * bend + 3 * torch.sin(6 * shell.v)) * _visible(canvas, 40)
    return 0.90 + 0.13 * coarse + 0.10 * fine


def _shell(part: Part, back: bool = False) -> Surface:
    return shell_surface(part.f, part.x, part.y, part.R, 1.03 + 0.55 * part.f.hair_volume, 0.02, back)


def _visible(canvas: Canvas, waves: float) -> Tensor:
    """1 while a texture of `waves` radians per head unit is coarser than the pixels, 0 when it would alias."""
    return (1.7 - waves * canvas.pixel).clamp(0, 1)
