"""Between the host's IMAGE (float [B,H,W,C] in 0..1) and the engine's frames and crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..dva_core.errors import DvaError

if TYPE_CHECKING:
    from PIL.Image import Image


def checked(images: Tensor, name: str = "images") -> Tensor:
    """The first three channels [B,H,W,3] of an IMAGE, float32 on the CPU; DvaError for what is none."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[-1] not in (3, 4):
        found = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise DvaError(f"The input '{name}' must be an IMAGE batch [frames,height,width,3], not {found}.")
    if 0 in images.shape:
        raise DvaError(f"The input '{name}' has no frames; check the node that loads the video.")
    for number, frame in enumerate(images):
        if not frame.isfinite().all():
            raise DvaError(
                f"Frame {number} of '{name}' has pixels that are no numbers (NaN); repair it or leave it out."
            )
    return images[..., :3].float().cpu()


def byte_frames(images: Iterable[Tensor]) -> Iterator[np.ndarray]:
    """The frames [H,W,3] of a checked IMAGE, one after the other, as uint8."""
    for frame in images:
        yield (frame.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def to_crops(images: Tensor, name: str = "crops") -> Tensor:
    """IMAGE [T,S,S,3] in 0..1 -> crops [T,3,S,S] in -1..1."""
    images = checked(images, name)
    if images.shape[1] != images.shape[2]:
        size = f"{images.shape[2]} x {images.shape[1]}"
        raise DvaError(
            f"The input '{name}' must be square face crops, not {size} pixels; connect the crops of Align Faces."
        )
    return rearrange(images, "t h w c -> t c h w").contiguous() * 2 - 1


def to_images(crops: Tensor) -> Tensor:
    """Crops [T,3,S,S] in -1..1 -> IMAGE [T,S,S,3] in 0..1."""
    return rearrange((crops + 1) / 2, "t c h w -> t h w c").clamp(0, 1).contiguous()


def from_bytes(frames: np.ndarray) -> Tensor:
    """Frames uint8 [T,H,W,3] -> IMAGE."""
    return torch.from_numpy(frames.astype(np.float32) / 255)


def picture(crops: Tensor) -> Image:
    """Crops side by side as one picture, for previews."""
    from PIL import Image

    row = rearrange(to_images(crops[:4]), "t h w c -> h (t w) c")
    return Image.fromarray((row * 255).round().to(torch.uint8).numpy())


def spread(count: int, most: int) -> list[int]:
    """Up to `most` of `count` numbers, evenly from first to last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
