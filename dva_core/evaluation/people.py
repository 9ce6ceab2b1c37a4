"""Whom the evaluation of edits looks at: rendered people, some who have an attribute and some who lack it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from torch import Tensor, from_numpy

from ..errors import DvaError
from ..synthetic import HELD_OUT_SEEDS, Motion, Person, render_crops, sample_motion, sample_person, sample_scene

SPACING = 8
"""Frames, of 25 a second, from one picture of a clip to the next: far enough apart for another pose."""


def cast(names: Sequence[str], each: int, seed: int, seeds: range = HELD_OUT_SEEDS) -> dict[str, list[int]]:
    """For each attribute the seeds of `each` people who have it and, after them, of `each` who lack it.

    `seed` chooses; the same people serve for as many attributes as possible, as each of them costs an inversion.
    Raises DvaError when the seeds do not hold so many.
    """
    candidates = np.random.default_rng(seed).permutation(len(seeds))[: 200 * each]
    has = {seeds[int(i)]: sample_person(seeds[int(i)]).attributes for i in candidates}
    sides = [(name, side) for name in names for side in (True, False)]
    sides.sort(key=lambda side: sum(attributes[side[0]] == side[1] for attributes in has.values()))
    chosen: list[int] = []
    sought: dict[tuple[str, bool], list[int]] = {}
    for name, side in sides:
        fitting = [person for person, attributes in has.items() if attributes[name] == side]
        # Stable, so those already chosen come first and in their order.
        fitting.sort(key=lambda person: person not in chosen)
        if len(fitting) < each:
            raise DvaError(f"Too few people have '{name}' {'on' if side else 'off'} for {each} of them; ask for fewer.")
        sought[name, side] = fitting[:each]
        chosen += [person for person in fitting[:each] if person not in chosen]
    return {name: sought[name, True] + sought[name, False] for name in names}


def filmed(
    seed: int, frames: int, size: int, *, person: Person | None = None, motion: Motion | None = None,
    spacing: int = SPACING,
) -> Tensor:  # fmt: skip
    """Crops [T,3,S,S] in -1..1 of every `spacing`-th frame of a clip, cut along the true landmarks.

    With `person` or `motion` given, the same clip with another person or motion.
    """
    length = (frames - 1) * spacing + 1
    person, motion = person or sample_person(seed), motion or sample_motion(seed, length)
    scene = sample_scene(seed, length)
    at = range(0, length, spacing)
    pictures = render_crops([person] * frames, [motion] * frames, [scene] * frames, at, size).pictures
    return rearrange(from_numpy(pictures), "t h w c -> t c h w").float() / 127.5 - 1
