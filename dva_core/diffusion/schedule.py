"""The noise schedule: how much picture each of the 1000 steps leaves, and which a short walk keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import DvaError

TRAINING_STEPS = 1000
BETA_FIRST, BETA_LAST = 1e-4, 0.02


def linear_alpha_bar(steps: int = TRAINING_STEPS) -> Tensor:
    """alpha_bar[t], the share of signal variance left at step t, for betas rising linearly from 1e-4 to 0.02.

    Returns float64 [steps], falling from 0.9999 towards 0 (Ho et al. 2020, section 2 and 4).
    """
    betas = torch.linspace(BETA_FIRST, BETA_LAST, steps, dtype=torch.float64)
    return torch.cumprod(1.0 - betas, dim=0)


def spaced_timesteps(n: int, total: int = TRAINING_STEPS) -> list[int]:
    """The n original steps 0, s, 2s, ... of an n-step walk, s the smallest stride giving n of them.

    Not every n has such a stride; `DvaError` then names the nearest counts that do.
    """
    for stride in range(1, total):
        kept = range(0, total, stride)
        if len(kept) == n:
            return list(kept)
    valid = sorted({len(range(0, total, stride)) for stride in range(1, total)})
    below = [str(v) for v in valid if v < n][-1:]
    above = [str(v) for v in valid if v > n][:1]
    raise DvaError(
        f"{n} steps cannot be spread evenly over {total} diffusion steps; use {' or '.join(below + above)} instead."
    )
