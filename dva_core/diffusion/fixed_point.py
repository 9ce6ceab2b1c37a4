"""Inversion by fixed points: each step up is sought until the step down leads back to where it began.

Pan et al. 2023, "Effective Real Image Editing with Accelerated Iterative Diffusion Inversion", Sec. 3.1 (without their
acceleration): the noise is named in the state that is sought, and so that state is corrected a few times.

Cost: `ITERATIONS` times T evaluations to invert, T to decode, as `ddim.decode` does. Memory: x_T alone. How nearly the
source returns depends on the net; where the iteration does not contract, it does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ddim import NoiseEstimator, OnStep, levels, moved, named
from .schedule import spaced_timesteps

ITERATIONS = 5


@torch.no_grad()
def invert(eps: NoiseEstimator, x0: Tensor, steps: int, on_step: OnStep | None = None) -> Tensor:
    """x_T [B,3,S,S] of pictures x0 in -1..1. A number of steps that has no even spacing raises `DvaError`."""
    alpha_bar, x = levels(steps), x0.float()
    for level, t in enumerate(spaced_timesteps(steps), start=1):
        below = x
        for iteration in range(1, ITERATIONS + 1):
            x = moved(below, named(eps, x, t), alpha_bar[level - 1], alpha_bar[level])
            if on_step is not None:
                on_step((level - 1) * ITERATIONS + iteration, steps * ITERATIONS)
    return x
