"""Rendered pictures as the encoders' trainings see them: in random batches, and as real videos might spoil them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DvaError
from .rendered import FaceSet

DETECTION_SIZE = 128


@dataclass(frozen=True)
class DetectionSet:
    """Frames uint8 [N,128,128,3] with one face each, and boxes float32 [N,4] x0,y0,x1,y1 about its 68 landmarks, in
    pixels, the first pixel's centre at (0,0); a row of NaN where a frame has no face."""

    frames: np.ndarray
    boxes: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.frames)
        if self.frames.shape != (count, DETECTION_SIZE, DETECTION_SIZE, 3) or self.boxes.shape != (count, 4):
            shapes = f"{list(self.frames.shape)} and {list(self.boxes.shape)}"
            raise DvaError(f"A DetectionSet needs frames [N,128,128,3] and boxes [N,4], not {shapes}.")


def boxes_about(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks [N,68,2] -> the boxes [N,4] x0,y0,x1,y1 that just hold them."""
    return np.concatenate([landmarks.min(1), landmarks.max(1)], axis=1)


def random_batches(count: int, batch_size: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """`steps` batches of row numbers: every row once before any row again. Sorted, as memory-mapped files like it."""
    rng = np.random.default_rng(seed)
    waiting = np.empty(0, np.int64)
    for _ in range(steps):
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield np.sort(waiting[:batch_size])
        waiting = waiting[batch_size:]


def joined(*face_sets: FaceSet) -> FaceSet:
    """Several face sets of one picture size as one, each with its own people."""
    first_person = np.cumsum([0] + [len(faces.attributes) for faces in face_sets[:-1]])
    numbered = list(zip(face_sets, first_person, strict=True))
    return FaceSet(
        **{
            name: np.concatenate([getattr(faces, name) for faces in face_sets])
            for name in ("pictures", "landmarks", "parsing", "attributes")
        },
        person=np.concatenate([faces.person + first for faces, first in numbered]),
        attribute_names=face_sets[0].attribute_names,
        original=np.concatenate([np.where(f.original < 0, -1, f.original + first) for f, first in numbered]),
    )


def spoil(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Crops [B,3,S,S] in -1..1 with other light, less sharpness, noise and the flat blocks of strong compression.

    Each picture gets its own amounts, often next to none; nothing moves, so landmarks and parsing stay true.
    """

    def amount(*shape: int) -> Tensor:
        return torch.rand(len(crops), *shape, generator=generator, device=crops.device)

    contrast = 1 + 0.5 * (amount(1, 1, 1) - 0.5)
    brightness = 0.4 * (amount(1, 1, 1) - 0.5) + 0.16 * (amount(3, 1, 1) - 0.5)
    softness = (1.6 * amount(1, 1, 1) - 0.6).clamp(0, 1)
    soft = F.avg_pool2d(F.pad(crops, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    crops = torch.lerp(crops, soft, softness) * contrast + brightness
    noise = torch.randn(crops.shape, generator=generator, device=crops.device)
    flat = [side // 8 for side in crops.shape[-2:]]
    blocks = torch.randn(*crops.shape[:2], *flat, generator=generator, device=crops.device)
    strength = 0.06 * amount(1, 1, 1) ** 2
    crops = crops + strength * noise
    crops = crops + 0.5 * strength * F.interpolate(blocks, size=crops.shape[-2:])
    return crops.clamp(-1, 1)


def in_fours(frames: Tensor, boxes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Frames [B,3,S,S] and boxes [B,4] -> frames of four half-size ones, and their boxes [B,4,4]: faces small and many.

    A third of the places stay grey, as the margin beside a frame that is not square.
    """
    count, _, size, _ = frames.shape
    half = F.avg_pool2d(frames, 2)
    chosen = torch.randint(count, (4, count), generator=generator, device=frames.device)
    shown = torch.rand(4, count, generator=generator, device=frames.device) < 2 / 3
    mosaics = torch.zeros_like(frames)
    placed = []
    for place in range(4):
        row, column = divmod(place, 2)
        top, left = row * size // 2, column * size // 2
        quarter = mosaics[:, :, top : top + size // 2, left : left + size // 2]
        quarter.copy_(half[chosen[place]] * shown[place][:, None, None, None])
        corner = boxes.new_tensor([left, top, left, top])
        # Pixel centres: position p of the full size is (p + 0.5) / 2 - 0.5 at half size.
        box = (boxes[chosen[place]] + 0.5) / 2 - 0.5 + corner
        placed.append(torch.where(shown[place][:, None], box, torch.nan))
    return mosaics, torch.stack(placed, dim=1)
