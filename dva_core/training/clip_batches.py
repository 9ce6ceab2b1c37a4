"""What one step of the CLIP's training sees: groups of siblings at one noise level each, and pairs of captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..diffusion.schedule import linear_alpha_bar
from ..synthetic.captions import FACTS, Saying, Style, caption, random_context, random_saying, random_style
from .clip_pictures import SiblingSet
from .data import spoil
from .rendered import pictures_to_crops

_HAIR_COLORS = tuple(name for name in FACTS if name.endswith(" hair") and name not in ("facial hair", "long hair"))
_LEAST_BLEND = 0.25


@dataclass(frozen=True)
class TextPairs:
    """Pairs of captions that differ in one thing. `before` and `after`: what they claim, int8 [P,F]: 1, -1, 0 not said.

    texts: the P captions before, then the P after.
    """

    texts: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray


def draw_pictures(
    siblings: SiblingSet, rows: np.ndarray, clean: float, most_noise: int, blended: float, seed: Sequence[int]
) -> tuple[Tensor, np.ndarray]:
    """Groups as they may be met in an edit: float32 [B,G,3,S,S] about -1..1, and their facts int8 [B,G,F].

    A group shares its mirroring, light, sharpness, noise level (none in a share `clean` of them, otherwise up to step
    `most_noise`) and noise. In a share `blended` the siblings are only part of the way from the first picture to
    themselves, as in the middle of an edit.
    """
    rng = np.random.default_rng(seed)
    groups = siblings.pictures[rows]
    count, size = groups.shape[:2]
    mirrored = rng.random(count) < 0.5
    groups = np.where(mirrored[:, None, None, None, None], groups[:, :, :, ::-1], groups)
    crops = pictures_to_crops(rearrange(groups, "b g h w c -> (b g) h w c"))
    crops = rearrange(crops, "(b g) c h w -> b g c h w", g=size)
    facts = siblings.facts[rows].copy()

    is_blended = rng.random(count) < blended
    share = np.where(is_blended, rng.uniform(_LEAST_BLEND, 1, count), 1).astype(np.float32)
    crops = torch.lerp(crops[:, :1], crops, torch.from_numpy(share)[:, None, None, None, None])

    generator = torch.Generator()
    spoiling = int(rng.integers(2**62))
    # The same amounts for every sibling: the generator starts anew for each column of the groups.
    crops = torch.stack([spoil(column, generator.manual_seed(spoiling)) for column in crops.unbind(1)], dim=1)

    t = np.where(rng.random(count) < clean, -1, rng.integers(0, most_noise + 1, count))
    kept = torch.cat([linear_alpha_bar(), torch.ones(1, dtype=torch.float64)])[torch.from_numpy(t)].float()
    noise = torch.randn(crops[:, :1].shape, generator=generator.manual_seed(spoiling + 1))
    kept = kept[:, None, None, None, None]
    return kept.sqrt() * crops + (1 - kept).sqrt() * noise, facts, is_blended


def draw_text_pairs(facts: np.ndarray, count: int, templates: Sequence[str], seed: Sequence[int]) -> TextPairs:
    """`count` pairs about changes that the groups [B,G,F] show, with what else is true of the people, or nothing."""
    rng = np.random.default_rng(seed)
    changes = np.argwhere(facts[:, :1] * facts[:, 1:] < 0)
    befores, afters, claims_before, claims_after = [], [], [], []
    for choice in rng.choice(len(changes), count):
        group, sibling, fact = changes[choice]
        person = facts[group, rng.choice((0, sibling + 1))]
        before, after, style = _pair(FACTS[fact], person, rng, templates)
        for sayings, texts, claims in ((before, befores, claims_before), (after, afters, claims_after)):
            texts.append(caption(sayings, style))
            claims.append(_claims(sayings))
    return TextPairs((*befores, *afters), np.array(claims_before), np.array(claims_after))


def draw_captions(
    facts: np.ndarray, count: int, templates: Sequence[str], seed: Sequence[int]
) -> tuple[list[str], np.ndarray]:
    """`count` captions, each true of one picture of the groups [B,G,F], and their claims int8 [count,F]."""
    rng = np.random.default_rng(seed)
    people = rearrange(facts, "b g f -> (b g) f")
    texts, claims = [], []
    for person in people[rng.choice(len(people), count)]:
        sayings = random_context(_held(person), int(rng.choice(5, p=(0.1, 0.3, 0.25, 0.2, 0.15))), rng)
        texts.append(caption(sayings, random_style(rng, templates)))
        claims.append(_claims(sayings))
    return texts, np.array(claims)


def agreement(facts: np.ndarray, claims: np.ndarray) -> np.ndarray:
    """Facts [N,F] of pictures and claims [P,F] of texts -> float32 [N,P]: 1 true, 0 false, NaN open."""
    said = claims != 0
    product = facts[:, None] * claims[None]
    is_open = (said[None] & (product == 0)).any(-1)
    return np.where((product < 0).any(-1), 0.0, np.where(is_open, np.nan, 1.0)).astype(np.float32)


def wanted_cosines(first: np.ndarray, second: np.ndarray, texts: TextPairs) -> np.ndarray:
    """Which cosine the change from pictures with facts `first` to `second` [N,F] should have with each text pair's.

    float32 [N,P]: the mean over what the texts change, of 1 where the pictures change likewise, -1 where oppositely, 0
    where not; NaN where that is open.
    """
    change = (second.astype(np.float32) - first) / 2
    change[(first == 0) | (second == 0)] = np.nan
    asked = np.sign(texts.after.astype(np.float32) - texts.before)
    product = np.where(asked[None] == 0, 0.0, change[:, None] * asked[None])
    return product.sum(-1) / np.abs(asked).sum(-1)[None]


def _pair(
    fact: str, person: np.ndarray, rng: np.random.Generator, templates: Sequence[str]
) -> tuple[list[Saying], list[Saying], Style]:
    style = random_style(rng, templates)
    context = list(random_context(_held(person), int(rng.choice(4, p=(0.55, 0.25, 0.12, 0.08))), rng, without=(fact,)))
    yes, no = random_saying(fact, True, rng), random_saying(fact, False, rng)
    if fact in _HAIR_COLORS and rng.random() < 0.2:
        no = random_saying(str(rng.choice([name for name in _HAIR_COLORS if name != fact])), True, rng)
    kind = str(rng.choice(("add", "swap", "drop"), p=(0.6, 0.22, 0.18)))
    if yes is None or no is None:
        kind = "add" if no is None else "drop"
    before = {"add": None, "swap": no, "drop": no}[kind]
    after = {"add": yes, "swap": yes, "drop": None}[kind]
    place = int(rng.integers(len(context) + 1))
    first, second = ([*context[:place], *([say] if say else []), *context[place:]] for say in (before, after))
    return first, second, style


def _held(person: np.ndarray) -> dict[str, bool | None]:
    return {name: None if value == 0 else bool(value > 0) for name, value in zip(FACTS, person, strict=True)}


def _claims(sayings: Sequence[Saying]) -> np.ndarray:
    claims = np.zeros(len(FACTS), np.int8)
    for say in sayings:
        for fact, holds in say.claims:
            claims[FACTS.index(fact)] = 1 if holds else -1
    return claims
