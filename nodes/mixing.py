"""Parts of two clips put together: who it is, how they move, and all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..dva_core.errors import DvaError
from ._types import Identity, Landmarks, Noise, Track, expect

if TYPE_CHECKING:
    from ..dva_core.values import EncodedClip, FaceTrack

SPEED = "The motion keeps its speed; one that is too short runs back and forth, a longer one is cut."


class MixIdentities(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_MixIdentities",
            display_name="Mix Identities",
            category="DVA/identity",
            description="Somebody between two people: the way from A to B is walked evenly, and the ends are A and B "
            "themselves. For more than two, or the same person in several clips, use Average Identities.",
            search_aliases=["interpolate identities", "face morph", "slerp", "blend two faces", "face swap"],
            inputs=[
                Identity.Input("identity_a", tooltip="One person, from Encode Identity or an edit."),
                Identity.Input("identity_b", tooltip="The other person; both must come from one model."),
                io.Float.Input(
                    "amount",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of B: 0 is A, 1 is B, 0.5 is halfway.",
                ),
            ],
            outputs=[Identity.Output("identity", tooltip="One identity, for DDIM Decode or an edit.")],
        )

    @classmethod
    def execute(cls, identity_a, identity_b, amount) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.editing.mixing import interpolate_identities

        a = expect(identity_a, values.Identity, "identity_a", "output of Encode Identity")
        b = expect(identity_b, values.Identity, "identity_b", "output of Encode Identity")
        return io.NodeOutput(interpolate_identities(a, b, amount))


class TransferMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_TransferMotion",
            display_name="Transfer Motion",
            category="DVA/edit",
            description="Makes the person of one clip turn, look and speak as somebody in another clip does. Where the "
            "head is in the frame, and how it is tilted, stays.",
            search_aliases=["face reenactment", "drive face", "motion transfer", "expression transfer", "retarget"],
            inputs=[
                Noise.Input("noise", tooltip="Who is to move: the clip's inversion, from DDIM Invert or Load Noise."),
                Track.Input("track", tooltip="That clip's track, from Align Faces."),
                Landmarks.Input("driver_landmarks", tooltip="The motion: Encode Landmarks of the other clip."),
                Track.Input("driver_track", tooltip="The other clip's track, from Align Faces."),
                _rate("fps", "Frames per second of the clip that is to move."),
                _rate("driver_fps", f"Frames per second of the other clip. {SPEED}"),
                io.Boolean.Input(
                    "keep_proportions",
                    default=True,
                    label_on="yes",
                    label_off="no",
                    tooltip="yes: the moving face keeps most of its own proportions. no: it takes those of the other "
                    "face too, as published; right where the other person's identity is decoded.",
                ),
            ],
            outputs=[Noise.Output("noise", tooltip="The same clip with the other motion, for DDIM Decode.")],
        )

    @classmethod
    def execute(
        cls, noise, track, driver_landmarks, driver_track, fps, driver_fps, keep_proportions
    ) -> io.NodeOutput:  # fmt: skip
        from ..dva_core import values
        from ..dva_core.editing.transfer import motion_in_step, with_motion

        codes = expect(driver_landmarks, values.LandmarkCodes, "driver_landmarks", "output of Encode Landmarks")
        driver = expect(driver_track, values.FaceTrack, "driver_track", "output of Align Faces")
        clip, onto = _clip_and_track(noise, "noise", track, "track")
        motion = motion_in_step(codes, driver.valid, driver_fps, onto.valid, fps)
        return io.NodeOutput(with_motion(clip, motion, relative=keep_proportions))


class SwapBackground(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_SwapBackground",
            display_name="Swap Background",
            category="DVA/edit",
            description="Puts a person, and how they move, into another clip: its surroundings, its light, and the "
            "place where its person was. Only that other clip has to be inverted.",
            search_aliases=["replace background", "transfer background", "put into scene", "face swap"],
            inputs=[
                Identity.Input("identity", tooltip="Who is to be seen, from Encode Identity or an edit."),
                Landmarks.Input("landmarks", tooltip="How they move, from Encode Landmarks."),
                Track.Input("track", tooltip="The track of their clip, from Align Faces."),
                Noise.Input("background", tooltip="Where: the inversion of the other clip, from DDIM Invert."),
                Track.Input("background_track", tooltip="The track of the other clip, from Align Faces."),
                _rate("fps", "Frames per second of the person's clip."),
                _rate("background_fps", f"Frames per second of the other clip, and of the result. {SPEED}"),
            ],
            outputs=[
                Noise.Output(
                    "noise", tooltip="For DDIM Decode with that identity, then Paste Back into the other clip."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, identity, landmarks, track, background, background_track, fps, background_fps
    ) -> io.NodeOutput:  # fmt: skip
        from ..dva_core import values
        from ..dva_core.editing.transfer import motion_in_step, with_person

        person = expect(identity, values.Identity, "identity", "output of Encode Identity").mean()
        codes = expect(landmarks, values.LandmarkCodes, "landmarks", "output of Encode Landmarks")
        track = expect(track, values.FaceTrack, "track", "output of Align Faces")
        clip, onto = _clip_and_track(background, "background", background_track, "background_track")
        motion = motion_in_step(codes, track.valid, fps, onto.valid, background_fps)
        # Their own proportions come with their motion, and fit, since it is they who are seen.
        return io.NodeOutput(with_person(clip, person, motion))


def _rate(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=25.0, min=0.01, max=1000.0, step=0.01, tooltip=tooltip)


def _clip_and_track(clip: Any, clip_name: str, track: Any, track_name: str) -> tuple[EncodedClip, FaceTrack]:
    """Both as what they must be; DvaError when they are of different clips."""
    from ..dva_core import values

    clip = expect(clip, values.EncodedClip, clip_name, "output of DDIM Invert")
    track = expect(track, values.FaceTrack, track_name, "output of Align Faces")
    if track.valid.sum() != len(clip.crops):
        raise DvaError(
            f"'{track_name}' has {int(track.valid.sum())} frames with a face, and '{clip_name}' was made from "
            f"{len(clip.crops)} crops; connect the track of the clip that was inverted."
        )
    return clip, track
