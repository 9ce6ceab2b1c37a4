"""Who is it, by insightface's ArcFace in an ONNX file: an identity encoder that new models may name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..detectors.onnx_nets import LIBRARY_FOR, providers, readable
from ..errors import DvaError
from ..faces.alignment import face_axes
from ..faces.points import MEAN_FACE
from ..faces.warping import warp
from ..libraries import library
from ..weights import places
from ..weights.registry import WEIGHTS
from .identity import IDENTITY_FEATURES

_ARCFACE_SIZE = 112


class InsightFaceIdentity(nn.Module):
    """Crops -> who is in them: ArcFace (Deng et al. 2019) as onnxruntime computes it, so without gradients.

    `file`: a path, or the name of a file of one of insightface's packs, looked for where those lie. It is opened at
    the first call, on the device of the crops, and is no part of the state that a bundle holds.
    """

    kind = "insightface-arcface"

    def __init__(self, file: str = "w600k_r50.onnx") -> None:
        super().__init__()
        self.config = {"kind": self.kind, "file": file}
        self._net: Any = None

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B,3,S,S] in -1..1, RGB, any S, faces aligned as in FFHQ -> features float32 [B,512] of length 1.

        Raises DvaError when the file is missing, damaged or no ArcFace net, or insightface is not installed.
        """
        if self._net is None:
            self._net = _open(_find(self.config["file"]), crops.device)
        pictures = (arcface_pictures(crops.detach().float().cpu()) + 1) * 127.5
        features = torch.from_numpy(self._net.forward(pictures.numpy()))
        return F.normalize(features.float(), dim=1).to(crops.device)


def arcface_pictures(crops: Tensor) -> Tensor:
    """Faces aligned as in FFHQ [B,3,S,S] -> the same as ArcFace learned to see them, [B,3,112,112]; on the CPU.

    One similarity for all crops: they are aligned already.
    """
    size = crops.shape[-1]
    to_crop = np.diag([size, size, 1.0]) @ _arcface_to_fractions()
    step = math.hypot(to_crop[0, 0], to_crop[1, 0])
    channels = rearrange(crops, "b c h w -> (b c) h w")
    pictures = warp(channels, to_crop, _ARCFACE_SIZE, _ARCFACE_SIZE, samples=max(1, math.ceil(step)), padding="border")
    return rearrange(pictures, "(b c) h w -> b c h w", c=3)


def _arcface_to_fractions() -> np.ndarray:
    """The similarity [3,3] from positions in ArcFace's picture to fractions of a crop, both from their edges.

    Least squares over eyes and corners of the mouth (Umeyama 1991): where a mean face has them in an FFHQ crop, and
    where insightface's template has them. Its fifth point, the nose, is left out: crops are aligned by the other four,
    and the noses of the mean face, which is rendered, are longer.
    """
    template = library("insightface.utils.face_align", LIBRARY_FOR).arcface_dst[[0, 1, 3, 4]] + 0.5
    eyes = [MEAN_FACE[36:42].mean(axis=0), MEAN_FACE[42:48].mean(axis=0)]
    (centre,), (across,), _ = face_axes(MEAN_FACE[None])
    # The crop's sides are 2 |across| long, and a face that looks straight ahead has its own upright.
    points = (np.stack([*eyes, *MEAN_FACE[[48, 54]]]) - centre) / (2 * across[0]) + 0.5
    (x, y), one, zero = template.T.astype(np.float64), np.ones(4), np.zeros(4)
    # u = a x - b y + c and v = b x + a y + d
    rows = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
    a, b, c, d = np.linalg.lstsq(rows, np.concatenate(points.T), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d], [0.0, 0.0, 1.0]])


def _find(file: str) -> Path:
    """Where the file lies; DvaError saying how to get it when it is not there."""
    # A bare name never means what happens to lie in the working folder.
    pack = next((known for known in WEIGHTS if any(part.name == file for part in known.contents)), None)
    if pack is not None:
        return places.require(pack.name, needed_for="The identity encoder") / file
    if Path(file).name == file or not Path(file).is_file():
        raise DvaError(f"There is no ArcFace net {file}; name one of insightface's .onnx files, or the path of one.")
    return Path(file)


def _open(path: Path, device: torch.device) -> Any:
    zoo = library("insightface.model_zoo", LIBRARY_FOR)
    with readable(path):
        net = zoo.get_model(str(path), providers=providers(device))
    if getattr(net, "taskname", None) != "recognition" or net.output_shape[-1] != IDENTITY_FEATURES:
        raise DvaError(f"{path} is no ArcFace net with {IDENTITY_FEATURES} features; give one such as w600k_r50.onnx.")
    return net
