"""The face: skin with its light, eyes, brows, nose, mouth, beard, age and make-up, painted in head coordinates."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from .canvas import Canvas, bell, smooth
from .head import Surface, Vector
from .part import Part


def brow_line(f: SimpleNamespace, t: Tensor) -> Tensor:
    """Height v of the brow at t, from -1 (inner end) to 1 (outer end)."""
    arch = 0.025 * (1 - t * t) + 0.05 * f.brow_angle * t
    return f.eye_height - f.brow_height - 0.035 * f.brow_raise - arch


def eye_lids(f: SimpleNamespace, t: Tensor) -> tuple[Tensor, Tensor]:
    """Upper and lower lid at t, from -1 (inner corner) to 1 (outer corner), relative to the centre of the eye."""
    arc = (1 - t * t).clamp_min(0)
    slant = -f.eye_tilt * f.eye_width * 0.5 * t
    return f.eye_opening * (1.55 * f.blink - 1) * arc + slant, 0.62 * f.eye_opening * arc + slant


def mouth_half_width(f: SimpleNamespace) -> Tensor:
    """Half the width of the mouth: a smile widens it."""
    return f.mouth_width * (1 + 0.16 * f.smile - 0.08 * f.mouth_open)


def mouth_curves(f: SimpleNamespace, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Heights v of the lips' four edges (top, inner top, inner bottom, bottom) at t, from -1 to 1 over the width."""
    squared = t * t
    arc = (1 - squared).clamp_min(1e-4)
    gap = 0.15 * f.mouth_open * arc
    middle = f.mouth_height + 0.055 * f.smile * (0.35 - squared)
    cupid = 1 - 0.28 * bell(squared / 0.16**2)
    inner_top, inner_bottom = middle - 0.15 * gap, middle + 0.85 * gap
    top = inner_top - f.upper_lip * arc**0.75 * cupid
    bottom = inner_bottom + f.lower_lip * arc**0.6
    return top, inner_top, inner_bottom, bottom


def lit(f: SimpleNamespace, normal: Vector, wrap: float = 0.3) -> Tensor:
    """Brightness [N,H,W] of a matt surface under the scene's light (wrapped around the terminator, as skin does)."""
    falling = ((toward_light(f, normal) + wrap) / (1 + wrap)).clamp_min_(0)
    return falling.mul_(1.12 - f.ambient).add_(f.ambient)


def toward_light(f: SimpleNamespace, normal: Vector) -> Tensor:
    """Cosine between surface and light, [N,H,W]."""
    x, y, z = f.light.unbind(1)
    return (normal[0] * x).addcmul_(normal[1], y).addcmul_(normal[2], z)


def paint_face(part: Part) -> None:
    """Paints skin and everything on it onto the head's surface, each feature in the window that it can reach."""
    f = part.f
    _paint_skin(part)
    wrinkled = part.face_window(f.eye_distance + f.eye_width + 0.13, f.eye_height - 0.60, f.mouth_height + 0.14)
    wrinkled.only(f.old, _paint_age)
    nose_bottom = torch.maximum(f.eye_height + f.nose_length + 0.15, f.mouth_height - 0.05)
    _paint_nose(part.face_window(2.2 * _nose_width(f), f.eye_height - 0.05, nose_bottom))
    part.face_window(2.0, -0.06, 2.0).only(f.full + f.goatee + f.mustache + f.stubble, _paint_beard)
    _paint_mouth(part.face_window(mouth_half_width(f) + 0.02, f.mouth_height - 0.15, f.mouth_height + 0.26))
    _paint_eyes(part.face_window(f.eye_distance + 2.5 * f.eye_width, f.eye_height - 0.22, f.eye_height + 0.15))
    _paint_brows(part.face_window(f.eye_distance + 0.19, f.eye_height - 0.36, f.eye_height - 0.02))


def _paint_skin(part: Part) -> None:
    canvas, f, s = part.canvas, part.f, part.face
    light = lit(f, s.normal)
    gloss = 0.16 * (0.5 * (s.normal[2] + toward_light(f, s.normal))).clamp_min_(0) ** 16
    color = f.skin_color * light[:, None] + gloss[:, None]
    # blood shows through where little light arrives
    color[:, 0] += 0.05 * (1 - light).clamp_min_(0) * f.skin_color[:, 0]
    canvas.paint(color.clamp_(0, 1), part.inside, 1)
    _paint_cheeks(part.face_window(0.66, 0.09, 0.57))
    temple_shadow = smooth(s.u.abs() / f.head_width, 0.70, 1.05) * 0.22
    canvas.shade(0.55, temple_shadow * part.inside)


def _paint_cheeks(part: Part) -> None:
    canvas, f, s = part.canvas, part.f, part.face
    cheek = bell(((s.u.abs() - 0.36) / 0.15) ** 2 + ((s.v - 0.33) / 0.12) ** 2)
    blush = (0.13 + 0.42 * f.rosy_cheeks + 0.22 * f.makeup) * cheek * part.inside
    canvas.paint(f.skin_color * _tint(canvas, 1.0, 0.48, 0.46) * lit(f, s.normal)[:, None], blush)


def _paint_age(part: Part) -> None:
    """Lines of the forehead, crow's feet, folds beside the mouth and bags below the eyes."""
    f, s = part.f, part.face
    side, wave = s.u.abs(), 0.018 * torch.cos(s.u * 9)
    lines = torch.zeros_like(s.u)
    across = smooth(0.34 - side, 0, 0.12)
    for height in (-0.36, -0.45, -0.54):
        lines += _stroke(s.v - height - wave - f.eye_height, 0.013) * across
    fold = f.nose_width + 0.05 + 0.24 * (s.v - f.eye_height - f.nose_length)
    below_nose = smooth(s.v, f.mouth_height - 0.20, f.mouth_height - 0.12)
    above_chin = smooth(-s.v, -f.mouth_height - 0.14, -f.mouth_height - 0.02)
    lines += _stroke(side - fold - 0.03, 0.016) * below_nose * above_chin
    bag = s.v - f.eye_height - 0.105 + 0.6 * (side - f.eye_distance) ** 2
    lines += 0.8 * _stroke(bag, 0.015) * smooth(0.13 - (side - f.eye_distance).abs(), 0, 0.06)
    outer = side - f.eye_distance - f.eye_width - 0.015
    beside_eye = smooth(outer, 0, 0.02) * smooth(0.11 - outer, 0, 0.04)
    for slope in (-0.6, 0.0, 0.6):
        lines += _stroke(s.v - f.eye_height - slope * outer, 0.009) * beside_eye
    part.canvas.shade(0.52, lines.clamp_(0, 1) * part.inside)


def _paint_nose(part: Part) -> None:
    canvas, f, s, inside = part.canvas, part.f, part.face, part.inside
    size, wide = 1 + 0.35 * f.big_nose, _nose_width(f)
    tip, side = f.eye_height + f.nose_length, s.u.abs()
    width = wide * (0.35 + 0.65 * smooth(s.v, tip - 0.28, tip)) + 0.03
    shape = torch.maximum(side - width, torch.maximum(f.eye_height - 0.02 - s.v, s.v - tip - 0.07))
    canvas.labels.masked_fill_((shape < 0) & (inside > 0.5), 10)
    nostril = _ellipse(side - 0.55 * wide, s.v - tip - 0.055, 0.036 * size, 0.020)
    canvas.shade(0.30, canvas.cover(nostril * 0.022, 0.03) * 0.85 * inside)
    wing = _ellipse(side - wide, s.v - tip - 0.02, 0.045, 0.055)
    crease = _stroke(wing * 0.045, 0.012) * smooth(side, 0.8 * wide, wide + 0.04)
    under = bell((s.u / (1.1 * wide)) ** 2 + ((s.v - tip - 0.085) / 0.030) ** 2)
    canvas.shade(0.62, (0.7 * crease + 0.75 * under).clamp_(0, 1) * inside)
    flank = _stroke(side - 0.55 * width - 0.03, 0.035 * size)
    flank *= smooth(s.v, f.eye_height - 0.05, f.eye_height + 0.06) * smooth(tip + 0.04 - s.v, 0, 0.06)
    flank *= 0.7 - 0.5 * s.u.sign() * f.light[:, 0]
    canvas.shade(0.70, flank.clamp_(0, 1) * inside)
    ridge = _stroke(s.u, 0.030 * size) * smooth(s.v, f.eye_height, tip - 0.15) * smooth(tip + 0.02 - s.v, 0, 0.05)
    canvas.paint((f.skin_color * 1.15 + 0.10).clamp(0, 1), 0.30 * ridge * inside)
    above_lip = smooth(s.v, tip + 0.08, tip + 0.11) * smooth(f.mouth_height - 0.05 - s.v, 0, 0.03)
    canvas.shade(0.82, _stroke(s.u, 0.022) * above_lip * inside)


def _paint_beard(part: Part) -> None:
    canvas, f, s, inside = part.canvas, part.f, part.face, part.inside
    side, tip = s.u.abs(), f.eye_height + f.nose_length
    lip = f.mouth_height - 0.055 * f.smile * 0.5
    cheek = lip - 0.10 - 0.62 * (side - 0.24).clamp_min(0) + 0.35 * (side - 0.45).clamp_min(0)
    beneath_nose = tip + 0.115 + 0.12 * (side - 0.16).clamp_min(0)
    full = torch.maximum(torch.where(side < 0.24, beneath_nose, cheek.clamp_min(0.04)) - s.v, -0.15 - s.w)
    chin = _ellipse(s.u, s.v - lip - 0.32, 0.19, 0.20) * 0.18
    across_lip = (s.v - (tip + 0.155) - 0.65 * side.clamp_min(0.05) + 0.03).abs()
    mustache = torch.maximum(across_lip - 0.045 - 0.02 * f.beard_length, side - f.mouth_width * 1.02)
    goatee = torch.maximum(_soft(chin), _soft(mustache))
    top, _, _, bottom = mouth_curves(f, (s.u / f.mouth_width).clamp(-1.2, 1.2))
    lips = torch.maximum(torch.maximum(top - s.v, s.v - bottom), side - mouth_half_width(f)) + 0.012
    skin = (1 - canvas.cover(lips, 0.03)) * inside
    color = f.beard_color * (lit(f, s.normal, 0.5) * (0.86 + 0.13 * _whiskers(s, canvas.pixel)))[:, None]
    amount = f.full * _soft(full) + f.goatee * goatee + f.mustache * _soft(mustache)
    canvas.paint(color, 0.94 * amount.clamp_(0, 1) * skin)
    canvas.paint(f.beard_color * 0.8 + 0.1 * f.skin_color, 0.42 * f.stubble * _soft(full, 0.10) * skin)


def _paint_mouth(part: Part) -> None:
    canvas, f, s, inside = part.canvas, part.f, part.face, part.inside
    width = mouth_half_width(f)
    t = s.u / width
    top, inner_top, inner_bottom, bottom = mouth_curves(f, t.clamp(-1, 1))
    ends = (t.abs() - 1) * width
    light = lit(f, s.normal)[:, None]
    bare = 0.55 * f.lip_color + 0.45 * f.skin_color * _tint(canvas, 1.0, 0.62, 0.6)
    color = torch.lerp(bare, f.lipstick_color, f.lipstick.maximum(0.7 * f.makeup)[:, None])
    upper = torch.maximum(torch.maximum(top - s.v, s.v - inner_top - 0.004), ends)
    lower = torch.maximum(torch.maximum(inner_bottom - 0.004 - s.v, s.v - bottom), ends)
    canvas.paint(color * light * 0.80, canvas.cover(upper, 0.02) * inside, 12)
    canvas.paint(color * light, canvas.cover(lower, 0.02) * inside, 13)
    shine = bell((s.u / 0.09) ** 2 + ((s.v - inner_bottom - 0.4 * f.lower_lip) / 0.014) ** 2)
    canvas.paint(light.clamp(0, 1).expand(-1, 3, -1, -1), (0.14 + 0.25 * f.lipstick) * shine * inside)
    hole = torch.maximum(torch.maximum(inner_top - s.v, s.v - inner_bottom), ends)
    is_open = smooth(f.mouth_open, 0.04, 0.15)
    opened = canvas.cover(hole) * is_open * inside
    canvas.paint(_tint(canvas, 0.20, 0.05, 0.05), opened, 11)
    tongue = _ellipse(s.u, s.v - inner_bottom, 0.10, 0.05)
    canvas.paint(_tint(canvas, 0.62, 0.28, 0.27), 0.8 * canvas.cover(tongue * 0.05, 0.03) * opened)
    teeth = torch.maximum(s.v - inner_top - 0.055 * (1 - 0.4 * t * t), (t.abs() - 0.8) * width)
    canvas.paint(_tint(canvas, 0.93, 0.91, 0.86) * light.clamp(0, 1), canvas.cover(teeth, 0.02) * opened)
    line = _stroke(s.v - 0.5 * (inner_top + inner_bottom), 0.014) * canvas.cover(ends, 0.02)
    canvas.shade(0.38, line * (1 - is_open) * inside)


def _paint_eyes(part: Part) -> None:
    canvas, f, s, inside = part.canvas, part.f, part.face, part.inside
    right = (s.u > 0).to(s.u.dtype)
    sign = 2 * right - 1
    x, y = s.u - sign * f.eye_distance, s.v - f.eye_height
    t = x * sign / f.eye_width
    upper, lower = eye_lids(f, t.clamp(-1, 1))
    ends = (t.abs() - 1) * f.eye_width
    socket = bell((x / (1.25 * f.eye_width)) ** 2 + ((y + 0.025) / 0.085) ** 2) * inside
    canvas.shade(0.70, 0.55 * socket)
    lid = torch.maximum(torch.maximum(1.75 * upper.clamp_max(-0.025) - 0.01 - y, y - upper), ends)
    eyeshadow = f.eyeshadow_color * f.skin_color.mean(1, keepdim=True).sqrt()
    canvas.paint(eyeshadow, 0.75 * f.makeup * canvas.cover(lid, 0.05) * inside)
    crease = _stroke(y - 1.6 * upper.clamp_max(-0.03) + 0.012, 0.012) * canvas.cover(ends, 0.04)
    canvas.shade(0.62, 0.6 * crease * inside)
    eye = canvas.cover(torch.maximum(torch.maximum(upper - y, y - lower), ends)) * inside
    brightness = (0.72 + 0.28 * smooth(y - upper, 0.0, 0.05)) * (0.55 + 0.45 * lit(f, s.normal)).clamp_(0, 1)
    canvas.paint(_tint(canvas, 0.93, 0.92, 0.91) * brightness[:, None], eye)
    for region, label in ((1 - right, 4), (right, 5)):
        canvas.labels.masked_fill_(eye * region > 0.5, label)
    _paint_iris(canvas, f, x - 0.045 * f.gaze_x, y - 0.018 * f.gaze_y, eye)
    lash_width = 0.020 + 0.016 * f.makeup + 0.010 * t.clamp(0, 1)
    lash = canvas.cover((y - upper).abs() - lash_width / 2) * canvas.cover(ends)
    canvas.paint(_tint(canvas, 0.05, 0.035, 0.03), lash * inside)
    under = _stroke(y - lower - 0.004, 0.010) * canvas.cover(ends, 0.02)
    canvas.shade(0.55, (0.5 + 0.5 * f.makeup) * under * inside)


def _paint_iris(canvas: Canvas, f: SimpleNamespace, x: Tensor, y: Tensor, eye: Tensor) -> None:
    """Iris, pupil and the light's reflection; x and y from where the eye looks."""
    distance = torch.sqrt(x**2 + (y + 0.006) ** 2)
    canvas.paint(f.eye_color, canvas.cover(distance - 0.060) * eye)
    lower_half = smooth(distance, 0.02, 0.045) * canvas.cover(distance - 0.050, 0.02) * (y > 0)
    canvas.paint(f.eye_color * 1.9, 0.6 * lower_half * eye)
    canvas.paint(_tint(canvas, 0.02, 0.02, 0.02), canvas.cover(distance - 0.027) * eye)
    glint = torch.sqrt((x - 0.022 * f.light[:, 0].sign()) ** 2 + (y + 0.026) ** 2)
    canvas.paint(_tint(canvas, 1.0, 1.0, 1.0), 0.9 * canvas.cover(glint - 0.014) * eye)


def _paint_brows(part: Part) -> None:
    canvas, f, s = part.canvas, part.f, part.face
    t = (s.u.abs() - f.eye_distance) / 0.17
    thickness = f.brow_thickness * (1 + 0.85 * f.bushy_eyebrows) * (1 - 0.45 * smooth(t, 0.1, 1.0))
    shape = torch.maximum((s.v - brow_line(f, t)).abs() - thickness, (t.abs() - 1) * 0.17)
    alpha = canvas.cover(shape, 0.025) * part.inside
    canvas.paint(0.8 * f.beard_color * (0.75 + 0.25 * _whiskers(s, canvas.pixel))[:, None], 0.9 * alpha)
    for region, label in ((s.u < 0, 2), (s.u >= 0, 3)):
        canvas.labels.masked_fill_((alpha > 0.5) & region, label)


def _nose_width(f: SimpleNamespace) -> Tensor:
    return f.nose_width * (1 + 0.35 * f.big_nose)


def _whiskers(s: Surface, pixel: Tensor) -> Tensor:
    """Fine hair texture in -1..1, fading out where it would be thinner than the pixels."""
    fine = (1.6 - 60 * pixel).clamp(0, 1)
    lean = s.u + 0.25 * s.u * s.v
    return torch.sin(95 * lean + 6 * torch.sin(17 * s.v)) * fine * 0.7 + 0.3 * torch.sin(23 * lean - 19 * s.v)


def _ellipse(x: Tensor, y: Tensor, half_width: float | Tensor, half_height: float) -> Tensor:
    """Distance from the centre in multiples of the half axes, less one: negative inside."""
    return ((x / half_width) ** 2 + (y / half_height) ** 2).sqrt() - 1


def _stroke(distance: Tensor, width: float | Tensor) -> Tensor:
    """A soft line: 1 on it, a bell across it of about the given half width."""
    return bell((distance / width) ** 2)


def _soft(distance: Tensor, edge: float = 0.05) -> Tensor:
    return smooth(-distance, -edge, edge)


def _tint(canvas: Canvas, *color: float) -> Tensor:
    return canvas.color.new_tensor(color)[None, :, None, None]
