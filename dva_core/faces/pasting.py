"""Edited crops put back into their frames, where the mask allows it and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..errors import DvaError
from ..values import FaceTrack
from .warping import bounds, crop_to_frame, shift, side_length, transform, warp

LEVELS = 127.5  # byte levels in one unit of a crop's -1..1
MOST_STEPS = 4
# Change of a crop pixel, in its largest channel, below which the frame's detail stays and above which it goes.
SAME, OTHER = 0.08, 0.24


def paste_faces(
    frames: Iterable[np.ndarray],
    crops: Tensor,
    track: FaceTrack,
    mask: Tensor,
    feather: float = 0.03,
    source_crops: Tensor | None = None,
) -> np.ndarray:
    """Frames uint8 [T,H,W,3] with the faces of their valid frames replaced where the mask is above 0.

    crops [V,3,S,S] in -1..1 and mask [V,1,S,S] in 0..1 belong to the V valid frames of `track`, in order. The mask
    falls to 0 within `feather` (a share of the crop's side) from its border inwards. With `source_crops`, the crops
    before the edit, only the difference is added: detail of the frame that is finer than a crop stays except where
    the crop clearly changes, and an unchanged crop gives the frame back. Without, the crops replace the frame by
    bilinear interpolation, as published. Pixels that the mask does not reach, and frames without a face, are the
    input's bit for bit. Raises DvaError when the numbers of frames, crops and masks do not fit the track.
    """
    _check_counts(track, crops, mask, source_crops)
    pasted = np.stack([*frames]) if len(track.valid) else np.zeros((0, track.height, track.width, 3), np.uint8)
    if len(pasted) != len(track.valid):
        raise DvaError(f"The track has {len(track.valid)} frames, but {len(pasted)} were given to paste into.")
    for k, t in enumerate(np.flatnonzero(track.valid)):
        source = None if source_crops is None else source_crops[k]
        _paste(pasted[t], crops[k], track.quads[t], _feathered(mask[k], feather), source)
    return pasted


def _paste(frame: np.ndarray, crop: Tensor, quad: np.ndarray, mask: Tensor, source: Tensor | None) -> None:
    """Changes `frame` in place."""
    touched = mask[0].nonzero()
    if len(touched) == 0:
        return
    size = crop.shape[-1]
    # The part of the crop with anything to paste, and the part of the frame it falls on.
    top, left = (touched.amin(0) - 1).clamp(min=0).tolist()
    bottom, right = (touched.amax(0) + 2).clamp(max=size).tolist()
    to_frame = crop_to_frame(quad, size)
    corners = np.array([[left, top], [left, bottom], [right, bottom], [right, top]], dtype=np.float64)
    rows, columns = bounds(transform(to_frame, corners), *frame.shape[:2])
    area = frame[rows, columns]
    if area.size == 0:
        return

    # Differences are enlarged smoothly before they are warped; past four times that is smooth enough for bilinear
    # interpolation. A crop finer than the frame is averaged.
    scale = side_length(quad) / size
    steps = 1 if source is None else min(max(1, math.ceil(scale)), MOST_STEPS)
    samples = max(1, math.ceil(1 / scale))
    part = slice(top * steps, bottom * steps), slice(left * steps, right * steps)
    layers = _layers(crop, source, mask, steps, part)
    enlarge = shift(-left * steps, -top * steps) @ np.diag([steps, steps, 1.0])
    matrix = enlarge @ np.linalg.inv(to_frame) @ shift(columns.start, rows.start)
    added, replaced, mask = warp(layers, matrix, *area.shape[:2], samples).split([3, 1, 1])
    added = rearrange(added * mask, "c h w -> h w c").contiguous().numpy()
    removed = rearrange(replaced * mask, "1 h w -> h w 1").numpy() * area
    area[:] = np.clip(np.rint(area + (added - removed)), 0, 255)


def _layers(
    crop: Tensor, source: Tensor | None, mask: Tensor, steps: int, part: tuple[slice, slice]
) -> Tensor:  # fmt: skip
    """[5,h,w]: what is added to the frame in byte levels, the share of the frame's own colour it replaces, the mask."""
    if source is None:
        layers = torch.cat([(crop + 1) * LEVELS, torch.ones_like(mask), mask])
        return layers[:, part[0], part[1]]
    change = crop - source
    replaced = ((_largest(change) - SAME) / (OTHER - SAME)).clamp(0, 1)
    soft = _enlarged(torch.cat([replaced, mask]), "bilinear", steps, part)
    smooth = _enlarged(torch.cat([change, source + 1]) * LEVELS, "bicubic", steps, part)
    return torch.cat([smooth[:3] + soft[:1] * smooth[3:], soft])


def _largest(change: Tensor) -> Tensor:
    """The largest change in any channel of a pixel or its neighbours: [3,S,S] -> [1,S,S]."""
    return F.max_pool2d(change.abs().amax(dim=0, keepdim=True), 3, stride=1, padding=1)


def _feathered(mask: Tensor, feather: float) -> Tensor:
    """A mask [1,S,S] brought smoothly down to 0 at its border and the crop's; nowhere is it raised."""
    reach = feather * mask.shape[-1]
    if reach == 0:
        return mask
    inside = np.pad(mask[0].numpy() > 0, 1)
    # The border runs half a pixel before the first pixel outside.
    depth = torch.from_numpy(distance_transform_edt(inside)[1:-1, 1:-1] - 0.5)
    rise = (depth / reach).clamp(0, 1).float()
    return mask * rise * rise * (3 - 2 * rise)


def _enlarged(picture: Tensor, mode: str, steps: int, part: tuple[slice, slice]) -> Tensor:
    """A part of [C,S,S] enlarged `steps` times; rows and columns of the part count in the enlarged picture."""
    if steps == 1:
        return picture[:, part[0], part[1]]
    weights = _enlargement(picture.shape[-1], steps, mode)
    return weights[part[0]] @ picture @ weights[part[1]].T


@lru_cache(maxsize=32)
def _enlargement(size: int, steps: int, mode: str) -> Tensor:
    """The weights [size*steps,size] of a separable enlargement: what it makes of each unit vector."""
    unit = torch.eye(size)[None, None]
    return F.interpolate(unit, size=(size * steps, size), mode=mode, antialias=True, align_corners=False)[0, 0]


def _check_counts(track: FaceTrack, crops: Tensor, mask: Tensor, source_crops: Tensor | None) -> None:
    valid = int(track.valid.sum())
    counts = [len(crops), len(mask), *([] if source_crops is None else [len(source_crops)])]
    if any(count != valid for count in counts):
        given = " and ".join(map(str, counts))
        raise DvaError(f"The track has {valid} frames with a face; give as many crops and masks, not {given}.")
