"""From two texts to one direction in CLIP's space: what has to change in a picture for the other text to fit."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoders.clip import Clip
from ..errors import DvaError

TEMPLATES = (
    "{}", "a {}.", "the {}.", "one {}.", "my {}.", "this is a {}.",
    "a photo of a {}.", "a photo of the {}.", "a portrait of a {}.", "a close-up of a {}.", "a frame showing a {}.",
    "a picture showing a {}.", "a snapshot of a {}.", "a film still of a {}.", "a video of a {}.", "a selfie of a {}.",
    "a sharp picture of a {}.", "a soft picture of a {}.", "a small picture of a {}.", "a large picture of a {}.",
    "a dark picture of a {}.", "a bright picture of a {}.", "a pale picture of a {}.", "a colourful picture of a {}.",
    "a {} in front of a wall.", "a {} outdoors.", "a {} looking at the camera.", "a {} seen from the front.",
    "a {} turned a little to the side.", "a drawing of a {}.", "a painting of a {}.", "a rendering of a {}.",
)  # fmt: skip
"""What is said around a text. The published edit (Kim et al. 2023) averages over 79 templates of CLIP's notebook for
ImageNet, which are about any object; these are a few of our own, about pictures of somebody."""

_known: WeakKeyDictionary[Clip, dict[tuple[str, str], Tensor]] = WeakKeyDictionary()


def text_direction(clip_net: Clip, source: str, target: str) -> Tensor:
    """The way from one text to another: float32 [1,D] of length 1, on CLIP's device.

    The difference of the features of length 1 that both have in a template, averaged over all templates (Patashnik
    et al. 2021; facts as published: Kim et al. 2023, Sec. 3.3). It is computed once for a CLIP and two texts. Raises
    DvaError for empty texts, and for two that CLIP cannot tell apart.
    """
    source, target = source.strip(), target.strip()
    if not (source and target):
        raise DvaError("A text edit needs two texts: what is seen ('face'), and what is wanted ('face with a beard').")
    known = _known.setdefault(clip_net, {})
    if (source, target) not in known:
        known[source, target] = _text_direction(clip_net, source, target)
    return known[source, target]


def _text_direction(clip_net: Clip, source: str, target: str) -> Tensor:
    # Outside of any inference mode, because what is made in one is of no use to gradients ever after.
    with torch.inference_mode(False), torch.no_grad():
        before, after = (
            F.normalize(clip_net.text_features([template.format(text) for template in TEMPLATES]).float(), dim=-1)
            for text in (source, target)
        )
        direction = (after - before).mean(dim=0, keepdim=True)
    if direction.norm() < 1e-6:
        raise DvaError(f"To CLIP '{source}' and '{target}' say the same; give texts that differ.")
    return F.normalize(direction, dim=-1).clone()
