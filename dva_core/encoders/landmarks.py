"""Where the parts of the face are: the demo's landmark net."""

import torch
from einops import rearrange
from torch import Tensor, nn

from .blocks import Hourglass, at_size

LANDMARKS = 68
FIRST_INNER_LANDMARK = 17  # 0..16 is the jaw line, which z_lnd leaves out
LANDMARK_CODE = 2 * (LANDMARKS - FIRST_INNER_LANDMARK)
_INPUT_SIZE = 64


class LandmarkNet(nn.Module):
    """Crops -> 68 points (iBUG order) finer than a pixel: one heat map a point, read by its centre of mass.

    Integral regression, Sun et al. 2018, Eq. 2. Stands where the MobileNetV2 of Kim et al. 2023, section 3.1,
    stands (the landmark feature z_lnd).
    """

    kind = "demo-heatmap"

    def __init__(self, widths: tuple[int, ...] | list[int] = (32, 64, 88)):
        super().__init__()
        self.config = {"kind": self.kind, "widths": list(widths)}
        self.features = Hourglass(unshuffle=2, widths=tuple(widths))
        self.heat = nn.Conv2d(widths[0], LANDMARKS, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, any S -> points [B,68,2] (x,y) in fractions of the crop.

        0 and 1 are the crop's outer edges: the centre of pixel j lies at (j + 0.5) / S.
        """
        return torch.stack([mean_position(profile) for profile in self.profiles(crops)], dim=-1)

    def profiles(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The heat maps seen along columns and along rows: each [B,68,32], positive with sum 1."""
        logits = self.heat(self.features(at_size(crops, _INPUT_SIZE))).float()
        height, width = logits.shape[-2:]
        heat = rearrange(logits, "b n h w -> b n (h w)").softmax(dim=-1)
        heat = rearrange(heat, "b n (h w) -> b n h w", h=height, w=width)
        return heat.sum(dim=-2), heat.sum(dim=-1)

    def codes(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1 -> z_lnd [B,102]: points 17..67 as x17, y17, x18, ... in fractions of the crop."""
        return landmark_codes(self(crops))


def landmark_codes(points: Tensor) -> Tensor:
    """Points [B,68,2] in fractions of the crop -> z_lnd [B,102]: brows, nose, eyes and mouth without the jaw."""
    return rearrange(points[:, FIRST_INNER_LANDMARK:], "b n xy -> b (n xy)")


def mean_position(profile: Tensor) -> Tensor:
    """The centre of mass along the last axis, whose cells share 0..1."""
    cells = profile.shape[-1]
    return profile @ ((torch.arange(cells, device=profile.device, dtype=profile.dtype) + 0.5) / cells)
