"""Pictures of the rendered people: whole clips with their truth, and crops already in the aligned frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from .canvas import Canvas
from .factors import stack_factors
from .features import paint_face
from .hair import hangs, paint_far_hair, paint_hair, paint_hanging_hair
from .head import HEAD_REACH, face_surface, rotation
from .landmarks import landmarks
from .motion import Motion, sample_motion
from .part import Part
from .person import Person, sample_person
from .scene import Scene, sample_scene
from .surroundings import background, paint_clothes, paint_ears, paint_neck, paint_occluder
from .worn import paint_earrings, paint_glasses, paint_hat

HEAD_UNITS_PER_FRAME = 4.2
"""How many head units (half heads) the shorter side of a rendered frame shows."""


@dataclass(frozen=True)
class Rendered:
    """Pictures uint8 [N,H,W,3] RGB; landmarks float64 [N,68,2] in pixels (the centre of the first pixel is 0,0);
    visible bool [N,68]: in the picture, turned to the camera and not behind an object; parsing uint8 [N,H,W]: the 19
    CelebAMask classes ("left" is the left of the picture)."""

    pictures: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    parsing: np.ndarray


@dataclass(frozen=True)
class RenderedClip:
    """A clip and everything that made it. `frames` uint8 [T,H,W,3]; the truth as in `Rendered`."""

    frames: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    parsing: np.ndarray
    person: Person
    motion: Motion
    scene: Scene


def render_clip(
    seed: int, frames: int = 32, height: int = 160, width: int = 160, *, person: Person | None = None,
    occluder: bool = False, device: torch.device | str = "cpu", batch_size: int = 16,
) -> RenderedClip:  # fmt: skip
    """Renders the clip of a seed: frame t is the same whatever the number of frames.

    With `person` given, the same motion and scene are shown with another person: pass
    `set_attribute(sample_person(seed), name, on)` for the counterfactual, the truth that an edit aims at.
    """
    person = person or sample_person(seed)
    motion, scene = sample_motion(seed, frames), sample_scene(seed, frames, occluder=occluder)
    scale = HEAD_UNITS_PER_FRAME / min(height, width)
    left, top = -scale * (width - 1) / 2, -scale * (height - 1) / 2
    view = torch.tensor([[scale, 0, left], [0, scale, top]], dtype=torch.float64)
    parts = []
    for start in range(0, frames, batch_size):
        steps = range(start, min(start + batch_size, frames))
        n = len(steps)
        views = view.expand(n, 2, 3)
        parts.append(render([person] * n, [motion] * n, [scene] * n, steps, views, height, width, device))
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in Rendered.__dataclass_fields__}
    return RenderedClip(joined.pop("pictures"), **joined, person=person, motion=motion, scene=scene)


def render_crops(
    people: Sequence[Person], motions: Sequence[Motion], scenes: Sequence[Scene], frames: Sequence[int],
    size: int = 64, *, jitter: np.ndarray | None = None, device: torch.device | str = "cpu",
) -> Rendered:  # fmt: skip
    """Renders pictures straight into the aligned crop (the FFHQ square around the true landmarks), without resampling.

    `jitter` [N,4] moves each crop: shift x, y (fractions of its side), log of the zoom, rotation in radians.
    """
    f = stack_factors(people, motions, scenes, frames, device)
    truth = _scene_landmarks(f)
    return _draw(f, truth, _crop_views(truth[0], size, jitter), size, size)


def render(
    people: Sequence[Person], motions: Sequence[Motion], scenes: Sequence[Scene], frames: Sequence[int],
    views: Tensor, height: int, width: int, device: torch.device | str = "cpu",
) -> Rendered:  # fmt: skip
    """Renders picture n: person n in frame `frames[n]` of motion n and scene n, seen through `views[n]`.

    `views` float64 [N,2,3] maps pixel coordinates to scene coordinates (head units, the mean head in the middle).
    """
    f = stack_factors(people, motions, scenes, frames, device)
    return _draw(f, _scene_landmarks(f), views, height, width)


def _draw(f: SimpleNamespace, truth: tuple[Tensor, Tensor], views: Tensor, height: int, width: int) -> Rendered:
    """Paints back to front; `truth` are the landmarks in scene coordinates and whether they face the camera."""
    device = f.zoom.device
    view = views.to(device=device, dtype=torch.float32)[..., None, None]
    row = torch.arange(height, device=device, dtype=torch.float32)[None, :, None]
    column = torch.arange(width, device=device, dtype=torch.float32)[None, None, :]
    scene_x = view[:, 0, 0] * column + view[:, 0, 1] * row + view[:, 0, 2]
    scene_y = view[:, 1, 0] * column + view[:, 1, 1] * row + view[:, 1, 2]
    pixel = torch.hypot(view[:, 0, 0], view[:, 1, 0]) / f.zoom
    x, y = (scene_x - f.shift[:, 0]) / f.zoom, (scene_y - f.shift[:, 1]) / f.zoom

    canvas = Canvas(background(f, scene_x, scene_y), torch.zeros_like(scene_x, dtype=torch.uint8), pixel)
    part = Part(canvas, f, x, y, rotation(f))
    _paint_person(part)
    hidden = torch.zeros_like(x)
    if f.occluder[:, 2].any():
        hidden = paint_occluder(replace(part, x=scene_x, y=scene_y))

    points, facing = (tensor.cpu() for tensor in truth)
    points = _to_pixels(points.double(), views)
    pictures = canvas.color.mul_(f.tint).clamp_(0, 1).mul_(255).add_(0.5).to(torch.uint8)
    return Rendered(
        pictures=rearrange(pictures, "n c h w -> n h w c").cpu().numpy(),
        landmarks=points.numpy(),
        visible=_visible(points, facing, hidden.cpu()).numpy(),
        parsing=canvas.labels.cpu().numpy(),
    )


def _paint_person(part: Part) -> None:
    f = part.f
    head = part.window((part.x.abs() < HEAD_REACH) & (part.y.abs() < HEAD_REACH))
    paint_clothes(part)
    head.only(1 - f.bald, paint_far_hair)
    part.only(hangs(f), paint_hanging_hair)
    paint_neck(part)
    paint_ears(head)
    head = replace(head, face=face_surface(f, head.x, head.y, head.R))
    paint_face(head)
    head.only(1 - f.bald, paint_hair)
    head.only(f.earrings, paint_earrings)
    head.only(f.hat, paint_hat)
    head.only(f.eyeglasses, paint_glasses)


def _scene_landmarks(f: SimpleNamespace) -> tuple[Tensor, Tensor]:
    points, facing = landmarks(f, rotation(f))
    return points * f.zoom + f.shift[..., 0, 0][:, None], facing


def _crop_views(points: Tensor, size: int, jitter: np.ndarray | None) -> Tensor:
    """The FFHQ square (eyes, and eyes to mouth) of scene landmarks as a pixel-to-scene map [N,2,3]."""
    points = points.cpu().double()
    left, right = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    eyes, across = (left + right) / 2, right - left
    down = (points[:, 48] + points[:, 54]) / 2 - eyes
    x_axis = across + torch.stack([down[:, 1], -down[:, 0]], -1)
    half = torch.maximum(2.0 * across.norm(dim=-1), 1.8 * down.norm(dim=-1))
    x_axis = x_axis / x_axis.norm(dim=-1, keepdim=True) * half[:, None]
    center = eyes + 0.1 * down
    if jitter is not None:
        shift_x, shift_y, zoom, turn = torch.as_tensor(jitter, dtype=torch.float64).unbind(-1)
        y_axis = torch.stack([-x_axis[:, 1], x_axis[:, 0]], -1)
        center = center + 2 * (shift_x[:, None] * x_axis + shift_y[:, None] * y_axis)
        c, s = torch.cos(turn) * torch.exp(zoom), torch.sin(turn) * torch.exp(zoom)
        x_axis = torch.stack([c * x_axis[:, 0] - s * x_axis[:, 1], s * x_axis[:, 0] + c * x_axis[:, 1]], -1)
    y_axis = torch.stack([-x_axis[:, 1], x_axis[:, 0]], -1)
    linear = torch.stack([x_axis, y_axis], -1) * (2 / size)
    offset = center - x_axis - y_axis + (linear * 0.5).sum(-1)
    return torch.cat([linear, offset[..., None]], -1)


def _to_pixels(points: Tensor, views: Tensor) -> Tensor:
    inverse = torch.linalg.inv(views[:, :, :2])
    return torch.einsum("nij,nkj->nki", inverse, points - views[:, None, :, 2])


def _visible(points: Tensor, facing: Tensor, hidden: Tensor) -> Tensor:
    height, width = hidden.shape[1:]
    column, row = points[..., 0].round().long(), points[..., 1].round().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    picture = torch.arange(len(points))[:, None]
    return facing & inside & (hidden[picture, row.clamp(0, height - 1), column.clamp(0, width - 1)] < 0.5)
