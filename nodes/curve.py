"""Edits whose strength changes over the clip."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..dva_core.errors import DvaError
from ._types import Strengths, Track, expect

GROWING_IN = "0:0, 24:1"
INTERPOLATIONS = ["smooth", "linear"]


def strengths_input() -> io.Input:
    return Strengths.Input(
        "strengths",
        optional=True,
        tooltip="From Edit Curve: multiplies 'strength' frame by frame, so that the edit grows in or comes and goes.",
    )


class EditCurve(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_EditCurve",
            display_name="Edit Curve",
            category="DVA/edit",
            description="Says how strong an edit is in each frame, so that a beard grows in during the shot. One "
            "identity is edited, once for each strength: nothing flickers.",
            search_aliases=["keyframes", "schedule", "animate strength", "fade in", "over time"],
            inputs=[
                Track.Input(
                    "track", tooltip="The clip's track, from Align Faces: how many frames, and which have a face."
                ),
                io.String.Input(
                    "key_frames",
                    default=GROWING_IN,
                    tooltip="FRAME:SHARE, separated by commas; frames are counted from 0. '0:0, 24:1' grows from "
                    "nothing in frame 0 to the whole strength of the edit in frame 24, and stays.",
                ),
                io.Combo.Input(
                    "interpolation",
                    options=INTERPOLATIONS,
                    default=INTERPOLATIONS[0],
                    tooltip="smooth: slow at both ends and where it turns, never beyond the keys. linear: straight "
                    "from key to key.",
                ),
                io.Float.Input(
                    "float_list",
                    optional=True,
                    force_input=True,
                    tooltip="A list of numbers from another pack's node, one for each frame of the video, used "
                    "instead of the key frames.",
                ),
                io.Custom("CURVE").Input(
                    "curve",
                    optional=True,
                    tooltip="From ComfyUI's own Curve Editor, used instead of the key frames: its left end is the "
                    "first frame, its right end the last; the bottom is 0, the top 1.",
                    # Or else the browser would put an editor on this node, whose curve always counts.
                    extra_dict={"forceInput": True},
                ),
            ],
            outputs=[
                Strengths.Output("strengths", tooltip="A share of the strength for each frame with a face."),
            ],
        )

    @classmethod
    def validate_inputs(cls, key_frames: str | None) -> bool | str:
        from ..dva_core.editing.timeline import read_curve

        try:
            if key_frames is not None:
                read_curve(key_frames)
        except DvaError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, track, key_frames, interpolation, float_list=None, curve=None) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.editing.timeline import read_curve, strengths_over

        track = expect(track, values.FaceTrack, "track", "output of Align Faces")
        frames = len(track.valid)
        if float_list is not None and curve is not None:
            raise DvaError("'float_list' and 'curve' are both connected; connect the one that is meant.")
        if curve is not None:
            chosen = _samples(curve, frames)
        elif float_list is not None:
            chosen = float_list
        else:
            chosen = read_curve(key_frames, interpolation)
        return io.NodeOutput(tuple(strengths_over(chosen, frames)[track.valid].tolist()))


def checked_strengths(strengths: Any) -> tuple[float, ...] | None:
    """What is connected to a `strengths_input`."""
    return None if strengths is None else expect(strengths, tuple, "strengths", "output of Edit Curve")


def _samples(curve: Any, frames: int) -> list[float]:
    """The host's CURVE, which runs from 0 to 1, at so many places."""
    if not hasattr(curve, "to_lut"):
        raise DvaError(f"The input 'curve' got a {type(curve).__name__}; connect the output of Curve Editor.")
    return list(curve.to_lut(frames))
