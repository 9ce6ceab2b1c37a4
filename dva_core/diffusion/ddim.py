"""DDIM both ways: a picture to its noise map and back, without randomness.

Song et al. 2021 (DDIM), Eq. 12 with sigma = 0; Kim et al. 2023, Eqs. 2 and 3. Two conventions:

- The default first lifts the clean picture (alpha_bar is 1) to tau_0, then walks from each kept step to the next, so
  that the net is always told the level that the state really has, decoding walks the same levels back in as many
  evaluations, and nothing is clamped on the way. Where the named noise does not change, decoding undoes inversion
  exactly.
- `faithful` repeats the published code, number for number: the clean picture counts as the state at tau_0, so
  that inverting takes one evaluation fewer than decoding, and x_0 is clamped inside every step, both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from .schedule import linear_alpha_bar, spaced_timesteps

NoiseEstimator = Callable[[Tensor, Tensor], Tensor]
"""eps(x [B,3,S,S], t int64 [1], for all of them) -> the noise in x, [B,3,S,S]; t counts the original 1000 steps."""

OnStep = Callable[[int, int], None]
"""on_step(done, total), called after each step; what it raises ends the walk."""

Hold = Callable[[Tensor, float], Tensor]
"""hold(x [B,3,S,S], alpha_bar of x's level) -> the state to go on from, after each step."""


@torch.no_grad()
def invert(
    eps: NoiseEstimator,
    x0: Tensor,
    steps: int,
    faithful: bool = False,
    on_step: OnStep | None = None,
    clamp: bool = True,
) -> Tensor:
    """The noise map x_T, float32 [B,3,S,S], from which `decode` with equal steps rebuilds x0 (in -1..1).

    `clamp` (faithful only) holds x_0 in -1..1 inside the steps, as published. A number of steps that has no
    even spacing raises `DvaError`.
    """
    timesteps = spaced_timesteps(steps)
    alpha_bar = levels(steps)
    if faithful:
        # The state at level i is handed to the net as step tau_i and lifted to level i + 1.
        walk = [(t, a, b) for t, (a, b) in zip(timesteps, pairwise(alpha_bar[1:]), strict=False)]
    else:
        walk = [(t, a, b) for t, (a, b) in zip([timesteps[0], *timesteps], pairwise(alpha_bar), strict=False)]
    return _walked(eps, x0, walk, faithful and clamp, on_step)


@torch.no_grad()
def decode(
    eps: NoiseEstimator,
    x_T: Tensor,
    steps: int,
    faithful: bool = False,
    on_step: OnStep | None = None,
    clamp: bool = True,
    hold: Hold | None = None,
) -> Tensor:
    """The picture, float32 [B,3,S,S] in -1..1, that the noise map x_T stands for.

    `clamp` (faithful only) as in `invert`; the default convention clamps the finished picture only. `hold` may put a
    part of each state back to what it should be.
    """
    timesteps = spaced_timesteps(steps)
    alpha_bar = levels(steps)
    walk = [(t, b, a) for t, (a, b) in zip(timesteps, pairwise(alpha_bar), strict=True)][::-1]
    x0 = _walked(eps, x_T, walk, faithful and clamp, on_step, hold)
    return x0 if faithful else x0.clamp(-1.0, 1.0)


def levels(steps: int) -> list[float]:
    """alpha_bar of the clean picture (1), then of each kept step."""
    return [1.0, *linear_alpha_bar()[spaced_timesteps(steps)].tolist()]


def moved(x: Tensor, noise: Tensor, now: float | Tensor, then: float | Tensor, clamp: bool = False) -> Tensor:
    """Picture and noise [B,3,S,S], mixed anew for another alpha_bar: Song et al. 2021, Eq. 12 with sigma = 0.

    now, then: a number, or [B,1,1,1].
    """
    x0 = x / now**0.5 - (1 / now - 1) ** 0.5 * noise
    if clamp:
        x0 = x0.clamp(-1.0, 1.0)
        noise = (x / now**0.5 - x0) / (1 / now - 1) ** 0.5
    return then**0.5 * x0 + (1 - then) ** 0.5 * noise


def named(eps: NoiseEstimator, x: Tensor, t: int) -> Tensor:
    """The noise, float32 [B,3,S,S], that the net names in x at step t."""
    return eps(x, torch.tensor([t], device=x.device)).float()


def _walked(
    eps: NoiseEstimator, x: Tensor, walk: list[tuple[int, float, float]], clamp: bool, on_step: OnStep | None,
    hold: Hold | None = None,
) -> Tensor:  # fmt: skip
    """Goes through (step shown to the net, alpha_bar now, alpha_bar next), one evaluation each."""
    x = x.float()
    for done, (t, now, then) in enumerate(walk, start=1):
        x = moved(x, named(eps, x, t), now, then, clamp)
        if hold is not None:
            x = hold(x, then)
        if on_step is not None:
            on_step(done, len(walk))
    return x
