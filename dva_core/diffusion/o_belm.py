"""O-BELM: a two-step walk that can be taken back exactly, because each state follows from the two before it.

Wang et al. 2024, "BELM: Bidirectional Explicit Linear Multi-step Samplers", Eq. 18. With x scaled by
1 / sqrt(alpha_bar), the noise is its slope over the noise level; the step is the leapfrog rule for uneven steps.

Cost: T evaluations to invert, T - 1 to decode. Memory: one map beside x_T for each frame. x_T is no longer a standard
normal: the rule lets errors grow, so that edits of its noise drift further than DDIM's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ddim import NoiseEstimator, OnStep, levels, moved, named
from .schedule import spaced_timesteps


@torch.no_grad()
def invert(eps: NoiseEstimator, x0: Tensor, steps: int, on_step: OnStep | None = None) -> tuple[Tensor, Tensor]:
    """x_T [B,3,S,S] of pictures x0 in -1..1, and the state before it, [B,1,3,S,S], from which both `decode` goes on.

    The first step, which has no state before it, is DDIM's. A number of steps that has no even spacing raises
    `DvaError`.
    """
    timesteps, alpha_bar = spaced_timesteps(steps), levels(steps)
    before = x0.float()
    x = moved(before, named(eps, before, timesteps[0]), alpha_bar[0], alpha_bar[1])
    _told(on_step, 1, steps)
    for level in range(1, steps):
        weight, slope = _rule(alpha_bar, level)
        noise = named(eps, x, timesteps[level - 1])
        low, middle = before / alpha_bar[level - 1] ** 0.5, x / alpha_bar[level] ** 0.5
        before, x = x, alpha_bar[level + 1] ** 0.5 * (low - (1 - weight) * middle - slope * noise) / weight
        _told(on_step, level + 1, steps)
    return x, before[:, None]


@torch.no_grad()
def decode(
    eps: NoiseEstimator, x_T: Tensor, stored: Tensor, steps: int, on_step: OnStep | None = None
) -> Tensor:
    """The picture [B,3,S,S] in -1..1 of what `invert` gave, with the condition of this `eps`."""
    timesteps, alpha_bar = spaced_timesteps(steps), levels(steps)
    above, x = x_T.float(), stored[:, 0].float()
    for level in range(steps - 1, 0, -1):
        weight, slope = _rule(alpha_bar, level)
        noise = named(eps, x, timesteps[level - 1])
        high, middle = above / alpha_bar[level + 1] ** 0.5, x / alpha_bar[level] ** 0.5
        above, x = x, alpha_bar[level - 1] ** 0.5 * (weight * high + (1 - weight) * middle + slope * noise)
        _told(on_step, steps - level, steps - 1)
    return x.clamp(-1.0, 1.0)


def _rule(alpha_bar: list[float], level: int) -> tuple[float, float]:
    """What the state above counts in a step down from `level`, and the noise; exact for quadratics of the level."""
    below, here, above = (((1 - a) / a) ** 0.5 for a in alpha_bar[level - 1 : level + 2])
    down, up = here - below, above - here
    return (down / up) ** 2, -down * (down + up) / up


def _told(on_step: OnStep | None, done: int, total: int) -> None:
    if on_step is not None:
        on_step(done, total)
