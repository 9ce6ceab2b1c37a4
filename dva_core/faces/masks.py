"""Masks of face parts: which pixels of a crop belong to what, wider, narrower and softer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..errors import DvaError

# CelebAMask-HQ (Lee et al. 2020), in the order of the ids.
CLASSES = (
    "background", "skin", "left brow", "right brow", "left eye", "right eye", "glasses", "left ear", "right ear",
    "earring", "nose", "mouth", "upper lip", "lower lip", "neck", "necklace", "clothes", "hair", "hat",
)  # fmt: skip
STEADY_SIGMA, STEADY_REACH = 1.0, 2  # frames; no mask depends on others further away
NOT_HEAD = ("background", "clothes", "hat")


def select_classes(parsing: Tensor, classes: Sequence[str]) -> Tensor:
    """Class ids, whole numbers [V,S,S], to a mask float32 [V,1,S,S]: 1 where one of the named classes is.

    Raises DvaError for a name that is not in CLASSES.
    """
    unknown = [name for name in classes if name not in CLASSES]
    if unknown:
        raise DvaError(f"There is no face part {unknown[0]!r}; choose among {', '.join(CLASSES)}.")
    ids = torch.tensor([CLASSES.index(name) for name in classes], device=parsing.device)
    return rearrange(torch.isin(parsing, ids).float(), "v h w -> v 1 h w")


def edit_mask(source_parsing: Tensor, edited_parsing: Tensor) -> Tensor:
    """Where an edit may change the picture: class ids [V,S,S] before and after it to a mask float32 [V,1,S,S].

    1 on the head of either (everything but background, clothes and hat), and where exactly one of them shows a hat:
    a new hat may rise above the old outline, and an old one vanish, but one that stays is left alone.
    """
    pictures = (source_parsing, edited_parsing)
    no_head_before, no_head_after = (select_classes(parsing, NOT_HEAD) for parsing in pictures)
    hat_before, hat_after = (select_classes(parsing, ["hat"]) for parsing in pictures)
    return torch.maximum(1 - no_head_before * no_head_after, (hat_before - hat_after).abs())


def steadied(mask: Tensor, valid: np.ndarray) -> Tensor:
    """Masks [V,1,S,S] of a track's valid frames (bool [T]), smoothed along time within each run of such frames.

    Crops follow the face, so what changes from one mask to the next is mostly the parser changing its mind at borders.
    """
    # Loaded only now, because the names of the classes are wanted where nothing is computed yet.
    from scipy.ndimage import gaussian_filter1d, label

    runs = label(valid)[0][valid]
    steady = np.empty(mask.shape, np.float32)
    for run in np.unique(runs):
        part = mask[runs == run].numpy()
        steady[runs == run] = gaussian_filter1d(part, STEADY_SIGMA, axis=0, mode="nearest", radius=STEADY_REACH)
    return torch.from_numpy(steady)


def grown(mask: Tensor, pixels: float) -> Tensor:
    """A mask [V,1,S,S] of 0 and 1 with every point within so many pixels of it; a negative number shrinks it.

    Distances are Euclidean, between the centres of pixels. The crop's border is no border of the mask, which may go on
    beyond it. Values from 0.5 on count as inside.
    """
    return torch.stack([_grown(inside, pixels) for inside in mask >= 0.5])


def feathered(mask: Tensor, pixels: float) -> Tensor:
    """A mask [V,1,S,S] brought smoothly down to 0 over so many pixels inside its border, and the crop's.

    Nowhere is it raised; pixels above 0 count as inside.
    """
    return torch.stack([each * _rise(each > 0, pixels) for each in mask]) if pixels > 0 else mask


def _grown(inside: Tensor, pixels: float) -> Tensor:
    """bool [1,S,S] -> float32 [1,S,S]."""
    if inside.all() or not inside.any():  # no border, so no distance from it
        return inside.float()
    if pixels >= 0:
        return torch.from_numpy(_distances(~inside[0].numpy()) <= pixels).float()[None]
    return torch.from_numpy(_distances(inside[0].numpy()) > -pixels).float()[None]


def _rise(inside: Tensor, pixels: float) -> Tensor:
    """From 0 at the border of bool [1,S,S] to 1 at a depth of so many pixels."""
    # The border runs half a pixel before the first pixel outside.
    depth = _distances(np.pad(inside[0].numpy(), 1))[1:-1, 1:-1] - 0.5
    rise = torch.from_numpy(depth / pixels).clamp(0, 1).float()[None]
    return rise * rise * (3 - 2 * rise)


def _distances(inside: np.ndarray) -> np.ndarray:
    """How far each pixel inside is from the nearest outside."""
    # Loaded only now, because the names of the classes are wanted where nothing is computed yet.
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(inside)
