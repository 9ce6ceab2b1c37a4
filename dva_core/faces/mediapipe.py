"""Faces that ComfyUI's own face landmarker has found, in the form that this engine's detector gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import DvaError
from .detection import FaceDetection

MESH_POINTS = 478
# The mesh's vertex at each of the 68 iBUG points. The outline runs from beside the eye around the chin to beside the
# other eye in even steps; of the lips' many vertices those are taken that lie as iBUG's do.
MESH_TO_IBUG = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # outline
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips, outside
    78, 82, 13, 312, 308, 317, 14, 87,  # lips, inside
])  # fmt: skip


def detections_from_mediapipe(frames: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[FaceDetection]]:
    """The faces of each frame, from the "frames" of what a FACE_LANDMARKS socket carries.

    frames: for each frame its faces, with "landmarks_xy" [478,2] (x,y) in pixels and "score" 0..1, as arrays or tensors
    on any device. The mesh (Kartynnik et al. 2019) is cut out of the frame such that whole numbers are the centres of
    pixels, as they are here. Each box just holds the 68 points. Raises DvaError for another layout.
    """
    try:
        return [[_detection(face["landmarks_xy"], face["score"]) for face in faces] for faces in frames]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DvaError(
            "The face landmarks are not laid out as those of ComfyUI's MediaPipe face landmarker "
            f"({type(error).__name__}: {error}); connect the output of that node."
        ) from error


def _detection(mesh: Any, score: Any) -> FaceDetection:
    mesh = torch.as_tensor(mesh, dtype=torch.float64, device="cpu").numpy()
    if mesh.shape != (MESH_POINTS, 2) or not np.isfinite(mesh).all():
        raise ValueError(f"landmarks_xy must be {MESH_POINTS} finite points, not {list(mesh.shape)}")
    landmarks = mesh[MESH_TO_IBUG]
    return FaceDetection(np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)]), float(score), landmarks)
