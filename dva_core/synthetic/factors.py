"""The factors of many pictures as tensors that broadcast over pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import torch

from .motion import Motion
from .person import BEARDS, HAIR_COLORS, Person
from .scene import Scene

# light to dark skin, and how a pale person looks
_SKIN = np.array([(0.93, 0.74, 0.62), (0.85, 0.62, 0.48), (0.70, 0.47, 0.33), (0.50, 0.31, 0.21), (0.33, 0.20, 0.14)])
_PALE = np.array((0.97, 0.87, 0.82))
_HAIR = {
    "black": (0.045, 0.040, 0.045), "brown": (0.27, 0.155, 0.08), "blond": (0.84, 0.66, 0.32),
    "gray": (0.63, 0.63, 0.65), "red": (0.56, 0.22, 0.06),
}  # fmt: skip
assert set(_HAIR) == set(HAIR_COLORS)


def stack_factors(
    people: Sequence[Person], motions: Sequence[Motion], scenes: Sequence[Scene], frames: Sequence[int],
    device: torch.device | str = "cpu",
) -> SimpleNamespace:  # fmt: skip
    """One entry per picture: person n in frame `frames[n]` of motion n and scene n.

    Returns a namespace: numbers as [N,1,1], colours as [N,3,1,1], so that they broadcast over [N,H,W] and [N,3,H,W];
    the fields of motion and scene keep their names, and flags are 0.0 or 1.0.
    """
    out = {}
    for field in fields(Person):
        values = [getattr(person, field.name) for person in people]
        if not isinstance(values[0], str):
            out[field.name] = np.asarray(values, np.float32)
    skin = np.stack([_skin_color(person) for person in people])
    hair = np.stack([np.clip(np.array(_HAIR[p.hair_color]) * (1 + np.array(p.hair_jitter)), 0.02, 1) for p in people])
    out |= {"skin_color": skin, "hair_color": hair, "beard_color": _visible_on(skin, hair)}
    out |= {kind: np.array([person.beard == kind for person in people], np.float32) for kind in BEARDS[1:]}
    for group in (motions, scenes):
        for field in fields(group[0]):
            out[field.name] = np.stack([getattr(item, field.name)[t] for item, t in zip(group, frames, strict=True)])
    tensors = {name: torch.as_tensor(np.asarray(value, np.float32), device=device) for name, value in out.items()}
    return SimpleNamespace(**{name: value[..., None, None] for name, value in tensors.items()})


def _skin_color(person: Person) -> np.ndarray:
    position = person.skin_tone * (len(_SKIN) - 1)
    low = int(position)
    color = _SKIN[low] + (position - low) * (_SKIN[low + 1] - _SKIN[low])
    if person.pale:
        color = color + 0.75 * (_PALE - color)
    return np.clip(color * (1 + 0.04 * person.skin_hue * np.array((1.0, 0.0, -1.0))), 0, 1)


def _visible_on(skin: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Beard colour: the hair's, darkened where it would vanish against the skin."""
    contrast = hair.mean(-1) - skin.mean(-1)
    darker = np.clip((skin.mean(-1) - 0.20) / hair.mean(-1).clip(0.05), 0.25, 1)
    return hair * np.where(contrast > 0.15, 1.0, np.minimum(darker, 0.85))[:, None]
