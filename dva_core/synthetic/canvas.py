"""A batch of pictures that parts are painted on, back to front, together with their class map."""

from __future__ import annotations

import torch
from torch import Tensor


class Canvas:
    """Colours [N,3,H,W] in 0..1 and CelebAMask classes [N,H,W]; `pixel` is the size of a pixel in head units [N,1,1].

    Painting is in place: this is the one object of the renderer that changes.
    """

    def __init__(self, color: Tensor, pixel: Tensor) -> None:
        self.color = color
        self.labels = torch.zeros(color.shape[0], *color.shape[2:], dtype=torch.uint8, device=color.device)
        self.pixel = pixel

    def cover(self, distance: Tensor, soft: float = 0.0) -> Tensor:
        """How much of each pixel a shape covers, from the signed distance to its edge (negative inside).

        The edge is one pixel wide (anti-aliased), or `soft` head units where that is more.
        """
        return (0.5 - distance / self.pixel.clamp_min(soft)).clamp(0, 1)

    def paint(self, color: Tensor, alpha: Tensor, label: int | None = None) -> None:
        """Lays a colour ([N,3,1,1] or [N,3,H,W]) over the picture; `label` names the class where it dominates."""
        self.color += alpha[:, None] * (color - self.color)
        if label is not None:
            self.labels.masked_fill_(alpha > 0.5, label)

    def shade(self, factor: Tensor, alpha: Tensor) -> None:
        """Multiplies the colours by `factor` (a number or [N,1,1]) where alpha is one."""
        self.color *= (1 + alpha * (factor - 1))[:, None]


def smooth(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Smoothstep: 0 below `low`, 1 above `high`."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def bell(squared: Tensor) -> Tensor:
    """A bell curve of a squared distance: close to exp(-q), but exactly zero from q = 4 on, and much cheaper."""
    t = (1 - 0.25 * squared).clamp_min(0)
    t = t * t
    return t * t
