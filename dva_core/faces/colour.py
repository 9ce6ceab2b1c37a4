"""The colours of edited crops brought back to those of their source."""

from __future__ import annotations

import torch
from einops import reduce
from torch import Tensor

from ..errors import DvaError

# A channel that varies less than this (a quarter of a byte level) is flat: there is no contrast to stretch.
LEAST_DEVIATION = 0.002


def match_colours(edited: Tensor, source: Tensor, mask: Tensor, amount: float) -> Tensor:
    """Edited crops [V,3,S,S] in -1..1 with the mean and the standard deviation of `source` in each channel.

    Both are measured where the mask [V,1,S,S] in 0..1 is above 0, weighed by it, in every frame, and averaged over
    the clip: all frames get one gain and one offset for a channel, so nothing can flicker. They act on whole crops.
    `amount` blends from 0, the edited crops themselves, to 1. Raises DvaError when the shapes do not fit.

    Reinhard et al. 2001 (Color Transfer between Images), but in plain RGB: theirs is l-alpha-beta because two
    unrelated photographs differ in scene and light. Here both show the same face and the decoder's drift is a gain
    and an offset of the channels themselves; the logarithm would only make much of the noise in dark hair.
    """
    if edited.shape != source.shape or mask.shape != (len(edited), 1, *edited.shape[2:]):
        shapes = ", ".join(str(list(each.shape)) for each in (edited, source, mask))
        raise DvaError(f"Edited crops, source crops and mask do not fit together ({shapes}); make them from one clip.")
    weight = reduce(mask, "v 1 h w -> v 1 1 1", "sum")
    if amount == 0 or not weight.any():
        return edited
    mean, deviation = _statistics(edited, mask, weight)
    wanted_mean, wanted_deviation = _statistics(source, mask, weight)
    gain = torch.where(deviation < LEAST_DEVIATION, 1.0, wanted_deviation / deviation)
    matched = (edited - mean) * gain + wanted_mean
    return torch.lerp(edited, matched.clamp(-1, 1), amount)


def _statistics(crops: Tensor, mask: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [1,3,1,1] within a frame, averaged over the frames that have any mask."""
    seen = weight[:, 0, 0, 0] > 0
    crops, mask, weight = crops[seen], mask[seen], weight[seen]
    means = reduce(crops * mask, "v c h w -> v c 1 1", "sum") / weight
    variances = reduce((crops - means) ** 2 * mask, "v c h w -> v c 1 1", "sum") / weight
    return means.mean(dim=0, keepdim=True), variances.sqrt().mean(dim=0, keepdim=True)
