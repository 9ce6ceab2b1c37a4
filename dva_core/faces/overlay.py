"""The followed faces drawn into their frames, to see who is who."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import DvaError
from ..values import FaceTrack

CHOSEN, OTHER, EDGE = (255, 170, 0), (90, 200, 255), (0, 0, 0)
# Shares of the frame's shorter side.
LINE_WIDTH, TEXT_HEIGHT = 1 / 240, 1 / 14


def draw_tracks(frames: np.ndarray, tracks: Sequence[FaceTrack], chosen: int) -> np.ndarray:
    """A copy of frames uint8 [T,H,W,3] with the square and the number, from 1, of every face.

    The one with the index `chosen` (from 0) has another colour, and dots on its landmarks. Raises DvaError when a
    track has another number of frames.
    """
    for number, track in enumerate(tracks, start=1):
        if len(track.valid) != len(frames):
            raise DvaError(
                f"The track of face {number} has {len(track.valid)} frames, but {len(frames)} were given to draw "
                "into; give the frames that the faces were found in."
            )
    side = min(frames.shape[1:3])
    line = max(1, round(side * LINE_WIDTH))
    font = ImageFont.load_default(max(6, round(side * TEXT_HEIGHT)))
    # The chosen one comes last, so that nobody covers it.
    order = sorted(range(len(tracks)), key=lambda index: index == chosen)
    drawn = np.empty_like(frames)
    for t, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        draw = ImageDraw.Draw(picture)
        for index in order:
            if tracks[index].valid[t]:
                _draw_face(draw, tracks[index], t, str(index + 1), font, line, index == chosen)
        drawn[t] = picture
    return drawn


def draw_points(frames: np.ndarray, positions: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """A copy of frames uint8 [T,H,W,3] with points [T,N,2] in them: filled where `visible` [T,N], else hollow."""
    radius = max(2, round(3 * min(frames.shape[1:3]) * LINE_WIDTH))
    drawn = np.empty_like(frames)
    for t, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        draw = ImageDraw.Draw(picture)
        for (x, y), seen in zip(positions[t], visible[t], strict=True):
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, CHOSEN if seen else None, EDGE if seen else OTHER)
        drawn[t] = picture
    return drawn


def _draw_face(
    draw: ImageDraw.ImageDraw, track: FaceTrack, t: int, number: str, font: ImageFont.FreeTypeFont, line: int,
    is_chosen: bool,
) -> None:  # fmt: skip
    colour = CHOSEN if is_chosen else OTHER
    corners = [tuple(corner) for corner in track.quads[t]]
    draw.line([*corners, *corners[:2]], colour, line, joint="curve")
    if is_chosen:
        for x, y in track.landmarks[t]:
            draw.ellipse((x - line, y - line, x + line, y + line), colour)
    # The number stands in the square's topmost corner, and in the frame even where that corner does not.
    left, top, right, bottom = draw.textbbox((0, 0), number, font, stroke_width=line)
    x, y = min(track.quads[t], key=lambda corner: corner[1]) + 2 * line
    x = min(max(x, 0), max(track.width - (right - left), 0)) - left
    y = min(max(y, 0), max(track.height - (bottom - top), 0)) - top
    draw.text((x, y), number, colour, font, stroke_width=line, stroke_fill=EDGE)
