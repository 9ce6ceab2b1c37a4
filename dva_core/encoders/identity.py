"""Who is it: the demo's identity net, and the classifier that judges edits from outside."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvUnit, ResidualUnit, at_size

IDENTITY_FEATURES = 512
_INPUT_SIZE = 64


class FaceTrunk(nn.Module):
    """Crops [B,3,S,S] in -1..1, any S -> features [B,4*width].

    The first convolution reads 2x2 blocks with stride 2, a quarter of the picture's side: it keeps as many
    numbers as it reads, so that glasses two pixels thick survive it, and makes everything after it cheap.
    """

    def __init__(self, width: int):
        super().__init__()
        self.stages = nn.Sequential(
            ConvUnit(12, width, stride=2),
            ResidualUnit(width),
            ConvUnit(width, 2 * width, stride=2),
            ConvUnit(2 * width, 2 * width),
            ConvUnit(2 * width, 4 * width, stride=2),
            ConvUnit(4 * width, 4 * width),
        )
        last = _INPUT_SIZE // 16
        # One weight for each place and channel instead of a plain mean: in aligned crops, place means part of the face.
        self.gather = nn.Conv2d(4 * width, 4 * width, last, groups=4 * width, bias=False)

    def forward(self, crops: Tensor) -> Tensor:
        x = F.pixel_unshuffle(at_size(crops, _INPUT_SIZE), 2).contiguous(memory_format=torch.channels_last)
        return self.gather(self.stages(x)).flatten(1)


class IdentityNet(nn.Module):
    """Crops -> unit vectors of 512 numbers that tell people apart; stands where ArcFace stands in the paper.

    Kim et al. 2023, section 3.1 (the identity feature z_id). Trained with a margin softmax over rendered people.
    """

    kind = "demo-resnet"

    def __init__(self, width: int = 64):
        super().__init__()
        self.config = {"kind": self.kind, "width": width}
        self.trunk = FaceTrunk(width)
        self.project = nn.Linear(4 * width, IDENTITY_FEATURES, bias=False)
        self.norm = nn.BatchNorm1d(IDENTITY_FEATURES, affine=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, any S -> features [B,512] of length 1."""
        return F.normalize(self.norm(self.project(self.trunk(crops))), dim=1)


class AttributeClassifierNet(nn.Module):
    """Crops -> one logit for each attribute, straight from the picture.

    It judges edits and is never used to make them: it shares nothing with the identity net but its layout.
    """

    kind = "demo-attributes"

    def __init__(self, attributes: tuple[str, ...] | list[str], width: int = 56):
        super().__init__()
        self.config = {"kind": self.kind, "attributes": list(attributes), "width": width}
        self.attributes = tuple(attributes)
        self.trunk = FaceTrunk(width)
        self.norm = nn.BatchNorm1d(4 * width)
        self.head = nn.Linear(4 * width, len(self.attributes))

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, any S -> logits [B,A], above 0 where the attribute is present."""
        return self.head(self.norm(self.trunk(crops)))
