"""From frames to upright, steady face crops."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..dva_core.errors import DvaError
from . import _host
from ._images import byte_frames, checked, from_bytes, spread, to_images
from ._types import Detector, Model, Track, expect

if TYPE_CHECKING:
    from ..dva_core.encoders import FaceDetector

WHICH = ["largest", "by number", "nearest to point", "most like reference"]
GAPS = {"pass through": "pass", "hold": "hold", "interpolate": "interpolate", "error": "error"}
PREVIEWED = 8
# A track tells its frame rate to whoever writes a video file; here that is the host, which has the rate elsewhere.
NO_RATE = Fraction(25)


class AlignFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_AlignFaces",
            display_name="Align Faces",
            category="DVA",
            description="Follows one person, by place and by likeness, through one shot of the clip and cuts the face "
            "out of every frame: upright, centred and steady. The overlay shows everybody who was found, with numbers.",
            search_aliases=["face crop", "face detect", "face track", "face alignment", "ffhq"],
            inputs=[
                Model.Input("model", tooltip="The model; its size is that of the crops, and its detector finds faces."),
                io.Image.Input("images", tooltip="The frames of the clip, any size."),
                io.Combo.Input(
                    "which_face",
                    options=WHICH,
                    default=WHICH[0],
                    tooltip="Whom to follow: the face that fills most of the clip; the face with 'number' in the "
                    "overlay; the one nearest to 'x', 'y'; or the one most like the picture at 'reference'.",
                ),
                io.Int.Input(
                    "number",
                    default=1,
                    min=1,
                    max=99,
                    tooltip="With 'by number': the number in the overlay, counted from the left.",
                ),
                io.Combo.Input(
                    "missing_frames",
                    options=list(GAPS),
                    default="pass through",
                    tooltip="Frames where the face is not found: leave them as they are; hold the last position; "
                    "interpolate between the positions before and after; or stop with an error that lists them.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="How much the crop is steadied over time; 1 is as published (a Gaussian of 1 to 3 frames), "
                    "0 follows every jitter, above 3 rounds fast motion off.",
                ),
                io.Float.Input(
                    "x",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="With 'nearest to point': the place as a share of the width, 0 left to 1 right.",
                    advanced=True,
                ),
                io.Float.Input(
                    "y",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="With 'nearest to point': the place as a share of the height, 0 top to 1 bottom.",
                    advanced=True,
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="With 'most like reference': a picture of the person to follow.",
                ),
                io.Custom("FACE_LANDMARKS").Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="Faces found by ComfyUI's own Detect Face Landmarks (MediaPipe), used instead of any "
                    "detector, except for 'reference'. Works on real footage.",
                ),
                io.Custom("TRACKS").Input(
                    "points",
                    optional=True,
                    tooltip="Points from Track Face by Points, used instead of any detector. Works on drawings and "
                    "animals too; 'which_face' then does not matter.",
                ),
                Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="From Load Face Detector, used instead of the model's own. The published model has none of "
                    "its own: it needs this, 'face_landmarks' or 'points'.",
                ),
            ],
            outputs=[
                Track.Output("track", tooltip="Where the face is in every frame, for Paste Back."),
                io.Image.Output("crops", tooltip="The face of every frame that has one, upright and square."),
                io.Image.Output("overlay", tooltip=f"Up to {PREVIEWED} frames with all faces marked and numbered."),
                io.String.Output("report", tooltip="Who was found, and the frames without the face."),
            ],
        )

    @classmethod
    def execute(
        cls, model, images, which_face, number, missing_frames, smoothing, x, y,
        reference=None, face_landmarks=None, points=None, detector=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..dva_core.faces import alignment, choosing, cuts, gaps, overlay
        from ..dva_core.footage import track_part

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready()
        images = checked(images)
        shots_begin = cuts.find_cuts(byte_frames(images))
        faces = _tracks(model, images, detector, face_landmarks, points, smoothing, shots_begin)
        if which_face == "largest" or points is not None:
            chosen = choosing.largest(faces)
        elif which_face == "by number":
            chosen = choosing.by_number(faces, number)
        elif which_face == "nearest to point":
            chosen = choosing.nearest(faces, x, y)
        else:
            chosen = _most_alike(model, images, faces, reference, detector)
        found = faces[chosen]
        track = gaps.fill_gaps(found, GAPS[missing_frames], smoothing, shots_begin)
        crops = alignment.crop_track(byte_frames(images), track, model.config.image_size)
        shown = spread(len(images), PREVIEWED)
        parts = [track_part(face, shown) for face in faces]
        marked = from_bytes(overlay.draw_tracks(np.stack([*byte_frames(images[shown])]), parts, chosen))
        missing = gaps.frame_ranges(~found.valid)
        text = f"Face {chosen + 1} of {len(faces)}, seen in {int(found.valid.sum())} of {len(images)} frames." + (
            f" Without a face: frames {missing} ({missing_frames})." if missing else ""
        )
        outputs = _host.on_output_device(to_images(crops)), _host.on_output_device(marked)
        return io.NodeOutput(track, *outputs, text, ui=ui.PreviewText(text))


def _tracks(
    model, images, detector: Any, face_landmarks: Any, points: Any, smoothing: float, cuts: tuple[int, ...]
) -> list:
    """The track of everybody in the clip, from whichever source is connected; `cuts` are the frames of new shots."""
    from ..dva_core.faces.detection import detect_faces, with_features
    from ..dva_core.faces.tracking import follow_faces, landmarks_to_track
    from ..dva_core.footage import face_features
    from ..dva_core.progress import Watch

    size = *images.shape[1:3], NO_RATE, smoothing, cuts
    if points is not None:
        from ..dva_core.faces.points import PointTracks, landmarks_from_points

        _check_frames(points, "track_path", len(images), "points")
        positions, visible = (torch.as_tensor(points[name]).numpy() for name in ("track_path", "track_visibility"))
        tracks = PointTracks(positions.astype(np.float64), visible.astype(bool))
        return [landmarks_to_track(*landmarks_from_points(tracks, cuts), *size)]
    if face_landmarks is not None:
        from ..dva_core.faces.mediapipe import detections_from_mediapipe

        _check_frames(face_landmarks, "frames", len(images), "face_landmarks")
        found = detections_from_mediapipe(face_landmarks["frames"])
        pairs = zip(found, byte_frames(images), strict=True)
        return follow_faces([with_features(faces, frame, face_features(model)) for faces, frame in pairs], *size)
    watch = Watch("find face", len(images), **_host.watched())
    finder = _finder(model, detector)
    return follow_faces(detect_faces(finder, byte_frames(images), watch=watch, embed=face_features(model)), *size)


def _finder(model, detector: Any) -> FaceDetector:
    """The detector that is connected, or else the model's own."""
    if detector is None:
        return model.detector
    if not hasattr(detector, "detect"):
        raise DvaError(
            f"The input 'detector' got a {type(detector).__name__}; connect the output of Load Face Detector."
        )
    return detector


def _check_frames(value: Any, key: str, frames: int, name: str) -> None:
    if not isinstance(value, dict) or key not in value or len(value[key]) != frames:
        found = len(value[key]) if isinstance(value, dict) and key in value else "none"
        raise DvaError(f"The input '{name}' must come from the same {frames} images, but tells of {found}.")


def _most_alike(model, images, faces: list, reference, detector: Any) -> int:
    """Who looks most like the largest face of the reference picture."""
    from ..dva_core.faces import alignment, choosing
    from ..dva_core.faces.detection import detect_faces
    from ..dva_core.faces.tracking import track_face

    if reference is None:
        raise DvaError("'most like reference' needs a picture; connect one to 'reference' or choose another way.")
    reference = checked(reference, "reference")
    size = *reference.shape[1:3], NO_RATE
    found = track_face(detect_faces(_finder(model, detector), byte_frames(reference)), *size)

    def features(pictures, track) -> torch.Tensor:
        rows = np.flatnonzero(track.valid)[spread(int(track.valid.sum()), PREVIEWED)].tolist()
        crops = alignment.crop_faces(byte_frames(pictures[rows]), track.quads[rows], model.config.image_size)
        return model.encode_identity(crops).features

    return choosing.most_alike([features(images, face) for face in faces], features(reference, found))
