"""Small windows of one picture found again in another, to a fraction of a pixel.

Lucas & Kanade 1981, coarse to fine over a pyramid (Bouguet 2001), with the slopes of the windows and not those of the
other picture, so that they are computed once (Baker & Matthews 2004). Pictures are float32 [H,W] grey, 0..255. Places
are float64 [N,2] (x,y) in pixels of the pyramid's first level, the centre of the top-left one at (0,0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

WINDOW = 21  # pixels, on every level
OFFSETS = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
GRID = torch.cartesian_prod(OFFSETS, OFFSETS)
LEAST_SIDE, MOST_LEVELS = 32, 4  # no level is smaller than this, except that of a frame that is
ITERATIONS, CLOSE_ENOUGH = 20, 0.01  # a step of so few pixels is the last
FLAT = 2.0  # grey levels; a window that varies less shows noise, which is not stretched to full contrast
DAMPING = 1e-4  # holds a window where it is along directions in which it looks the same everywhere
UPRIGHT = torch.eye(2, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Windows:
    """What N windows of K pixels show: values [N,K] of mean 0 and variance 1, and their slopes [N,K,2] along x, y."""

    values: Tensor
    slopes: Tensor


def pyramid(frame: np.ndarray, shrink: float) -> list[Tensor]:
    """A frame uint8 [H,W,3] in grey, made `shrink` times smaller, then halved again and again."""
    levels = [_shrunk(torch.from_numpy(frame).float().mean(dim=-1), shrink)]
    while len(levels) < MOST_LEVELS and min(levels[-1].shape) >= 2 * LEAST_SIDE:
        levels.append(_shrunk(levels[-1], 2.0))
    return levels


def shrunk_places(places: Tensor, factor: float) -> Tensor:
    """The same places in a picture made `factor` times smaller."""
    return (places + 0.5) / factor - 0.5


def cut_windows(levels: list[Tensor], places: Tensor) -> list[Windows]:
    """The upright windows around places, for each level."""
    return [_cut(picture, shrunk_places(places, 2**level)) for level, picture in enumerate(levels)]


def find_windows(windows: list[Windows], levels: list[Tensor], places: Tensor, axes: Tensor = UPRIGHT) -> Tensor:
    """Where the windows, turned and scaled by axes [2,2], lie in another picture, beginning at `places`."""
    moved = torch.zeros_like(places)
    for level in reversed(range(len(levels))):
        begin = shrunk_places(places, 2**level)
        moved = _descend(windows[level], levels[level], begin + 2 * moved, axes) - begin
    return places + moved


def likeness(windows: list[Windows], levels: list[Tensor], places: Tensor, axes: Tensor) -> Tensor:
    """Normalised cross-correlation [N] of the windows with another picture, -1..1: the mean over the levels."""
    correlations = [
        (windows[level].values * _look(picture, shrunk_places(places, 2**level), axes)[0]).mean(dim=1)
        for level, picture in enumerate(levels)
    ]
    return torch.stack(correlations).mean(dim=0)


def _descend(windows: Windows, picture: Tensor, places: Tensor, axes: Tensor) -> Tensor:
    """Gauss-Newton on one level."""
    slopes = rearrange(windows.slopes, "n k i -> n i k").double()
    normal = slopes @ windows.slopes.double() + DAMPING * WINDOW**2 * UPRIGHT
    solver = axes @ torch.linalg.solve(normal, slopes)
    for _ in range(ITERATIONS):
        difference = _look(picture, places, axes)[0] - windows.values
        step = (solver @ difference[..., None].double())[..., 0]
        places = places - step
        if step.abs().max() < CLOSE_ENOUGH:
            break
    return places


def _cut(picture: Tensor, places: Tensor) -> Windows:
    values, spread = _look(picture, places, UPRIGHT)
    ahead, behind = (
        torch.stack([_sampled(picture, places + sign * half, UPRIGHT) for half in UPRIGHT / 2], dim=-1)
        for sign in (1, -1)
    )
    slopes = (ahead - behind) / spread[..., None]
    return Windows(values, slopes - slopes.mean(dim=1, keepdim=True))


def _look(picture: Tensor, places: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Windows brought to mean 0 and variance 1, so that light and contrast do not matter, and their spread [N,1]."""
    values = _sampled(picture, places, axes)
    spread = values.std(dim=1, correction=0, keepdim=True).clamp(min=FLAT)
    return (values - values.mean(dim=1, keepdim=True)) / spread, spread


def _sampled(picture: Tensor, places: Tensor, axes: Tensor) -> Tensor:
    """The picture [N,K] on a grid around each place; beyond the picture its edge goes on."""
    height, width = picture.shape
    grid = (2 * (places[:, None] + GRID @ axes.T) + 1) / torch.tensor([width, height]) - 1
    return F.grid_sample(
        picture[None, None], grid[None].float(), mode="bicubic", padding_mode="border", align_corners=False
    )[0, 0]


def _shrunk(picture: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return picture
    small = F.interpolate(
        picture[None, None], scale_factor=1 / factor, mode="bilinear", antialias=True, recompute_scale_factor=False
    )
    return small[0, 0]
