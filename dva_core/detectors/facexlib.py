"""Faces by facexlib's nets: RetinaFace (Deng et al. 2020) for boxes, a FAN with adaptive wing loss for landmarks.

The landmark net is that of Wang et al. 2019, of which facexlib's own read-out no longer runs on today's NumPy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..encoders import FaceDetector, Faces
from ..errors import DvaError
from ..faces.alignment import crop_faces
from ..libraries import library
from ..weights.checkpoint import read_state_dict
from ..weights.misfits import first_misfit
from .conversion import faces_from_points, points_68_from_98

DETECTION_SIZE = 640  # larger frames are looked at with their longest side at this many pixels
LEAST_SCORE, MOST_OVERLAP, MOST_BOXES = 0.5, 0.4, 500
CROP_SIZE, LANDMARKS, HOURGLASSES = 256, 98, 4
FACES_AT_ONCE = 8  # more would cost gigabytes where there is a crowd
# The side of the square that the landmark net looks at, over the mean side of the box around the landmarks: as in its
# training (0.8 of 0.8 (width + height), the box enlarged by a twentieth).
SQUARE_PER_BOX = 0.8 * 1.6 * 1.05
_LIBRARY_FOR = "facexlib's detectors"
_PARALLEL = "module."  # what training on several GPUs puts before every name
_BACKBONES = {"body.conv1.weight": "resnet50", "body.stage1.0.0.weight": "mobile0.25"}  # by a name only it has


@dataclass(frozen=True)
class FacexlibDetector:
    """The two nets, both on one device, and the files that their weights are from."""

    retinaface: nn.Module
    fan: nn.Module
    files: tuple[Path, ...]

    @torch.no_grad()
    def detect(self, frames: Tensor | np.ndarray) -> list[Faces]:
        """Frames uint8 [B,H,W,3] RGB, any size -> the faces of each frame.

        Landmarks are looked for in a square about each box, and again in the square about those found.
        """
        frames = torch.as_tensor(frames).cpu()
        found = _boxes(self.retinaface, frames)
        return [self._faces(frame.numpy(), *kept) for frame, kept in zip(frames, found, strict=True)]

    def _faces(self, frame: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Faces:
        points = np.zeros((0, LANDMARKS, 2))
        for _ in range(2 if len(boxes) else 0):
            points = _points(self.fan, frame, boxes)
            boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
        return faces_from_points(points_68_from_98(points), scores)


def load_facexlib(detector: Path, alignment: Path, device: str | torch.device = "cpu") -> FaceDetector:
    """The detector of two local files of facexlib's; nothing is downloaded.

    detector: detection_Resnet50_Final.pth or detection_mobilenet0.25_Final.pth; alignment: alignment_WFLW_4HG.pth.
    Raises DvaError when a file is missing, damaged or of another net, or facexlib is not installed.
    """
    device = torch.device(device)
    weights = read_state_dict(detector, strip=_PARALLEL)
    backbone = next((name for key, name in _BACKBONES.items() if key in weights), None)
    if backbone is None:
        raise _of_another_net(detector, "RetinaFace", "detection_Resnet50_Final.pth", "no backbone that is known")
    networks = library("facexlib.detection.retinaface", _LIBRARY_FOR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks torchvision for a bare ResNet with words of old
        retinaface = networks.RetinaFace(network_name=backbone, device=device)
    _fill(retinaface, weights, detector, "RetinaFace", "detection_Resnet50_Final.pth")

    with torch.device("meta"):  # 50 million weights that are replaced at once need not be drawn by chance
        fan = library("facexlib.alignment.awing_arch", _LIBRARY_FOR).FAN(HOURGLASSES, num_landmarks=LANDMARKS)
    _fill(fan, read_state_dict(alignment, strip=_PARALLEL), alignment, "FAN", "alignment_WFLW_4HG.pth")
    return FacexlibDetector(retinaface.to(device), fan.to(device), (Path(detector), Path(alignment)))


def _boxes(net: nn.Module, frames: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames uint8 [B,H,W,3] -> for each its boxes f64 [K,4] in pixels and scores [K]."""
    utils = library("facexlib.detection.retinaface_utils", _LIBRARY_FOR)
    height, width = frames.shape[1:3]
    pictures = torch.cat([_seen(frame, net.mean_tensor.device) for frame in frames])
    offsets, scores, _ = net(pictures - net.mean_tensor)
    anchors = utils.PriorBox(net.cfg, image_size=pictures.shape[2:]).forward().to(offsets.device)
    fractions = utils.batched_decode(offsets, anchors[None], net.cfg["variance"])
    # Fractions count from the frame's edge; half a pixel less makes the top-left pixel's centre the origin.
    boxes = fractions.double().cpu() * torch.tensor([width, height, width, height]) - 0.5
    return [_distinct(box, score) for box, score in zip(boxes, scores[..., 1].double().cpu(), strict=True)]


def _seen(frame: Tensor, device: torch.device) -> Tensor:
    """A frame uint8 [H,W,3] RGB as the detector looks at it, f32 [1,3,h,w] BGR, shrunk if it is large.

    One at a time: as floating-point numbers, a batch of large frames would cost gigabytes.
    """
    picture = rearrange(frame.to(device).flip(-1), "h w bgr -> 1 bgr h w").float()
    scale = DETECTION_SIZE / max(picture.shape[2:])
    if scale >= 1:
        return picture
    inner = [max(1, round(side * scale)) for side in picture.shape[2:]]
    return F.interpolate(picture, size=inner, mode="bilinear", antialias=True, align_corners=False)


def _distinct(boxes: Tensor, scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The boxes with a score high enough, best first, without those that overlap a better one."""
    order = scores.argsort(descending=True)[:MOST_BOXES]
    order = order[scores[order] > LEAST_SCORE]
    boxes, scores = boxes[order], scores[order]
    low, high = torch.maximum(boxes[:, None, :2], boxes[:, :2]), torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    inner, area = (high - low).clamp(min=0).prod(-1), (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    overlap = inner / (area[:, None] + area - inner)
    kept: list[int] = []
    for i in range(len(boxes)):
        if (overlap[i, kept] < MOST_OVERLAP).all():
            kept.append(i)
    return boxes[kept].numpy(), scores[kept].numpy()


def _points(net: nn.Module, frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Landmarks f64 [K,98,2] of a frame, looked for in the squares about boxes [K,4]."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).mean(axis=1) * SQUARE_PER_BOX
    sides = sides.clip(min=1)  # in what is no face, all landmarks may be seen in one place
    starts = (centres - sides[:, None] / 2)[:, None]
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    crops = crop_faces([frame] * len(boxes), starts + corners * sides[:, None, None], CROP_SIZE)
    fractions = torch.cat([_look(net, part) for part in crops.split(FACES_AT_ONCE)]).double().cpu().numpy()
    return starts + fractions * sides[:, None, None]


def _look(net: nn.Module, crops: Tensor) -> Tensor:
    """Crops [K,3,256,256] in -1..1 -> landmarks [K,98,2] in fractions of them."""
    maps, _ = net((crops.to(next(net.parameters()).device) + 1) / 2)
    # Of the last hourglass's maps, the last one shows the outlines that the landmarks lie on.
    return _peaks(maps[-1][:, :LANDMARKS])


def _peaks(maps: Tensor) -> Tensor:
    """Maps [K,N,h,w] -> where each is highest, [K,N,2] (x,y) in fractions of the map.

    Between cells, the peak is that of the Gaussian through the highest cell and its two neighbours (Zhang et al. 2020):
    read at cells only, landmarks of a large face would jump by several pixels from frame to frame.
    """
    height, width = maps.shape[-2:]
    logs = rearrange(maps.float().clamp(min=1e-6).log(), "k n y x -> k n (y x)")
    best = logs.argmax(dim=-1)
    row, column = best // width, best % width

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
        return logs.gather(-1, index[..., None])[..., 0]

    x = column + _vertex(at(row, column - 1), at(row, column), at(row, column + 1))
    y = row + _vertex(at(row - 1, column), at(row, column), at(row + 1, column))
    return torch.stack([(x + 0.5) / width, (y + 0.5) / height], dim=-1)


def _vertex(before: Tensor, middle: Tensor, after: Tensor) -> Tensor:
    """Where the parabola through heights at -1, 0, 1 has its top, the middle one being highest: -0.5..0.5."""
    bend = (2 * middle - before - after).clamp(min=1e-6)
    return ((after - before) / (2 * bend)).clamp(-0.5, 0.5)


def _fill(net: nn.Module, weights: dict[str, Tensor], path: Path, kind: str, example: str) -> None:
    expected = net.state_dict()
    # Before PyTorch 0.4.1 norms did not count their batches, which matters only to training.
    counts = {n: torch.zeros((), dtype=torch.int64) for n in expected if n.endswith(".num_batches_tracked")}
    if misfit := first_misfit(expected, counts | weights):
        raise _of_another_net(path, kind, example, misfit)
    net.load_state_dict(counts | weights, assign=True)
    net.float().eval().requires_grad_(False)


def _of_another_net(path: Path, kind: str, example: str, misfit: str) -> DvaError:
    return DvaError(f"{path} does not hold the weights of facexlib's {kind} ({misfit}); give its {example}.")
