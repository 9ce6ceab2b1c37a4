"""Edited crops put back into their frames, where the mask allows it and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..errors import DvaError
from ..values import FaceTrack
from .masks import feathered
from .warping import bounds, crop_to_frame, shift, side_length, transform, warp

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
    frame_mask: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of frames [T,H,W,3] with the faces of their valid frames replaced where the mask is above 0.

    Frames are uint8, or float32 in 0..1, which stay unrounded. crops [V,3,S,S] in -1..1 and mask [V,1,S,S] in 0..1
    belong to the V valid frames of `track`, in order. The mask falls to 0 within `feather` (a share of the crop's
    side) from its border inwards. `frame_mask`, float32 [T,H,W] or [1,H,W] in 0..1, weakens the change further. With
    `source_crops`, the crops before the edit, only the difference is added: detail of the frame that is finer than a
    crop stays except where the crop clearly changes, and an unchanged crop gives the frame back. Without, the crops
    replace the frame by bilinear interpolation, as published. Pixels that a mask does not reach, and frames without a
    face, are the input's bit for bit. Raises DvaError when frames, crops and masks do not fit the track.
    """
    _check_counts(track, crops, mask, source_crops)
    _check_frame_mask(track, frame_mask)
    pasted = _copied(frames, track)
    for k, t in enumerate(np.flatnonzero(track.valid)):
        soft = _soft(mask, k, feather)
        source = None if source_crops is None else source_crops[k]
        limit = None if frame_mask is None else frame_mask[t if len(frame_mask) > 1 else 0]
        _paste(pasted[t], crops[k], track.quads[t], soft, source, limit)
    return pasted


def mask_in_frames(track: FaceTrack, mask: Tensor, feather: float = 0.03) -> np.ndarray:
    """Where and how strongly `paste_faces`, given source crops, changes the frames: float32 [T,H,W] in 0..1.

    mask [V,1,S,S] and `feather` are as there. Raises DvaError when there are not as many masks as valid frames.
    """
    _check_counts(track, mask)
    result = np.zeros((len(track.valid), track.height, track.width), np.float32)
    for k, t in enumerate(np.flatnonzero(track.valid)):
        soft = _soft(mask, k, feather)
        place = _place(soft, track.quads[t], track.height, track.width, smooth=True)
        if place is not None:
            layer = _enlarged(soft, "bilinear", place)
            result[t, place.rows, place.columns] = _warped(layer, place)[0].numpy()
    return result


@dataclass(frozen=True, eq=False)
class _Place:
    """The part of a crop with anything to paste, after it is enlarged `steps` times, and where in the frame it falls.

    part: rows and columns in the enlarged crop. rows, columns: in the frame. matrix: [3,3] takes positions in that
    part of the frame to positions in that part of the enlarged crop. samples: in each direction, for a frame pixel.
    """

    part: tuple[slice, slice]
    rows: slice
    columns: slice
    matrix: np.ndarray
    steps: int
    samples: int


def _place(mask: Tensor, quad: np.ndarray, height: int, width: int, smooth: bool) -> _Place | None:
    """None when the mask [1,S,S] is 0 or lies outside the frame; `smooth` where crops are enlarged smoothly."""
    touched = mask[0].nonzero()
    if len(touched) == 0:
        return None
    size = mask.shape[-1]
    top, left = (touched.amin(0) - 1).clamp(min=0).tolist()
    bottom, right = (touched.amax(0) + 2).clamp(max=size).tolist()
    to_frame = crop_to_frame(quad, size)
    corners = np.array([[left, top], [left, bottom], [right, bottom], [right, top]], dtype=np.float64)
    rows, columns = bounds(transform(to_frame, corners), height, width)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None

    # Past four times, what is enlarged is smooth enough for bilinear interpolation. A crop finer than the frame is
    # averaged.
    scale = side_length(quad) / size
    steps = min(max(1, math.ceil(scale)), MOST_STEPS) if smooth else 1
    part = slice(top * steps, bottom * steps), slice(left * steps, right * steps)
    enlarge = shift(-left * steps, -top * steps) @ np.diag([steps, steps, 1.0])
    matrix = enlarge @ np.linalg.inv(to_frame) @ shift(columns.start, rows.start)
    return _Place(part, rows, columns, matrix, steps, samples=max(1, math.ceil(1 / scale)))


def _paste(
    frame: np.ndarray, crop: Tensor, quad: np.ndarray, mask: Tensor, source: Tensor | None, limit: np.ndarray | None
) -> None:
    """Changes `frame` in place."""
    place = _place(mask, quad, *frame.shape[:2], smooth=source is not None)
    if place is None:
        return
    area = frame[place.rows, place.columns]
    white = 255 if frame.dtype == np.uint8 else 1
    layers = _warped(_layers(crop, source, mask, place, white / 2), place)
    strength = layers[4:]
    if limit is not None:
        strength = strength * torch.from_numpy(limit[place.rows, place.columns].copy())
    # Plane by plane, for arithmetic on interleaved colours takes ten times as long.
    planes = rearrange(torch.from_numpy(area), "h w c -> c h w")
    own = planes.to(torch.float32, memory_format=torch.contiguous_format)
    change = (layers[:3] * strength).sub_(layers[3:4] * strength * own)
    changed = own + change
    if white == 255:
        changed = changed.round_()
    # Float frames may leave 0..1, and where nothing changes they keep that.
    changed = torch.where(change != 0, changed.clamp_(0, white), own)
    planes.copy_(changed.to(planes.dtype))


def _warped(layers: Tensor, place: _Place) -> Tensor:
    height, width = place.rows.stop - place.rows.start, place.columns.stop - place.columns.start
    return warp(layers, place.matrix, height, width, place.samples)


def _layers(crop: Tensor, source: Tensor | None, mask: Tensor, place: _Place, unit: float) -> Tensor:
    """[5,h,w]: what is added to the frame, the share of the frame's own colour it replaces, the mask.

    unit: what 1 in a crop is in the frame.
    """
    if source is None:
        return _enlarged(torch.cat([(crop + 1) * unit, torch.ones_like(mask), mask]), "bilinear", place)
    change = crop - source
    replaced = ((_largest(change) - SAME) / (OTHER - SAME)).clamp(0, 1)
    soft = _enlarged(torch.cat([replaced, mask]), "bilinear", place)
    smooth = _enlarged(torch.cat([change, source + 1]) * unit, "bicubic", place)
    return torch.cat([smooth[:3] + soft[:1] * smooth[3:], soft])


def _largest(change: Tensor) -> Tensor:
    """The largest change in any channel of a pixel or its neighbours: [3,S,S] -> [1,S,S]."""
    return F.max_pool2d(change.abs().amax(dim=0, keepdim=True), 3, stride=1, padding=1)


def _soft(mask: Tensor, k: int, feather: float) -> Tensor:
    """Mask k of [V,1,S,S] with its border softened: [1,S,S]. One at a time, a long clip's would fill the memory."""
    return feathered(mask[k : k + 1], feather * mask.shape[-1])[0]


def _enlarged(picture: Tensor, mode: str, place: _Place) -> Tensor:
    """The part of [C,S,S] that is pasted, enlarged."""
    if place.steps == 1:
        return picture[:, place.part[0], place.part[1]]
    weights = _enlargement(picture.shape[-1], place.steps, mode)
    return weights[place.part[0]] @ picture @ weights[place.part[1]].T


@lru_cache(maxsize=32)
def _enlargement(size: int, steps: int, mode: str) -> Tensor:
    """The weights [size*steps,size] of a separable enlargement: what it makes of each unit vector."""
    unit = torch.eye(size)[None, None]
    return F.interpolate(unit, size=(size * steps, size), mode=mode, antialias=True, align_corners=False)[0, 0]


def _copied(frames: Iterable[np.ndarray], track: FaceTrack) -> np.ndarray:
    """The frames [T,H,W,3] as a new array, taken one at a time."""
    shape, copy, count = (track.height, track.width, 3), np.zeros((0, track.height, track.width, 3), np.uint8), 0
    for count, frame in enumerate(frames, start=1):
        if frame.shape != shape or frame.dtype not in (np.uint8, np.float32):
            raise DvaError(
                f"The track needs frames uint8 or float32 {list(shape)}, not {frame.dtype} {list(frame.shape)}; "
                "give the frames that the face was found in."
            )
        if count == 1:
            copy = np.empty((len(track.valid), *shape), frame.dtype)
        if count <= len(copy):
            copy[count - 1] = frame
    if count != len(track.valid):
        raise DvaError(f"The track has {len(track.valid)} frames, but {count} were given to paste into.")
    return copy


def _check_counts(track: FaceTrack, *parts: Tensor | None) -> None:
    valid = int(track.valid.sum())
    counts = [len(part) for part in parts if part is not None]
    if any(count != valid for count in counts):
        given = " and ".join(map(str, counts))
        raise DvaError(f"The track has {valid} frames with a face; give as many crops and masks, not {given}.")


def _check_frame_mask(track: FaceTrack, frame_mask: np.ndarray | None) -> None:
    sizes = [(count, track.height, track.width) for count in (len(track.valid), 1)]
    if frame_mask is not None and frame_mask.shape not in sizes:
        raise DvaError(
            f"The mask for the frames must be {list(sizes[0])} or {list(sizes[1])}, not {list(frame_mask.shape)}; "
            "make it the size of the frames."
        )
