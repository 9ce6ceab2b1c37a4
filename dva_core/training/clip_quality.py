"""How well a CLIP's text directions tell what changes in pictures: the numbers that a text edit depends on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..diffusion.schedule import linear_alpha_bar
from ..editing.prompts import text_direction
from ..encoders.clip import Clip
from ..synthetic.captions import FACTS
from .clip_pictures import SiblingSet
from .rendered import pictures_to_crops

TEXTS = {
    "glasses": "face with eyeglasses", "hat": "face with a hat", "beard": "face with a beard",
    "goatee": "face with a goatee", "mustache": "face with a mustache", "stubble": "face with stubble",
    "black hair": "face with black hair", "brown hair": "face with brown hair", "blond hair": "face with blond hair",
    "gray hair": "face with gray hair", "red hair": "face with red hair", "bald": "bald face",
    "bangs": "face with bangs", "long hair": "face with long hair", "old": "old face", "pale": "pale face",
    "makeup": "face with heavy makeup", "lipstick": "face wearing lipstick", "big nose": "face with a big nose",
    "bushy eyebrows": "face with bushy eyebrows", "rosy cheeks": "face with rosy cheeks",
    "earrings": "face wearing earrings",
}  # fmt: skip
"""Fact -> what it is asked for by, against "face"."""
LEVELS = (0, 200, 400, 600, 800)
"""Noise levels that are measured; 0 is without noise."""
_BATCH = 256


@torch.no_grad()
def measure_clip(clip_net: Clip, judged: SiblingSet, levels: Sequence[int] = LEVELS) -> dict[str, dict[str, dict]]:
    """Fact -> noise level -> numbers, for the direction from "face" to the fact's text.

    along: mean cosine with the change of pictures in which the fact comes (or, reversed, goes). away: mean absolute
    cosine with changes of other facts. told: share of those changes whose sign the direction tells. auc: of telling
    people with the fact from people without by their picture alone. None where there is nothing to tell it from.
    """
    device = clip_net.mean.device
    directions = torch.cat([text_direction(clip_net, "face", text) for text in TEXTS.values()]).to(device)
    facts = judged.facts
    first, second = facts[:, :1], facts[:, 1:]
    changes = rearrange(np.where(first * second < 0, second, 0), "b g f -> (b g) f")
    unsure = rearrange((first == 0) != (second == 0), "b g f -> (b g) f")
    found: dict[str, dict[str, dict]] = {fact: {} for fact in TEXTS}
    for level in levels:
        features = _features(clip_net, judged, level)
        moved = F.normalize(rearrange(features[:, 1:] - features[:, :1], "b g d -> (b g) d"), dim=-1)
        cosines = (moved @ directions.T).cpu().numpy()
        scores = rearrange(features, "b g d -> (b g) d") @ directions.T
        for column, fact in enumerate(TEXTS):
            index = FACTS.index(fact)
            change = changes[:, index]
            own = cosines[change != 0, column] * change[change != 0]
            others = cosines[(change == 0) & ~unsure[:, index], column]
            found[fact][str(level)] = {
                "along": _mean(own), "away": _mean(np.abs(others)), "told": _mean(own > 0),
                "auc": _auc(scores[:, column].cpu().numpy(), facts.reshape(-1, facts.shape[-1])[:, index]),
            }  # fmt: skip
    return found


def means_of(measured: dict[str, dict[str, dict]], facts: Sequence[str] = tuple(TEXTS)) -> dict[str, dict[str, float]]:
    """Noise level -> the mean over `facts` of each number."""
    levels = next(iter(measured.values()))
    means: dict[str, dict[str, float]] = {level: {} for level in levels}
    for level, names in levels.items():
        for name in names:
            numbers = [measured[fact][level][name] for fact in facts]
            means[level][name] = float(np.mean([number for number in numbers if number is not None]))
    return means


def _features(clip_net: Clip, judged: SiblingSet, level: int) -> Tensor:
    """Features [N,G,D]; the pictures of a group share their noise."""
    device = clip_net.mean.device
    kept = float(linear_alpha_bar()[level]) if level else 1.0
    count, size = judged.pictures.shape[:2]
    generator = torch.Generator().manual_seed(level)
    parts = []
    for start in range(0, count, _BATCH // size):
        groups = judged.pictures[start : start + _BATCH // size]
        crops = pictures_to_crops(rearrange(groups, "b g h w c -> (b g) h w c"))
        noise = torch.randn(len(groups), *crops.shape[1:], generator=generator).repeat_interleave(size, dim=0)
        parts.append(clip_net.picture_features((kept**0.5 * crops + (1 - kept) ** 0.5 * noise).to(device)))
    return rearrange(torch.cat(parts), "(b g) d -> b g d", g=size)


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 3) if len(values) else None


def _auc(scores: np.ndarray, held: np.ndarray) -> float | None:
    """The chance that someone with the fact scores above someone without."""
    yes, no = scores[held > 0], scores[held < 0]
    if not (len(yes) and len(no)):
        return None
    ranks = np.searchsorted(np.sort(no), yes, side="left") + np.searchsorted(np.sort(no), yes, side="right")
    return round(float(ranks.mean() / (2 * len(no))), 3)
