"""Faces by insightface's packs of ONNX nets: an SCRFD detector (Guo et al. 2021) and a net of 68 or 106 landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..encoders import FaceDetector, Faces
from ..errors import DvaError
from ..libraries import library
from .conversion import faces_from_points, points_68_from_106
from .onnx_nets import LIBRARY_FOR, providers, readable

DETECTION_SIZE = 640  # frames are looked at with their longest side at this many pixels
LEAST_SCORE = 0.5
DETECTION, LANDMARKS_68, LANDMARKS_106 = "detection", "landmark_3d_68", "landmark_2d_106"
_LANDMARK_NETS = {3309: LANDMARKS_68, 212: LANDMARKS_106}  # by how many numbers they give
_LANDMARK_SIDE = 192


@dataclass(frozen=True)
class InsightFaceDetector:
    """A pack that insightface has opened (its `FaceAnalysis`), the name of its landmarks, and its files."""

    analysis: Any
    landmarks: str
    files: tuple[Path, ...]

    def detect(self, frames: Tensor | np.ndarray) -> list[Faces]:
        """Frames uint8 [B,H,W,3] RGB, any size -> the faces of each frame.

        The positions are the library's own; to it, too, whole numbers are the centres of pixels.
        """
        return [self._faces(frame) for frame in torch.as_tensor(frames).cpu().numpy()]

    def _faces(self, frame: np.ndarray) -> Faces:
        bgr = np.ascontiguousarray(frame[..., ::-1])
        found = self.analysis.get(bgr)
        if not found:
            # A face that fills the frame is larger than any the detector knows: look again from twice as far.
            height, width = frame.shape[:2]
            found = self.analysis.get(np.pad(bgr, ((0, height), (0, width), (0, 0))))
        points = np.array([self._points(face) for face in found]).reshape(-1, 68, 2)
        return faces_from_points(points, np.array([face["det_score"] for face in found]))

    def _points(self, face: Mapping[str, np.ndarray]) -> np.ndarray:
        points = face[self.landmarks][:, :2]
        return points_68_from_106(points[None])[0] if self.landmarks == LANDMARKS_106 else points


def load_insightface(folder: Path, device: str | torch.device = "cpu") -> FaceDetector:
    """The detector of a pack's folder, such as .../insightface/models/buffalo_l; nothing is downloaded.

    Takes the pack's 68 landmarks, or its 106 where it has no others. `device`: where onnxruntime is to compute; the
    processor when it has no support for that. Raises DvaError when the folder, its detector or its landmark net is
    missing, a file is damaged, or insightface is not installed.
    """
    folder = Path(folder).expanduser().resolve()
    tasks = _tasks(folder)
    missing = [name for name, found in (
        ("detector (det_10g.onnx in buffalo_l)", DETECTION in tasks),
        ("landmark net (1k3d68.onnx or 2d106det.onnx in buffalo_l)", tasks & {LANDMARKS_68, LANDMARKS_106}),
    ) if not found]  # fmt: skip
    if missing:
        raise DvaError(f"{folder} holds no {' and no '.join(missing)}; unpack insightface's whole pack there.")
    landmarks = LANDMARKS_68 if LANDMARKS_68 in tasks else LANDMARKS_106
    app = library("insightface.app", LIBRARY_FOR)
    with readable(folder):
        # As the name of a pack, a whole path of a folder that exists means just that to every version.
        analysis = app.FaceAnalysis(
            name=str(folder), allowed_modules=[DETECTION, landmarks], providers=providers(device)
        )
        context = -1 if torch.device(device).type == "cpu" else 0
        analysis.prepare(ctx_id=context, det_thresh=LEAST_SCORE, det_size=(DETECTION_SIZE, DETECTION_SIZE))
    return InsightFaceDetector(analysis, landmarks, tuple(sorted(folder.glob("*.onnx"))))


def _tasks(folder: Path) -> set[str | None]:
    """What the nets of a folder are for, as far as it matters here."""
    if not folder.is_dir():
        raise DvaError(f"There is no folder {folder}; unpack insightface's pack buffalo_l there, or name another one.")
    onnx = library("onnx", LIBRARY_FOR)
    tasks: set[str | None] = set()
    for file in sorted(folder.glob("*.onnx")):
        with readable(file):
            tasks.add(_task(onnx.load(str(file), load_external_data=False).graph))
    return tasks


def _task(graph: Any) -> str | None:
    """What a net is for; insightface, too, tells by its inputs and outputs."""
    if len(graph.output) >= 5:
        return DETECTION
    weights = {weight.name for weight in graph.initializer}
    pictures = next(value for value in graph.input if value.name not in weights)
    if _shape(pictures)[2:] == [_LANDMARK_SIDE, _LANDMARK_SIDE]:
        return _LANDMARK_NETS.get(_shape(graph.output[0])[-1])
    return None


def _shape(value: Any) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
