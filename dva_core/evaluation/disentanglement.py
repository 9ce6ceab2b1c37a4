"""Did the edit change what it should and nothing else? Judged against the truth: the clip rendered with the change.

Pictures are crops float [T,3,S,S] in 0..1, regions bool [T,1,S,S]; source, edited and truth are the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from torch import Tensor

VISIBLE_CHANGE = 0.1
"""Mean absolute difference over the channels, of 0..1, from which a pixel counts as changed."""
LEFT_EYE, RIGHT_EYE = slice(36 - 17, 42 - 17), slice(42 - 17, 48 - 17)


def region_mse(a: Tensor, b: Tensor, region: Tensor) -> float:
    """Mean squared error inside the region, over all frames."""
    return float((a - b)[region.expand_as(a)].square().mean())


def changed_iou(source: Tensor, edited: Tensor, truth: Tensor, threshold: float = VISIBLE_CHANGE) -> float:
    """Overlap of what the edit changes with what the truth changes: intersection over union, over all frames."""
    by_edit, by_truth = (changed_region(source, other, threshold) for other in (edited, truth))
    return float((by_edit & by_truth).sum() / (by_edit | by_truth).sum().clamp(min=1))


def changed_region(before: Tensor, after: Tensor, threshold: float = VISIBLE_CHANGE) -> Tensor:
    """Pixels that visibly differ: bool [T,1,S,S]."""
    return (after - before).abs().mean(dim=1, keepdim=True) > threshold


def background_psnr(source: Tensor, edited: Tensor, head: Tensor) -> float:
    """PSNR in dB of all pixels outside the head, from their mean squared error over the clip; at most 100."""
    return -10 * math.log10(max(region_mse(source, edited, ~head), 1e-10))


def landmark_nme(before: Tensor, after: Tensor) -> float:
    """Normalised mean error: distance between landmarks [T,51,2] (17..67) in units of the distance between the eyes."""
    eyes = (before[:, LEFT_EYE].mean(dim=1) - before[:, RIGHT_EYE].mean(dim=1)).norm(dim=1)
    return float(((after - before).norm(dim=2).mean(dim=1) / eyes).mean())


def flipped(before: Mapping[str, bool], after: Mapping[str, bool], attribute: str, wanted: bool) -> bool:
    """Whether a judge's answer for the attribute went from not wanted to wanted."""
    return before[attribute] != wanted and after[attribute] == wanted


def changed_answers(before: Mapping[str, bool], after: Mapping[str, bool], names: list[str]) -> float:
    """The share of the named attributes whose answer changed: 0 is an edit without side effects."""
    return sum(before[name] != after[name] for name in names) / len(names)


def changed_scores(before: Mapping[str, float], after: Mapping[str, float], names: Iterable[str]) -> float:
    """By how much a judge's scores (0..1) of the named attributes changed, on average: 0 is no side effect."""
    changes = [abs(after[name] - before[name]) for name in names]
    return sum(changes) / len(changes)


def colour_change(source: Tensor, edited: Tensor, region: Tensor) -> tuple[float, float]:
    """How much the colour of a region that should stay is off, and how much that flickers, both of 0..1.

    Of each frame the mean of edited - source over the region, in each channel: its absolute value, averaged over frames
    and channels, and its standard deviation over the frames, averaged over the channels. Frames without a region count
    as unchanged.
    """
    area = region.sum(dim=(2, 3)).clamp(min=1)
    off = ((edited - source) * region).sum(dim=(2, 3)) / area
    return float(off.abs().mean()), float(off.std(dim=0, correction=0).mean())
