"""Following a face without a detector."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io

from ..dva_core.errors import DvaError
from . import _host
from ._images import byte_frames, checked, from_bytes, spread

PREVIEWED = 8
LEAST_POINTS = 4
# Eyes and mouth corners on the first frame of the demo clip.
DEMO_POINTS = "0.462, 0.545\n0.551, 0.535\n0.477, 0.684\n0.545, 0.679"


class TrackFaceByPoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_TrackFaceByPoints",
            display_name="Track Face by Points (Lucas-Kanade)",
            category="DVA",
            description="Follows a face without any detector: say where its eyes and mouth corners are on the first "
            "frame. Works on any footage, on drawings and on animals.",
            search_aliases=["optical flow", "point tracker", "manual tracking", "lucas kanade"],
            inputs=[
                io.Image.Input("images", tooltip="The frames of the clip, any size."),
                io.String.Input(
                    "points",
                    default=DEMO_POINTS,
                    multiline=True,
                    tooltip="One point a line, 'x, y' as shares of width and height (0..1) or in pixels. In this "
                    "order, as seen in the picture: left eye, right eye, left mouth corner, right mouth corner. More "
                    "points on the face (nose, brows, moles) make it steadier.",
                ),
            ],
            outputs=[
                io.Custom("TRACKS").Output("points", tooltip="The points in every frame, for Align Faces."),
                io.Image.Output("overlay", tooltip=f"Up to {PREVIEWED} frames with the points; lost ones are hollow."),
            ],
        )

    @classmethod
    def execute(cls, images, points) -> io.NodeOutput:
        from ..dva_core.faces.overlay import draw_points
        from ..dva_core.faces.points import follow_points

        images = checked(images)
        height, width = images.shape[1:3]
        options = _host.watched(frames=len(images))
        tracks = follow_points(byte_frames(images), _parsed_points(points, height, width), **options)
        value = {
            "track_path": torch.from_numpy(tracks.positions).float(),
            "track_visibility": torch.from_numpy(tracks.visible),
        }
        shown = spread(len(images), PREVIEWED)
        frames = np.stack([*byte_frames(images[shown])])
        marked = from_bytes(draw_points(frames, tracks.positions[shown], tracks.visible[shown]))
        return io.NodeOutput(value, _host.on_output_device(marked))


def _parsed_points(text: str, height: int, width: int) -> np.ndarray:
    """Lines of 'x, y' -> pixels [N,2]; numbers up to 1 are shares of the picture."""
    try:
        points = np.array([[float(word) for word in line.split(",")] for line in text.strip().splitlines()])
        points = points.reshape(-1, 2)
    except ValueError as error:
        raise DvaError("'points' must be lines of two numbers such as '0.42, 0.45', one line a point.") from error
    if len(points) < LEAST_POINTS:
        raise DvaError(
            f"'points' has {len(points)} lines, and needs at least four: both eyes, then both mouth corners."
        )
    return points * [width, height] - 0.5 if points.max() <= 1 else points
