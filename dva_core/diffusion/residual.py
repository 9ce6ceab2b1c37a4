"""Residual-corrected DDIM: what inversion got wrong at each step is kept, and given back when the steps are undone.

Inversion and decoding read the noise at different states, so that DDIM does not lead back. But the net's answer at a
state of the inversion is also what decoding would hear there: one evaluation more in all tells, for every step, how far
a step back from the stored state misses the state before. Decoding adds that residual, and returns the source with
any net, in any precision and any number of steps. Ours; it owes the idea to Direct Inversion (Ju et al. 2024, "PnP
Inversion", Alg. 1) and CycleDiffusion (Wu & De la Torre 2023), which find the same differences at twice the cost.

Cost: T + 1 evaluations to invert, T to decode. Memory: T + 2 maps beside x_T for each frame: the picture, and what the
net named on the way. The states are computed again from these, with the same numbers to the last bit, so that nothing
is left over where nothing is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .ddim import NoiseEstimator, OnStep, levels, moved, named
from .schedule import spaced_timesteps


@dataclass(frozen=True, eq=False)
class Step:
    """A step of decoding beside the same step of the source; every picture [B,3,S,S].

    alpha_bar: of the level that it leads to. moved: where the net leads from here. source: where the source's inversion
    was at that level; source_moved: where the net led the source. estimate, source_estimate: x_0, as the net sees it
    from here and saw it in the source.
    """

    alpha_bar: float
    moved: Tensor
    source: Tensor
    source_moved: Tensor
    estimate: Tensor
    source_estimate: Tensor

    @property
    def residual(self) -> Tensor:
        """What the source's own step misses."""
        return self.source - self.source_moved


Correct = Callable[[Step], Tensor]
"""correct(step) -> the state [B,3,S,S] to go on from."""


def in_full(step: Step) -> Tensor:
    """All of the residual: with the source's own condition, the source returns."""
    # Not moved + residual: this order cancels without rounding where nothing is edited.
    return step.source + (step.moved - step.source_moved)


@torch.no_grad()
def invert(eps: NoiseEstimator, x0: Tensor, steps: int, on_step: OnStep | None = None) -> tuple[Tensor, Tensor]:
    """x_T [B,3,S,S] of pictures x0 in -1..1, and what `decode` needs beside it, float32 [B,steps+2,3,S,S].

    The latter are x0, and the noise that the net names in x0, in each state of the walk, and in x_T.
    A number of steps that has no even spacing raises `DvaError`.
    """
    timesteps, alpha_bar = spaced_timesteps(steps), levels(steps)
    x = x0.float()
    stored = [x]
    for level, t in enumerate([timesteps[0], *timesteps]):
        stored.append(named(eps, x, t))
        if level < steps:
            x = moved(x, stored[-1], alpha_bar[level], alpha_bar[level + 1])
        if on_step is not None:
            on_step(level + 1, steps + 1)
    return x, torch.stack(stored, dim=1)


@torch.no_grad()
def decode(
    eps: NoiseEstimator,
    x_T: Tensor,
    stored: Tensor,
    steps: int,
    on_step: OnStep | None = None,
    correct: Correct = in_full,
) -> Tensor:
    """The picture [B,3,S,S] in -1..1 of what `invert` gave, with the condition of this `eps`.

    `correct` says how much of the residuals is used, and where.
    """
    alpha_bar, timesteps = levels(steps), spaced_timesteps(steps)
    states, noises = _walk(stored, alpha_bar)
    x = x_T.float()
    for level in range(steps, 0, -1):
        now, then = alpha_bar[level], alpha_bar[level - 1]
        noise = named(eps, x, timesteps[level - 1])
        step = Step(
            alpha_bar=then,
            moved=moved(x, noise, now, then),
            source=states[level - 1],
            source_moved=moved(states[level], noises[level], now, then),
            estimate=moved(x, noise, now, 1.0),
            source_estimate=moved(states[level], noises[level], now, 1.0),
        )
        x = correct(step)
        if on_step is not None:
            on_step(steps - level + 1, steps)
    return x.clamp(-1.0, 1.0)


def _walk(stored: Tensor, alpha_bar: list[float]) -> tuple[list[Tensor], list[Tensor]]:
    """The source's states from x0 to x_T, and the noise that the net named in each."""
    x0, *noises = stored.float().unbind(dim=1)
    states = [x0]
    for noise, (now, then) in zip(noises, pairwise(alpha_bar), strict=False):
        states.append(moved(states[-1], noise, now, then))
    return states, noises
