"""Trains the demo's landmark net, parser, detector and attribute judge from rendered pictures whose truth is known.

Every trainer takes rendered data, settings, a device and a watch, and gives back the trained net in evaluation mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders.detector import BOX_UNIT, DETECTOR_STRIDE, FaceDetectorNet
from ..encoders.identity import AttributeClassifierNet
from ..encoders.landmarks import LandmarkNet, mean_position
from ..encoders.parsing import ParserNet
from .data import DetectionSet, in_fours, spoil
from .fitting import Fitting, Watch, fit
from .rendered import FaceSet, pictures_to_crops

_QUIET = Watch()
_PIXELS = 64  # landmark errors are counted in pixels of a crop of this side


@dataclass(frozen=True)
class LandmarkTraining:
    """Heat maps are drawn towards bells of `spread` pixels of a 64-pixel crop, by `shape_weight` against the error."""

    fitting: Fitting = Fitting(steps=1100, batch_size=64)
    widths: tuple[int, ...] = (32, 64, 88)
    spread: float = 1.5
    shape_weight: float = 0.5


@dataclass(frozen=True)
class ParserTraining:
    fitting: Fitting = Fitting(steps=450, batch_size=64)
    widths: tuple[int, ...] = (32, 64, 88)


@dataclass(frozen=True)
class DetectorTraining:
    """`box_weight` of the sides' distances against the face centres; `fours` is the share of frames made of four."""

    fitting: Fitting = Fitting(steps=800, batch_size=32)
    widths: tuple[int, ...] = (24, 32, 40, 48)
    box_weight: float = 4.0
    fours: float = 0.35


@dataclass(frozen=True)
class ClassifierTraining:
    fitting: Fitting = Fitting(steps=700, batch_size=64, seed=1)
    width: int = 56


def train_landmarks(
    faces: FaceSet, config: LandmarkTraining = LandmarkTraining(), device: str = "cpu", watch: Watch = _QUIET
) -> LandmarkNet:
    """A landmark net for crops as well aligned as those of `faces`."""
    torch.manual_seed(config.fitting.seed)
    net = _placed(LandmarkNet(config.widths), device)

    def loss_of(rows: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        truth = torch.as_tensor(np.asarray(faces.landmarks[rows]), dtype=torch.float32, device=device)
        profiles = net.profiles(_spoiled(faces, rows, device, generator))
        points = torch.stack([mean_position(profile) for profile in profiles], dim=-1)
        error = F.smooth_l1_loss(points * _PIXELS, truth * _PIXELS, beta=0.1)
        shape = sum(_profile_loss(profile, truth[..., axis], config.spread) for axis, profile in enumerate(profiles))
        return {"error": error, "shape": config.shape_weight * shape}

    fit(net, loss_of, len(faces.pictures), config.fitting, "train landmarks", watch)
    return net


def train_parser(
    faces: FaceSet, config: ParserTraining = ParserTraining(), device: str = "cpu", watch: Watch = _QUIET
) -> ParserNet:
    """A parser for crops as well aligned as those of `faces`."""
    torch.manual_seed(config.fitting.seed)
    net = _placed(ParserNet(config.widths), device)

    def loss_of(rows: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        truth = torch.as_tensor(np.asarray(faces.parsing[rows]), dtype=torch.int64, device=device)
        return {"classes": F.cross_entropy(net(_spoiled(faces, rows, device, generator)), truth)}

    fit(net, loss_of, len(faces.pictures), config.fitting, "train parser", watch)
    return net


def train_attribute_classifier(
    faces: FaceSet, config: ClassifierTraining = ClassifierTraining(), device: str = "cpu", watch: Watch = _QUIET
) -> AttributeClassifierNet:
    """A judge that tells every attribute of `faces` from the picture."""
    torch.manual_seed(config.fitting.seed)
    net = _placed(AttributeClassifierNet(faces.attribute_names, config.width), device)
    truth = torch.as_tensor(np.asarray(faces.attributes), dtype=torch.float32, device=device)

    def loss_of(rows: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        person = torch.as_tensor(np.asarray(faces.person[rows]), dtype=torch.int64, device=device)
        logits = net(_spoiled(faces, rows, device, generator))
        return {"attributes": F.binary_cross_entropy_with_logits(logits, truth[person])}

    fit(net, loss_of, len(faces.pictures), config.fitting, "train attribute classifier", watch)
    return net


def train_detector(
    frames: DetectionSet, config: DetectorTraining = DetectorTraining(), device: str = "cpu", watch: Watch = _QUIET
) -> FaceDetectorNet:
    """A face detector for frames whose faces are as large as those of `frames`, down to half of that."""
    torch.manual_seed(config.fitting.seed)
    net = _placed(FaceDetectorNet(config.widths), device)

    def loss_of(rows: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        pictures = spoil(pictures_to_crops(frames.frames[rows]).to(device), generator)
        boxes = torch.as_tensor(np.asarray(frames.boxes[rows]), dtype=torch.float32, device=device)
        single = round(len(rows) * (1 - config.fours))
        mosaics, many = in_fours(pictures, boxes, generator)
        none = torch.full_like(many[:single], torch.nan)
        none[:, 0] = boxes[:single]
        return _detector_losses(
            net, torch.cat([pictures[:single], mosaics[single:]]), torch.cat([none, many[single:]]), config.box_weight
        )

    fit(net, loss_of, len(frames.frames), config.fitting, "train detector", watch)
    return net


def _placed(net: nn.Module, device: str) -> nn.Module:
    return net.to(device=device, memory_format=torch.channels_last)


def _spoiled(faces: FaceSet, rows: np.ndarray, device: str, generator: torch.Generator) -> Tensor:
    return spoil(pictures_to_crops(faces.pictures[rows]).to(device), generator)


def _profile_loss(profile: Tensor, truth: Tensor, spread: float) -> Tensor:
    """How far profiles [B,68,C] are from bells about `truth` [B,68] (fractions): the mean cross entropy.

    It moves a map whose mass is in the wrong place, which the error of its mean hardly does.
    """
    cells = profile.shape[-1]
    position = (torch.arange(cells, device=profile.device) + 0.5) / cells
    bell = (-0.5 * ((position - truth[..., None]) * _PIXELS / spread) ** 2).softmax(dim=-1)
    return -(bell * profile.clamp(min=1e-9).log()).sum(dim=-1).mean()


def _detector_losses(net: FaceDetectorNet, pictures: Tensor, boxes: Tensor, box_weight: float) -> dict[str, Tensor]:
    """The penalty-reduced focal loss of the centres (Zhou et al. 2019, Eq. 1), and the sides' absolute error.

    boxes: [B,K,4] in pixels, NaN where there is none.
    """
    logits, sides = net(pictures)
    cells = (torch.arange(logits.shape[-1], device=boxes.device) + 0.5) * DETECTOR_STRIDE - 0.5
    x, y = cells[None, None, None, :], cells[None, None, :, None]
    x0, y0, x1, y1 = boxes[..., None, None].unbind(2)
    # A tenth of the box's size wide, but never narrower than a cell.
    width = ((x1 - x0 + y1 - y0) / 20).clamp(min=DETECTOR_STRIDE * 0.75)
    bumps = torch.exp(-((x - (x0 + x1) / 2) ** 2 + (y - (y0 + y1) / 2) ** 2) / (2 * width**2)).nan_to_num(0.0)
    heat, owner = bumps.max(1)
    peak = bumps.flatten(2) == bumps.flatten(2).amax(-1, keepdim=True).clamp(min=0.1)
    centre = peak.any(1).view_as(heat)

    sure = logits.sigmoid()
    hit = -F.logsigmoid(logits) * (1 - sure) ** 2 * centre
    miss = -F.logsigmoid(-logits) * sure**2 * (1 - heat) ** 4 * ~centre
    faces = centre.sum().clamp(min=1)

    sides_of_all = torch.broadcast_tensors(x - x0, y - y0, x1 - x, y1 - y)
    distances = torch.stack(sides_of_all, dim=2) / BOX_UNIT
    own = distances.gather(1, owner[:, None, None].expand(-1, 1, 4, -1, -1))[:, 0].nan_to_num(0.0)
    weight = (heat > 0.5) * heat
    box = ((sides - own).abs().mean(1) * weight).sum() / weight.sum().clamp(min=1)
    return {"centres": (hit + miss).sum() / faces, "boxes": box_weight * box}
