"""What one step of the autoencoder's training sees: pictures, noise levels, codes, masks, weights and noises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .conditions import Conditions
from .rendered import FaceSet, pictures_to_crops

BACKGROUND, CLOTH, HAT = 0, 16, 18
MIDDLE_STEPS = (200, 800)
"""Noise levels drawn twice as often and more: there the identity decides thin things such as the frames of glasses."""
HEAD_WEIGHT, EYE_WEIGHT, MOUTH_WEIGHT = 2.0, 4.0, 6.0
"""What a pixel of the head, about the eyes and about the mouth counts against one of the background, which the noise
maps hold. The mouth is small, and unless its codes are obeyed, the noise maps keep the source's."""
EYE_MARGIN, MOUTH_MARGIN = 0.45, 0.12
"""How far glasses reach beyond the eyes, and lips beyond their points, in distances of the eyes."""


@dataclass(frozen=True)
class Batch:
    """x0 [B,3,S,S] in -1..1, t int64 [B], codes [B,614] (z_id, z_lnd), face_mask and weight [B,1,S,S], two noises."""

    x0: Tensor
    t: Tensor
    codes: Tensor
    face_mask: Tensor
    weight: Tensor
    noises: tuple[Tensor, Tensor]


def draw_batch(
    faces: FaceSet, conditions: Conditions, size: int, seed: list[int], device: torch.device | str = "cpu"
) -> Batch:
    """`size` random pictures; half are told their own identity, half their person's mean. `seed` decides everything."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.integers(0, len(faces.pictures), size))
    x0 = pictures_to_crops(faces.pictures[rows])
    use_mean = torch.from_numpy(rng.random(size) < 0.5)[:, None]
    z_id = torch.where(use_mean, conditions.clip_mean[rows], conditions.z_id[rows])
    t = np.where(rng.random(size) < 0.5, rng.integers(0, 1000, size), rng.integers(*MIDDLE_STEPS, size))
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    noises = torch.randn(x0.shape, generator=generator), torch.randn(x0.shape, generator=generator)
    return Batch(
        x0.to(device),
        torch.from_numpy(t).to(device),
        torch.cat([z_id, conditions.z_lnd[rows]], dim=1).to(device),
        face_masks(faces.parsing[rows]).to(device),
        pixel_weights(faces.parsing[rows], faces.landmarks[rows]).to(device),
        (noises[0].to(device), noises[1].to(device)),
    )


def face_masks(parsing: np.ndarray) -> Tensor:
    """Parsing uint8 [B,S,S] -> the training mask float32 [B,1,S,S]: all but background, clothes and hat."""
    return torch.from_numpy(~np.isin(parsing, (BACKGROUND, CLOTH, HAT)))[:, None].float()


def pixel_weights(parsing: np.ndarray, landmarks: np.ndarray) -> Tensor:
    """Parsing uint8 [B,S,S] and landmarks [B,68,2] in fractions -> weights [B,1,S,S], of mean 1 in every picture.

    The background is half the picture, cannot be told from the codes and need not be: unweighted, it takes most of
    the loss and leaves little for what edits change.
    """
    head = ~np.isin(parsing, (BACKGROUND, CLOTH))
    eyes, mouth = landmarks[:, 36:48], landmarks[:, 48:68]
    distance = np.linalg.norm(eyes[:, :6].mean(1) - eyes[:, 6:].mean(1), axis=1)[:, None]
    weights = np.where(head, HEAD_WEIGHT, 1.0)
    weights = np.where(_box(eyes, EYE_MARGIN * distance, parsing.shape[-1]), EYE_WEIGHT, weights)
    weights = np.where(_box(mouth, MOUTH_MARGIN * distance, parsing.shape[-1]), MOUTH_WEIGHT, weights)
    return torch.from_numpy(weights / weights.mean((1, 2), keepdims=True))[:, None].float()


def _box(points: np.ndarray, margin: np.ndarray, size: int) -> np.ndarray:
    """Which pixels [B,S,S] lie about points [B,P,2], given in fractions, with a margin [B,1]."""
    low, high = points.min(1) - margin, points.max(1) + margin
    place = (np.arange(size) + 0.5) / size
    across, down = ((place > low[:, axis, None]) & (place < high[:, axis, None]) for axis in (0, 1))
    return down[:, :, None] & across[:, None, :]
