"""Crops as the published code of Kim et al. 2023 cuts them and pastes them back, step by step and by Pillow, as there.

`alignment.crop_faces` and `pasting.paste_faces` do both better. These are for repeating published results.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ..errors import DvaError
from .alignment import inverse_coefficients

PUBLISHED_SIDE = 1024
LEAST_BORDER = 3  # pixels kept around the quad, or a tenth of its size
_Resampling, _Transform = Image.Resampling, Image.Transform


def published_crops(frames: Iterable[np.ndarray], quads: np.ndarray, size: int, jpeg: bool = False) -> Tensor:
    """Cuts quad t [4,2] out of frame t, uint8 [H,W,3] RGB: float32 [T,3,size,size] in -1..1.

    Each crop is cut at 1024 pixels and then shrunk to the model's size; with `jpeg` it is stored as a JPEG in between,
    as published. Raises DvaError when there are not as many frames as quads.
    """
    crops, count = torch.empty(len(quads), 3, size, size), 0
    for count, frame in enumerate(frames, start=1):
        if count <= len(quads):
            picture = Image.fromarray(cut_quad(frame, quads[count - 1]))
            picture = _through_jpeg(picture) if jpeg else picture
            # The published centre crop after this has nothing left to cut: the picture is square.
            small = picture.resize((size, size), _Resampling.BILINEAR)
            crops[count - 1] = rearrange(torch.from_numpy(np.array(small)), "h w c -> c h w").float() / 127.5 - 1
    if count != len(quads):
        raise DvaError(f"There must be one quad for each frame, but there are {len(quads)} quads and {count} frames.")
    return crops


def cut_quad(frame: np.ndarray, quad: np.ndarray, side: int = PUBLISHED_SIDE) -> np.ndarray:
    """The quad [4,2] of a frame uint8 [H,W,3] as a picture uint8 [side,side,3], black where it leaves the frame.

    Karras et al. 2019 (FFHQ) with two changes: what counts as the quad's size is its diagonal, so that faces are shrunk
    beforehand from sqrt(2) times smaller quads on, and the frame is not padded.
    """
    picture, quad = Image.fromarray(frame), np.array(quad, dtype=np.float64)
    size = float(np.linalg.norm(quad[3] - quad[1]))
    shrink = int(size / side * 0.5)
    if shrink > 1:
        picture = picture.resize((round(picture.width / shrink), round(picture.height / shrink)), _Resampling.LANCZOS)
        quad, size = quad / shrink, size / shrink

    border = max(round(0.1 * size), LEAST_BORDER)
    low = np.clip(np.floor(quad.min(axis=0)).astype(int) - border, 0, picture.size)
    high = np.clip(np.ceil(quad.max(axis=0)).astype(int) + border, 0, picture.size)
    picture, quad = picture.crop((*low.tolist(), *high.tolist())), quad - low
    corners = (quad + 0.5).flatten().tolist()
    return np.array(picture.transform((side, side), _Transform.QUAD, corners, _Resampling.BILINEAR))


def paste_whole_quad(frame: np.ndarray, crop: Tensor, quad: np.ndarray) -> np.ndarray:
    """A copy of a frame uint8 [H,W,3] in which a crop [3,S,S] in -1..1 covers the whole of quad [4,2].

    Neither mask nor soft edge: what was not edited, too, is replaced by the crop's S x S pixels, enlarged.
    """
    levels = (255 * (crop + 1) / 2).round().clamp(0, 255).to(torch.uint8)
    layer = Image.fromarray(rearrange(levels, "c h w -> h w c").contiguous().numpy()).convert("RGBA")
    picture = Image.fromarray(frame)
    to_crop = inverse_coefficients(quad, crop.shape[-1]).tolist()
    layer = layer.transform(picture.size, _Transform.PERSPECTIVE, to_crop, _Resampling.BILINEAR)
    picture.paste(layer, mask=layer)
    return np.array(picture)


def _through_jpeg(picture: Image.Image) -> Image.Image:
    """With the losses of Pillow's default JPEG: quality 75, a colour for every 2 x 2 pixels."""
    file = BytesIO()
    picture.save(file, "JPEG")
    return Image.open(file).convert("RGB")
