"""What the video autoencoder learns: name the noise, and agree with itself about the face.

Kim et al. 2023, Sec. 3.3: L_dva = L_simple + L_reg. Each clean picture gets two noises at the same step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from einops import reduce
from torch import Tensor

from ..diffusion.schedule import linear_alpha_bar

Weighting = Literal["uniform", "velocity"]


@dataclass(frozen=True)
class DvaLoss:
    """One number per picture, float32 [B]."""

    simple: Tensor
    reg: Tensor

    @property
    def total(self) -> Tensor:
        """The scalar to minimise: L_simple + L_reg, averaged over the batch."""
        return (self.simple + self.reg).mean()


def dva_loss(
    net: Callable[[Tensor, Tensor, Tensor], Tensor],
    x0: Tensor,
    t: Tensor,
    cond: Tensor,
    face_mask: Tensor,
    noises: tuple[Tensor, Tensor],
    weighting: Weighting = "uniform",
    pixel_weight: Tensor | None = None,
) -> DvaLoss:
    """L_simple and L_reg of a batch, with one evaluation of the net over both noisy copies.

    net(x [2B,3,S,S], t [2B], cond [2B,C]) -> noise. x0: [B,3,S,S] in -1..1. t: int64 [B] in 0..999.
    cond: [B,C]. face_mask: [B,1,S,S], 1 on the face. noises: two independent standard normal [B,3,S,S].
    pixel_weight: [B,1,S,S] for L_simple, all equal when left out.
    """
    noise = torch.cat(noises)
    x_t = noisy(x0.repeat(2, 1, 1, 1), t.repeat(2), noise)
    named = net(x_t, t.repeat(2), cond.repeat(2, 1))
    weight = 1.0 if pixel_weight is None else pixel_weight.repeat(2, 1, 1, 1)
    estimates = estimated_x0(x_t, t.repeat(2), named) * face_mask.repeat(2, 1, 1, 1)
    return DvaLoss(
        simple=simple_loss(named, noise, t.repeat(2), weighting, weight).unflatten(0, (2, -1)).sum(dim=0),
        reg=regularisation_loss(*estimates.chunk(2)),
    )


def simple_loss(
    named: Tensor, noise: Tensor, t: Tensor, weighting: Weighting = "uniform", pixel_weight: Tensor | float = 1.0
) -> Tensor:
    """Mean absolute error of the named noise [B,3,S,S] per picture, float32 [B] (Kim et al. 2023, Eq. 5).

    "uniform" is the published loss; "velocity" divides by sqrt(alpha_bar_t), which makes it the error of the
    velocity: late steps, where only the condition can tell the face, then count as much as early ones.
    """
    error = _per_picture((named.float() - noise).abs() * pixel_weight)
    return error if weighting == "uniform" else error / _alpha_bar(t).sqrt()


def regularisation_loss(masked_x0_1: Tensor, masked_x0_2: Tensor) -> Tensor:
    """Mean absolute difference of two masked estimates [B,3,S,S], float32 [B] (Kim et al. 2023, Eq. 6).

    Masked-out pixels count as zeros in the mean.
    """
    return _per_picture((masked_x0_1 - masked_x0_2).abs())


def noisy(x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, [B,3,S,S] (Ho et al. 2020, Eq. 4)."""
    alpha_bar = _alpha_bar(t)[:, None, None, None]
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def estimated_x0(x_t: Tensor, t: Tensor, named: Tensor) -> Tensor:
    """The clean picture [B,3,S,S] that x_t and the named noise imply, unclamped (Ho et al. 2020, Eq. 15)."""
    alpha_bar = _alpha_bar(t)[:, None, None, None]
    return (x_t - (1 - alpha_bar).sqrt() * named.float()) / alpha_bar.sqrt()


def _per_picture(values: Tensor) -> Tensor:
    return reduce(values, "b c h w -> b", "mean")


def _alpha_bar(t: Tensor) -> Tensor:
    return linear_alpha_bar().float().to(t.device)[t]
