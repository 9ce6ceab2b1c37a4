"""Which part of the face a pixel belongs to: the demo's parser."""

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Hourglass, at_size

PARSING_CLASSES = 19  # the ids of CelebAMask-HQ: 0 background, 1 skin, ... 17 hair, 18 hat
_INPUT_SIZE = 64
_UNSHUFFLE = 2


class ParserNet(nn.Module):
    """Crops -> a logit for each of the 19 CelebAMask classes at each pixel; stands where the paper has BiSeNet."""

    kind = "demo-unet"

    def __init__(self, widths: tuple[int, ...] | list[int] = (32, 64, 88)):
        super().__init__()
        self.config = {"kind": self.kind, "widths": list(widths)}
        self.features = Hourglass(_UNSHUFFLE, tuple(widths))
        self.classify = nn.Conv2d(widths[0], PARSING_CLASSES * _UNSHUFFLE**2, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, any S -> logits [B,19,S,S]."""
        logits = F.pixel_shuffle(self.classify(self.features(at_size(crops, _INPUT_SIZE))), _UNSHUFFLE)
        if logits.shape[-2:] == crops.shape[-2:]:
            return logits
        return F.interpolate(logits, size=crops.shape[-2:], mode="bilinear", align_corners=False)
