"""A batch of pictures that parts are painted on, back to front, together with their class map."""

from __future__ import annotations

from torch import Tensor


class Canvas:
    """Colours [N,3,H,W] in 0..1 and CelebAMask classes [N,H,W]; `pixel` is the size of a pixel in head units [N,1,1].

    Painting is in place: this is the one object of the renderer that changes.
    """

    def __init__(self, color: Tensor, labels: Tensor, pixel: Tensor) -> None:
        self.color = color
        self.labels = labels
        self.pixel = pixel

    def cover(self, distance: Tensor, soft: float = 0.0) -> Tensor:
        """How much of each pixel a shape covers, from the signed distance to its edge (negative inside).

        The edge is one pixel wide (anti-aliased), or `soft` head units where that is more.
        """
        return (distance / -self.pixel.clamp_min(soft)).add_(0.5).clamp_(0, 1)

    def paint(self, color: Tensor, alpha: Tensor, label: int | None = None) -> None:
        """Lays a colour ([N,3,1,1] or [N,3,H,W]) over the picture; `label` names the class where it dominates."""
        self.color.lerp_(color, alpha[:, None])
        if label is not None:
            self.labels.masked_fill_(alpha > 0.5, label)

    def shade(self, factor: float, alpha: Tensor) -> None:
        """Multiplies the colours by `factor` where alpha is one."""
        self.color.mul_((alpha * (factor - 1)).add_(1)[:, None])


def smooth(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Smoothstep: 0 below `low`, 1 above `high`."""
    t = ((value - low) / (high - low)).clamp_(0, 1)
    return (t * -2).add_(3).mul_(t).mul_(t)


def bell(squared: Tensor) -> Tensor:
    """A bell curve of a squared distance: close to exp(-q), but exactly zero from q = 4 on, and much cheaper."""
    t = (squared * -0.25).add_(1).clamp_min_(0)
    t.mul_(t)
    return t.mul_(t)
