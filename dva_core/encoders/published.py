"""The three encoders of the published model, built from the libraries whose layout its weights have.

Kim et al. 2023, Sec. 3.1 and 4: ArcFace for z_id, a 68-point net for z_lnd, BiSeNet for the face mask. All were trained
on crops of 256 pixels; crops of other sizes are brought to that first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..libraries import library
from .blocks import at_size
from .landmarks import LANDMARKS, landmark_codes
from .parsing import PARSING_CLASSES

CROP_SIZE = 256
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# The face without its surroundings, in pixels of the crop, and the side at which ArcFace looks at it.
_FACE_ROWS, _FACE_COLUMNS = slice(35, 223), slice(32, 220)
_ARCFACE_SIZE = 112

_LANDMARK_SIZE = 224
_MARGIN = (CROP_SIZE - _LANDMARK_SIZE) // 2
_PARSER_SIZE = 512
_LIBRARIES_FOR = "The published encoders"


class ArcFaceNet(nn.Module):
    """Crops -> who is in them: ArcFace (Deng et al. 2019) on an IR-SE50, the z_id of Kim et al. 2023."""

    kind = "arcface-ir-se50"

    def __init__(self) -> None:
        super().__init__()
        self.config = {"kind": self.kind}
        arcface = library("facexlib.recognition.arcface_arch", _LIBRARIES_FOR)
        self.backbone = arcface.Backbone(50, 0.6, "ir_se")

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, RGB, any S -> features [B,512] of length 1."""
        if crops.shape[-2:] != (CROP_SIZE, CROP_SIZE):
            crops = F.adaptive_avg_pool2d(crops, CROP_SIZE)
        faces = F.adaptive_avg_pool2d(crops[:, :, _FACE_ROWS, _FACE_COLUMNS], _ARCFACE_SIZE)
        return F.normalize(self.backbone(faces))


class MobileLandmarkNet(nn.Module):
    """Crops -> 68 points: a motion code more than a precise detector, the z_lnd of Kim et al. 2023."""

    kind = "mobilenetv2-gdconv"

    def __init__(self) -> None:
        super().__init__()
        self.config = {"kind": self.kind}
        self.backbone = MobileNetGDConv(2 * LANDMARKS)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, RGB, any S -> points [B,68,2] (x,y) in fractions of the crop.

        Points may lie outside the part that the net looks at.
        """
        return (self._points(crops) * _LANDMARK_SIZE + _MARGIN) / CROP_SIZE

    def codes(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1 -> z_lnd [B,102]: points 17..67 in fractions of the middle 224 of 256 pixels.

        Held in 0..1, because the linear head after it has never seen anything else.
        """
        return landmark_codes(self._points(crops).clamp(0, 1))

    def _points(self, crops: Tensor) -> Tensor:
        inside = slice(_MARGIN, _MARGIN + _LANDMARK_SIZE)
        raw = self.backbone(_for_imagenet(at_size(crops, CROP_SIZE)[:, :, inside, inside]))
        return rearrange(raw, "b (points xy) -> b points xy", xy=2)


class MobileNetGDConv(nn.Module):
    """MobileNetV2 (Sandler et al. 2018) read out by a global depthwise convolution (Chen et al. 2018, MobileFaceNets).

    Pictures [B,3,224,224] -> numbers [B,outputs]. `base_net.0`, `linear7`, `linear1` are the published names.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        models = library("torchvision.models", _LIBRARIES_FOR)
        self.base_net = nn.Sequential(models.mobilenet_v2(weights=None).features)
        self.linear7 = ConvNorm(nn.Conv2d(1280, 1280, 7, groups=1280, bias=False))
        self.linear1 = ConvNorm(nn.Conv2d(1280, outputs, 1, bias=False))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.linear1(self.linear7(self.base_net(pictures))).flatten(1)


class ConvNorm(nn.Module):
    """A convolution and its batch normalisation, nothing after them."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class BiSeNetParser(nn.Module):
    """Crops -> a logit for each of the 19 CelebAMask classes at each pixel: BiSeNet (Yu et al. 2018)."""

    kind = "bisenet"

    def __init__(self) -> None:
        super().__init__()
        self.config = {"kind": self.kind}
        self.backbone = library("facexlib.parsing.bisenet", _LIBRARIES_FOR).BiSeNet(PARSING_CLASSES)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, RGB, any S -> logits [B,19,S,S]."""
        # To 512 and back by nearest neighbours, as published: the masks are then the published ones pixel by pixel.
        large = F.interpolate(crops, size=(_PARSER_SIZE, _PARSER_SIZE), mode="nearest")
        logits, *_ = self.backbone(_for_imagenet(large.clamp(-1, 1)))
        return F.interpolate(logits, size=crops.shape[-2:], mode="nearest")


def _for_imagenet(pictures: Tensor) -> Tensor:
    """Pictures in -1..1 as nets from ImageNet expect them."""
    mean, std = (torch.tensor(v, device=pictures.device)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pictures + 1) / 2 - mean) / std
