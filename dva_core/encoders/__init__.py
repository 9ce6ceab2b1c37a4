"""The nets that look at pictures: who it is, where its parts are, which pixel is what, where faces are.

The engine asks for no more than the protocols below, so a bundle may carry the small demo nets or others.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from ..errors import DvaError
from .detector import FaceDetectorNet, Faces, TwoPassDetector
from .identity import IDENTITY_FEATURES, AttributeClassifierNet, IdentityNet
from .landmarks import LANDMARK_CODE, LandmarkNet, landmark_codes
from .parsing import PARSING_CLASSES, ParserNet

__all__ = [
    "IDENTITY_FEATURES",
    "LANDMARK_CODE",
    "PARSING_CLASSES",
    "AttributeClassifierNet",
    "FaceDetector",
    "FaceDetectorNet",
    "FaceParser",
    "Faces",
    "IdentityEncoder",
    "IdentityNet",
    "LandmarkEncoder",
    "LandmarkNet",
    "ParserNet",
    "TwoPassDetector",
    "build_encoder",
    "landmark_codes",
]


class IdentityEncoder(Protocol):
    """Crops [B,3,S,S] in -1..1 -> z_id [B,512], each of length 1."""

    def __call__(self, crops: Tensor) -> Tensor: ...


class LandmarkEncoder(Protocol):
    """Crops [B,3,S,S] in -1..1 -> 68 points [B,68,2] in fractions of the crop; `codes` gives z_lnd [B,102]."""

    def __call__(self, crops: Tensor) -> Tensor: ...

    def codes(self, crops: Tensor) -> Tensor: ...


class FaceParser(Protocol):
    """Crops [B,3,S,S] in -1..1 -> logits [B,19,S,S] over the CelebAMask classes."""

    def __call__(self, crops: Tensor) -> Tensor: ...


class FaceDetector(Protocol):
    """Frames uint8 [B,H,W,3] of any size -> the faces of each frame with boxes, scores and 68 landmarks."""

    def detect(self, frames: Tensor | np.ndarray) -> list[Faces]: ...


_KINDS = {net.kind: net for net in (IdentityNet, LandmarkNet, ParserNet, FaceDetectorNet, AttributeClassifierNet)}
# Kinds whose files import libraries that not everybody has: kind -> (module, class).
_LATE_KINDS = {
    "arcface-ir-se50": ("published", "ArcFaceNet"),
    "mobilenetv2-gdconv": ("published", "MobileLandmarkNet"),
    "bisenet": ("published", "BiSeNetParser"),
    "insightface-arcface": ("insightface_identity", "InsightFaceIdentity"),
}


def build_encoder(config: Mapping[str, Any]) -> nn.Module:
    """The net that a config such as {"kind": "demo-resnet", "width": 64} names, with untrained weights.

    Raises DvaError when the kind is not known or its settings do not fit it.
    """
    kind = config.get("kind") if isinstance(config, Mapping) else config
    if not isinstance(kind, str):
        raise DvaError(f'An encoder is described as {{"kind": ..., settings}}, and not with the kind {kind!r:.80}.')
    settings = {name: value for name, value in config.items() if name != "kind"}
    if kind in _LATE_KINDS:
        module, name = _LATE_KINDS[kind]
        net = getattr(import_module(f".{module}", __package__), name)
    elif kind in _KINDS:
        net = _KINDS[kind]
    else:
        raise DvaError(f"Unknown encoder kind {kind!r}: this version knows {', '.join(sorted(_KINDS | _LATE_KINDS))}.")
    try:
        return net(**settings)
    except TypeError as mismatch:
        raise DvaError(f"The settings of the encoder {kind!r} do not fit it: {mismatch}.") from mismatch
