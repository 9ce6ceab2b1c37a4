"""Where the faces are in a frame: the demo's detector, and the two-pass landmark search built on it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .blocks import ConvUnit, Hourglass

DETECTOR_SIZE = 128  # frames are looked at with their longest side at this many pixels
DETECTOR_STRIDE = 4
BOX_UNIT = 32.0  # the net speaks of distances to the box's sides in this many detector pixels
_SCORE = 0.3
_OVERLAP = 0.4
_MOST_FACES = 16
_CROP_SIZE = 64
# The first look: where the aligned crop lies on average about the landmarks' box. Its side over the box's longer side,
# and how much higher its centre is, in heights of the box (rendered people: 1.68 +- 0.10 and 0.28 +- 0.02).
_SQUARE_PER_BOX = 1.68
_SQUARE_RISE = 0.28


class Faces(NamedTuple):
    """The K faces of one frame in its pixels (x,y), the top-left pixel's centre at (0,0); best score first."""

    boxes: np.ndarray  # f64 [K,4] x0,y0,x1,y1 around the 68 landmarks
    scores: np.ndarray  # f64 [K] 0..1
    landmarks: np.ndarray  # f64 [K,68,2]


class FaceDetectorNet(nn.Module):
    """Frames -> the boxes of their faces, as peaks of a map of face centres (Zhou et al. 2019, CenterNet)."""

    kind = "demo-centre"

    def __init__(self, widths: tuple[int, ...] | list[int] = (24, 32, 40, 48)):
        super().__init__()
        self.config = {"kind": self.kind, "widths": list(widths)}
        self.features = Hourglass(DETECTOR_STRIDE, tuple(widths))
        self.head = nn.Sequential(ConvUnit(widths[0], widths[0]), nn.Conv2d(widths[0], 5, 1))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [B,3,128,128] in -1..1 -> logits [B,32,32] that a face is centred in a cell, and
        distances [B,4,32,32] from the cell's centre to the left, top, right and bottom side, in 32 pixels."""
        maps = self.head(self.features(frames))
        return maps[:, 0].float(), maps[:, 1:].float()

    def boxes(self, frames: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Frames uint8 [B,H,W,3], any size -> for each its boxes f32 [K,4] x0,y0,x1,y1 in pixels and scores [K]."""
        pictures, scale = _letterbox(frames)
        logits, distances = self(pictures)
        return [_peaks(score, side, scale) for score, side in zip(logits.sigmoid(), distances, strict=True)]


@dataclass(frozen=True)
class TwoPassDetector:
    """Finds boxes, then landmarks in a square about each box, then landmarks again in the square those define."""

    detector: FaceDetectorNet
    landmarks: nn.Module

    @torch.no_grad()
    def detect(self, frames: Tensor | np.ndarray) -> list[Faces]:
        """Frames uint8 [B,H,W,3], any size -> the faces of each frame."""
        device = next(self.landmarks.parameters()).device
        frames = torch.as_tensor(frames, device=device)
        found = self.detector.boxes(frames)
        owners = [i for i, (boxes, _) in enumerate(found) for _ in boxes]
        squares = _squares_about_boxes(torch.cat([boxes for boxes, _ in found]).double())
        for _ in range(2 if owners else 0):
            points = _points_in_squares(self.landmarks, frames, owners, squares)
            squares = _squares_of_faces(points)
        results, start = [], 0
        for boxes, scores in found:
            own = points[start : start + len(boxes)] if len(boxes) else squares.new_zeros(0, 68, 2)
            start += len(boxes)
            bounds = torch.cat([own.amin(1), own.amax(1)], 1) if len(own) else squares.new_zeros(0, 4)
            results.append(Faces(bounds.cpu().numpy(), scores.double().cpu().numpy(), own.cpu().numpy()))
        return results


def _letterbox(frames: Tensor) -> tuple[Tensor, float]:
    """Frames uint8 [B,H,W,3] -> grey-padded [B,3,128,128] in -1..1, and detector pixels per frame pixel."""
    height, width = frames.shape[1:3]
    scale = DETECTOR_SIZE / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    pictures = rearrange(frames, "b h w c -> b c h w").float()
    pictures = F.interpolate(pictures, size=inner, mode="bilinear", antialias=True, align_corners=False) / 127.5 - 1
    return F.pad(pictures, (0, DETECTOR_SIZE - inner[1], 0, DETECTOR_SIZE - inner[0])), scale


def _peaks(score: Tensor, sides: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Local maxima of one score map [h,w] with their boxes in frame pixels, overlapping ones removed."""
    peak = (score == F.max_pool2d(score[None], 3, 1, 1)[0]) & (score > _SCORE)
    rows, columns = peak.nonzero(as_tuple=True)
    order = score[rows, columns].argsort(descending=True)[:_MOST_FACES]
    rows, columns = rows[order], columns[order]
    # Cell centres in pixel-edge coordinates; half a pixel less makes the top-left pixel's centre the origin.
    centre = (torch.stack([columns, rows, columns, rows], 1) + 0.5) * DETECTOR_STRIDE
    sign = sides.new_tensor([-1.0, -1.0, 1.0, 1.0])
    boxes = (centre + sign * sides[:, rows, columns].T * BOX_UNIT) / scale - 0.5
    kept: list[int] = []
    for i in range(len(boxes)):
        if all(_overlap(boxes[i], boxes[j]) < _OVERLAP for j in kept):
            kept.append(i)
    return boxes[kept], score[rows, columns][kept]


def _overlap(a: Tensor, b: Tensor) -> float:
    """Intersection over union of two boxes x0,y0,x1,y1."""
    inner = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    return float(inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner))


# A square is f64 [2,2]: its centre, and half its side as a vector along its upper edge; both in frame pixels.


def _squares_about_boxes(boxes: Tensor) -> Tensor:
    size = boxes[:, 2:] - boxes[:, :2]
    half = size.amax(1) * _SQUARE_PER_BOX / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    lifted = torch.stack([centre[:, 0], centre[:, 1] - _SQUARE_RISE * size[:, 1]], 1)
    return torch.stack([lifted, torch.stack([half, torch.zeros_like(half)], 1)], 1)


def _squares_of_faces(points: Tensor) -> Tensor:
    """The square that the FFHQ recipe (Karras et al. 2019) cuts out around landmarks [K,68,2]."""
    left, right = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    between, eyes = right - left, (left + right) / 2
    down = (points[:, 48] + points[:, 54]) / 2 - eyes
    along = between + torch.stack([down[:, 1], -down[:, 0]], 1)
    length = torch.maximum(2.0 * between.norm(dim=1), 1.8 * down.norm(dim=1))
    return torch.stack([eyes + 0.1 * down, along * (length / along.norm(dim=1))[:, None]], 1)


def _points_in_squares(net: nn.Module, frames: Tensor, owners: list[int], squares: Tensor) -> Tensor:
    """Landmarks f64 [K,68,2] in frame pixels, looked for in square k of frame owners[k]."""
    crops = torch.cat([_cut(frames[owner], square) for owner, square in zip(owners, squares, strict=True)])
    offsets = (net(crops).double() * 2 - 1)[..., None]
    centre, along = squares[:, None, 0], squares[:, None, 1]
    across = torch.stack([-along[..., 1], along[..., 0]], -1)
    return centre + offsets[..., 0, :] * along + offsets[..., 1, :] * across


def _cut(frame: Tensor, square: Tensor) -> Tensor:
    """One square of a frame uint8 [H,W,3] -> [1,3,64,64] in -1..1; outside the frame its edge goes on."""
    centre, along = square
    across = torch.stack([-along[1], along[0]])
    # As many samples as the frame has pixels there, then their mean: large faces do not alias.
    samples = max(1, math.ceil(2 * float(along.norm()) / _CROP_SIZE))
    at = (torch.arange(_CROP_SIZE * samples, device=frame.device) + 0.5) * 2 / (_CROP_SIZE * samples) - 1
    where = centre + at[None, :, None].double() * along + at[:, None, None].double() * across
    low = (where.amin((0, 1)).floor().long() - 1).tolist()
    high = (where.amax((0, 1)).ceil().long() + 2).tolist()
    height, width = frame.shape[:2]
    x0, x1 = _within(low[0], high[0], width)
    y0, y1 = _within(low[1], high[1], height)
    patch = rearrange(frame[y0:y1, x0:x1], "h w c -> 1 c h w").float() / 127.5 - 1
    first, extent = where.new_tensor([x0, y0]), where.new_tensor([x1 - x0, y1 - y0])
    grid = ((where - first) * 2 + 1) / extent - 1
    crop = F.grid_sample(patch, grid[None].float(), mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(crop, samples)


def _within(low: int, high: int, length: int) -> tuple[int, int]:
    """The part of low..high inside 0..length, at least one pixel long."""
    start = min(max(low, 0), length - 1)
    return start, min(max(high, start + 1), length)
