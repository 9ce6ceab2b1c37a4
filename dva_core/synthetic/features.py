"""The face: skin with its light, eyes, brows, nose, mouth, beard, age and make-up, painted in head coordinates."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import Canvas, bell, smooth
from .head import Surface


def brow_line(f: SimpleNamespace, t: Tensor) -> Tensor:
    """Height v of the brow at t, from -1 (inner end) to 1 (outer end)."""
    arch = 0.025 * (1 - t**2) + 0.05 * f.brow_angle * t
    return f.eye_height - f.brow_height - 0.035 * f.brow_raise - arch


def eye_lids(f: SimpleNamespace, t: Tensor) -> tuple[Tensor, Tensor]:
    """Upper and lower lid at t, from -1 (inner corner) to 1 (outer corner), relative to the centre of the eye."""
    arc = (1 - t**2).clamp_min(0)
    slant = -f.eye_tilt * f.eye_width * 0.5 * t
    return f.eye_opening * (1.55 * f.blink - 1) * arc + slant, 0.62 * f.eye_opening * arc + slant


def mouth_curves(f: SimpleNamespace, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Heights v of the lips' four edges (top, inner top, inner bottom, bottom) at t from -1 to 1, and half the width."""
    arc = (1 - t**2).clamp_min(1e-4)
    gap = 0.15 * f.mouth_open * arc
    middle = f.mouth_height + 0.055 * f.smile * (0.35 - t**2)
    cupid = 1 - 0.28 * bell((t / 0.16) ** 2)
    inner_top, inner_bottom = middle - 0.15 * gap, middle + 0.85 * gap
    top = inner_top - f.upper_lip * arc**0.75 * cupid
    bottom = inner_bottom + f.lower_lip * arc**0.6
    return top, inner_top, inner_bottom, bottom, f.mouth_width * (1 + 0.16 * f.smile - 0.08 * f.mouth_open)


def paint_face(canvas: Canvas, f: SimpleNamespace, s: Surface) -> None:
    """Paints skin and everything on it onto the head's surface."""
    inside = canvas.cover(s.outside)
    _paint_skin(canvas, f, s, inside)
    _paint_age(canvas, f, s, inside)
    _paint_nose(canvas, f, s, inside)
    _paint_beard(canvas, f, s, inside)
    _paint_mouth(canvas, f, s, inside)
    _paint_eyes(canvas, f, s, inside)
    _paint_brows(canvas, f, s, inside)


def lit(f: SimpleNamespace, normal: tuple[Tensor, Tensor, Tensor], wrap: float = 0.3) -> Tensor:
    """Brightness [N,H,W] of a matt surface under the scene's light (wrapped around the terminator, as skin does)."""
    toward = normal[0] * f.light[:, 0] + normal[1] * f.light[:, 1] + normal[2] * f.light[:, 2]
    return f.ambient + (1.12 - f.ambient) * ((toward + wrap) / (1 + wrap)).clamp_min(0)


def _paint_skin(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    light = lit(f, s.normal)
    gloss = (0.5 * s.normal[2] + 0.5 * (s.normal[0] * f.light[:, 0] + s.normal[1] * f.light[:, 1] + s.normal[2] * f.light[:, 2]))
    gloss = 0.16 * gloss.clamp_min(0) ** 16
    color = f.skin_color * light[:, None] + gloss[:, None]
    # blood shows through where little light arrives
    color[:, 0] += 0.05 * (1 - light).clamp_min(0) * f.skin_color[:, 0]
    canvas.paint(color.clamp(0, 1), inside, 1)
    side = s.u.abs()
    cheek = bell(((side - 0.36) / 0.15) ** 2 + ((s.v - 0.33) / 0.12) ** 2)
    blush = (0.13 + 0.42 * f.rosy_cheeks + 0.22 * f.makeup) * cheek * inside
    canvas.paint(f.skin_color * _tint(canvas, 1.0, 0.48, 0.46) * light[:, None], blush)
    temple_shadow = smooth(side / f.head_width, 0.70, 1.05) * 0.22
    canvas.shade(0.55, temple_shadow * inside)


def _paint_age(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    """Lines of the forehead, crow's feet, folds beside the mouth and bags below the eyes: all there when not Young."""
    side, wave = s.u.abs(), 0.018 * torch.cos(s.u * 9)
    lines = 0
    for height in (-0.36, -0.45, -0.54):
        lines = lines + _stroke(s.v - height - wave - f.eye_height, 0.013) * smooth(0.34 - side, 0, 0.12)
    fold = f.nose_width + 0.05 + 0.24 * (s.v - f.eye_height - f.nose_length)
    span = smooth(s.v, f.mouth_height - 0.20, f.mouth_height - 0.12) * smooth(-s.v, -f.mouth_height - 0.14, -f.mouth_height - 0.02)
    lines = lines + _stroke(side - fold - 0.03, 0.016) * span
    below = s.v - f.eye_height - 0.105 + 0.6 * (side - f.eye_distance) ** 2
    lines = lines + 0.8 * _stroke(below, 0.015) * smooth(0.13 - (side - f.eye_distance).abs(), 0, 0.06)
    outer = side - f.eye_distance - f.eye_width - 0.015
    for slope in (-0.6, 0.0, 0.6):
        lines = lines + _stroke(s.v - f.eye_height - slope * outer, 0.009) * smooth(outer, 0, 0.02) * smooth(0.11 - outer, 0, 0.04)
    canvas.shade(0.52, (f.old * lines).clamp(0, 1) * inside)


def _paint_nose(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    size = 1 + 0.35 * f.big_nose
    tip, side = f.eye_height + f.nose_length, s.u.abs()
    width = f.nose_width * size * (0.35 + 0.65 * smooth(s.v, tip - 0.28, tip)) + 0.03
    shape = torch.maximum(side - width, torch.maximum(f.eye_height - 0.02 - s.v, s.v - tip - 0.07))
    canvas.labels.masked_fill_((shape < 0) & (inside > 0.5), 10)
    nostril = (((side - 0.55 * f.nose_width * size) / (0.036 * size)) ** 2 + ((s.v - tip - 0.055) / 0.020) ** 2).sqrt() - 1
    canvas.shade(0.30, canvas.cover(nostril * 0.022, 0.03) * 0.85 * inside)
    wing = (((side - f.nose_width * size) / 0.045) ** 2 + ((s.v - tip - 0.02) / 0.055) ** 2).sqrt() - 1
    crease = _stroke(wing * 0.045, 0.012) * smooth(side, 0.8 * f.nose_width * size, f.nose_width * size + 0.04)
    under = bell((s.u / (1.1 * f.nose_width * size)) ** 2 + ((s.v - tip - 0.085) / 0.030) ** 2)
    canvas.shade(0.62, (0.7 * crease + 0.75 * under).clamp(0, 1) * inside)
    flank = bell(((side - 0.55 * width - 0.03) / (0.035 * size)) ** 2) * smooth(s.v, f.eye_height - 0.05, f.eye_height + 0.06)
    flank = flank * smooth(tip + 0.04 - s.v, 0, 0.06) * (0.7 - 0.5 * s.u.sign() * f.light[:, 0])
    canvas.shade(0.70, flank.clamp(0, 1) * inside)
    ridge = bell((s.u / (0.030 * size)) ** 2) * smooth(s.v, f.eye_height, tip - 0.15) * smooth(tip + 0.02 - s.v, 0, 0.05)
    canvas.paint((f.skin_color * 1.15 + 0.10).clamp(0, 1), 0.30 * ridge * inside)
    philtrum = bell((s.u / 0.022) ** 2) * smooth(s.v, tip + 0.08, tip + 0.11) * smooth(f.mouth_height - 0.05 - s.v, 0, 0.03)
    canvas.shade(0.82, philtrum * inside)


def _paint_beard(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    side, tip = s.u.abs(), f.eye_height + f.nose_length
    lip = f.mouth_height - 0.055 * f.smile * 0.5
    cheek = lip - 0.10 - 0.62 * (side - 0.24).clamp_min(0) + 0.35 * (side - 0.45).clamp_min(0)
    beneath_nose = tip + 0.115 + 0.12 * (side - 0.16).clamp_min(0)
    full = torch.maximum(torch.where(side < 0.24, beneath_nose, cheek.clamp_min(0.04)) - s.v, 0.0 - s.w - 0.15)
    chin = torch.sqrt((s.u / 0.19) ** 2 + ((s.v - lip - 0.32) / 0.20) ** 2) - 1
    mustache = torch.maximum(
        (s.v - (tip + 0.155) - 0.65 * side.clamp_min(0.05) + 0.03).abs() - 0.045 - 0.02 * f.beard_length, side - f.mouth_width * 1.02
    )
    top, _, _, bottom, width = mouth_curves(f, (s.u / f.mouth_width).clamp(-1.2, 1.2))
    lips = torch.maximum(torch.maximum(top - s.v, s.v - bottom), side - width) + 0.012
    whiskers = 0.86 + 0.13 * _whiskers(f, s, canvas.pixel)
    color = f.beard_color * (lit(f, s.normal, 0.5) * whiskers)[:, None]
    clear_of_lips = 1 - canvas.cover(lips, 0.03)
    amount = f.full * _soft(full) + f.goatee * torch.maximum(_soft(chin * 0.18), _soft(mustache)) + f.mustache * _soft(mustache)
    canvas.paint(color, 0.94 * amount.clamp(0, 1) * clear_of_lips * inside)
    canvas.paint(f.beard_color * 0.8 + 0.1 * f.skin_color, 0.42 * f.stubble * _soft(full, 0.10) * clear_of_lips * inside)


def _paint_mouth(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    _, _, _, _, width = mouth_curves(f, s.u * 0)
    t = s.u / width
    top, inner_top, inner_bottom, bottom, _ = mouth_curves(f, t.clamp(-1, 1))
    ends = (t.abs() - 1) * width
    light = lit(f, s.normal)[:, None]
    painted = f.lipstick.maximum(0.7 * f.makeup)[:, None]
    color = torch.lerp(0.55 * f.lip_color + 0.45 * f.skin_color * _tint(canvas, 1.0, 0.62, 0.6), f.lipstick_color, painted)
    upper = torch.maximum(torch.maximum(top - s.v, s.v - inner_top - 0.004), ends)
    lower = torch.maximum(torch.maximum(inner_bottom - 0.004 - s.v, s.v - bottom), ends)
    canvas.paint(color * light * 0.80, canvas.cover(upper, 0.02) * inside, 12)
    canvas.paint(color * light, canvas.cover(lower, 0.02) * inside, 13)
    shine = bell((s.u / 0.09) ** 2 + ((s.v - inner_bottom - 0.4 * f.lower_lip) / 0.014) ** 2)
    canvas.paint(light.clamp(0, 1).expand(-1, 3, -1, -1), (0.14 + 0.25 * f.lipstick) * shine * inside)
    hole = torch.maximum(torch.maximum(inner_top - s.v, s.v - inner_bottom), ends)
    opened = canvas.cover(hole) * smooth(f.mouth_open, 0.04, 0.15) * inside
    canvas.paint(_tint(canvas, 0.20, 0.05, 0.05), opened, 11)
    tongue = torch.sqrt((s.u / 0.10) ** 2 + ((s.v - inner_bottom) / 0.05) ** 2) - 1
    canvas.paint(_tint(canvas, 0.62, 0.28, 0.27), 0.8 * canvas.cover(tongue * 0.05, 0.03) * opened)
    teeth = torch.maximum(s.v - inner_top - 0.055 * (1 - 0.4 * t**2), t.abs() * width - 0.8 * width)
    canvas.paint(_tint(canvas, 0.93, 0.91, 0.86) * light.clamp(0, 1), canvas.cover(teeth, 0.02) * opened)
    line = _stroke(s.v - 0.5 * (inner_top + inner_bottom), 0.014) * canvas.cover(ends, 0.02) * (1 - smooth(f.mouth_open, 0.04, 0.15))
    canvas.shade(0.38, line * inside)


def _paint_eyes(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    right = (s.u > 0).to(s.u.dtype)
    sign = 2 * right - 1
    x, y = s.u - sign * f.eye_distance, s.v - f.eye_height
    t = x * sign / f.eye_width
    upper, lower = eye_lids(f, t.clamp(-1, 1))
    ends = (t.abs() - 1) * f.eye_width
    socket = bell((x / (1.25 * f.eye_width)) ** 2 + ((y + 0.025) / 0.085) ** 2) * inside
    canvas.shade(0.70, 0.55 * socket)
    lid = torch.maximum(torch.maximum(1.75 * upper.clamp_max(-0.025) - 0.01 - y, y - upper), ends)
    canvas.paint(f.eyeshadow_color * f.skin_color.mean(1, keepdim=True).sqrt(), 0.75 * f.makeup * canvas.cover(lid, 0.05) * inside)
    crease = _stroke(y - 1.6 * upper.clamp_max(-0.03) + 0.012, 0.012) * canvas.cover(ends, 0.04)
    canvas.shade(0.62, 0.6 * crease * inside)
    opening = torch.maximum(torch.maximum(upper - y, y - lower), ends)
    eye = canvas.cover(opening) * inside
    white = _tint(canvas, 0.93, 0.92, 0.91) * (0.72 + 0.28 * smooth(y - upper, 0.0, 0.05))[:, None]
    canvas.paint(white * (0.55 + 0.45 * lit(f, s.normal))[:, None].clamp(0, 1), eye)
    for region, label in ((1 - right, 4), (right, 5)):
        canvas.labels.masked_fill_((eye * region > 0.5), label)
    gaze_x, gaze_y = 0.045 * f.gaze_x, 0.018 * f.gaze_y
    distance = torch.sqrt((x - gaze_x) ** 2 + (y - gaze_y + 0.006) ** 2)
    canvas.paint(f.eye_color, canvas.cover(distance - 0.060) * eye)
    canvas.paint(f.eye_color * 1.9, 0.6 * smooth(distance, 0.02, 0.045) * canvas.cover(distance - 0.050, 0.02) * eye * (y > gaze_y))
    canvas.paint(_tint(canvas, 0.02, 0.02, 0.02), canvas.cover(distance - 0.027) * eye)
    glint = torch.sqrt((x - gaze_x - 0.022 * f.light[:, 0].sign()) ** 2 + (y - gaze_y + 0.026) ** 2)
    canvas.paint(_tint(canvas, 1.0, 1.0, 1.0), 0.9 * canvas.cover(glint - 0.014) * eye)
    lash_width = 0.020 + 0.016 * f.makeup + 0.010 * t.clamp(0, 1)
    lash = (0.5 - ((y - upper).abs() - lash_width / 2) / canvas.pixel).clamp(0, 1) * canvas.cover(ends)
    canvas.paint(_tint(canvas, 0.05, 0.035, 0.03), lash * inside)
    canvas.shade(0.55, (0.5 + 0.5 * f.makeup) * _stroke(y - lower - 0.004, 0.010) * canvas.cover(ends, 0.02) * inside)


def _paint_brows(canvas: Canvas, f: SimpleNamespace, s: Surface, inside: Tensor) -> None:
    side = s.u.abs()
    t = (side - f.eye_distance) / 0.17
    thickness = f.brow_thickness * (1 + 0.85 * f.bushy_eyebrows) * (1 - 0.45 * smooth(t, 0.1, 1.0))
    shape = torch.maximum((s.v - brow_line(f, t)).abs() - thickness, (t.abs() - 1) * 0.17)
    alpha = canvas.cover(shape, 0.025) * inside
    canvas.paint(0.8 * f.beard_color * (0.75 + 0.25 * _whiskers(f, s, canvas.pixel))[:, None], 0.9 * alpha)
    for region, label in ((s.u < 0, 2), (s.u >= 0, 3)):
        canvas.labels.masked_fill_((alpha > 0.5) & region, label)


def _whiskers(f: SimpleNamespace, s: Surface, pixel: Tensor) -> Tensor:
    """Fine hair texture in -1..1, fading out where it would be thinner than the pixels."""
    fine = (1.6 - 60 * pixel).clamp(0, 1)
    lean = s.u + 0.25 * s.u * s.v
    return torch.sin(95 * lean + 6 * torch.sin(17 * s.v)) * fine * 0.7 + 0.3 * torch.sin(23 * lean - 19 * s.v)


def _stroke(distance: Tensor, width: float) -> Tensor:
    """A soft line: 1 on it, a bell across it of about the given half width."""
    return bell((distance / width) ** 2)


def _soft(distance: Tensor, edge: float = 0.05) -> Tensor:
    return smooth(-distance, -edge, edge)


def _tint(canvas: Canvas, *color: float) -> Tensor:
    return canvas.color.new_tensor(color)[None, :, None, None]
