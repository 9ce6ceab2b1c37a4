"""Does the edited person stay one person over time? TL-ID and TG-ID of Tzaban et al. 2022 (Stitch it in Time, Sec. 5).

Both compare the edited clip's consistency with its source's: 1 is as consistent as the source, above 1 is possible.
They are ratios of means over frame pairs (the mean of each pair's own ratio is another reading of the paper).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import DvaError


def tl_id(source: Tensor, edited: Tensor) -> float:
    """Temporally local identity preservation: how alike neighbouring frames are.

    `source`, `edited`: identity features [T,D] of both clips by one identity net, best not the model's own.
    Raises DvaError when the clips differ in length or have fewer than two frames.
    """
    return _ratio(source, edited, _neighbours)


def tg_id(source: Tensor, edited: Tensor) -> float:
    """Temporally global identity preservation: how alike any two frames are. Takes and raises what `tl_id` does."""
    return _ratio(source, edited, _all_pairs)


def _ratio(source: Tensor, edited: Tensor, similarity) -> float:
    if len(source) != len(edited) or len(source) < 2:
        raise DvaError(
            f"Identity over time needs two clips of one length, at least 2 frames; got {len(source)} and {len(edited)}."
        )
    source, edited = (F.normalize(features.double(), dim=1) for features in (source, edited))
    return float(similarity(edited) / similarity(source))


def _neighbours(features: Tensor) -> Tensor:
    return (features[1:] * features[:-1]).sum(1).mean()


def _all_pairs(features: Tensor) -> Tensor:
    count = len(features)
    cosines = features @ features.T
    return cosines.triu(1).sum() / (count * (count - 1) / 2)
