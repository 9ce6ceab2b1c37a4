"""The few layers that the demo encoders are made of. All are meant for small pictures on a CPU."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def at_size(crops: Tensor, size: int) -> Tensor:
    """Pictures [B,3,S,S] brought to [B,3,size,size], antialiased when they shrink; untouched when they fit."""
    if crops.shape[-2:] == (size, size):
        return crops
    return F.interpolate(crops, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


class ConvUnit(nn.Sequential):
    """3x3 convolution, batch normalisation, ReLU: [B,I,H,W] -> [B,O,H/stride,W/stride]."""

    def __init__(self, width_in: int, width_out: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(width_in, width_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(inplace=True),
        )


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions around a shortcut, size and width unchanged (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.first = ConvUnit(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Hourglass(nn.Module):
    """Features that see the whole picture and still know where they are: [B,3,S,S] -> [B,widths[0],S/u,S/u].

    The picture enters through a u x u pixel-unshuffle, because convolutions with few channels at full
    resolution are what a CPU does worst. Each further width halves the resolution; on the way back the
    coarse features are enlarged and added to the finer ones.
    """

    def __init__(self, unshuffle: int, widths: tuple[int, ...]):
        super().__init__()
        self.unshuffle = unshuffle
        self.stem = ConvUnit(3 * unshuffle**2, widths[0])
        finer_coarser = list(pairwise(widths))
        self.down = nn.ModuleList(ConvUnit(fine, coarse, stride=2) for fine, coarse in finer_coarser)
        self.deep = nn.ModuleList(ConvUnit(coarse, coarse) for _, coarse in finer_coarser)
        self.lateral = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in finer_coarser)
        self.merge = nn.ModuleList(ConvUnit(fine, fine) for fine, _ in finer_coarser)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.pixel_unshuffle(pictures, self.unshuffle).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        levels = []
        for down, deep in zip(self.down, self.deep, strict=True):
            levels.append(x)
            x = deep(down(x))
        for finer, lateral, merge in reversed(list(zip(levels, self.lateral, self.merge, strict=True))):
            x = merge(finer + F.interpolate(lateral(x), size=finer.shape[-2:], mode="bilinear", align_corners=False))
        return x
