"""To noise maps and back: everything that is neither identity nor motion."""

from __future__ import annotations

from comfy_api.latest import io

from . import _files, _host
from ._images import picture, to_crops, to_images
from ._types import Identity, Landmarks, Model, Noise, expect

SOLVERS = ["ddim"]


def frames_per_batch_input() -> io.Int.Input:
    return io.Int.Input(
        "frames_per_batch",
        default=8,
        min=1,
        max=256,
        tooltip="Frames computed at once. More is faster where memory allows; it halves itself when memory runs out. "
        "The result does not depend on it.",
        advanced=True,
    )


class Invert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_Invert",
            display_name="DDIM Invert",
            category="DVA/noise",
            description="Finds the noise maps from which the crops can be made again: background, light, hair strands, "
            "everything that identity and landmarks do not say. The slow part, needed once per clip.",
            search_aliases=["invert to noise", "encode noise", "inversion", "x_T"],
            inputs=[
                Model.Input("model", tooltip="The model whose noise estimator is used."),
                io.Image.Input("crops", tooltip="Aligned faces, from Align Faces."),
                Identity.Input("identity", tooltip="Who it is, NOT edited: from Encode Identity."),
                Landmarks.Input("landmarks", tooltip="How the face moves: from Encode Landmarks."),
                io.Int.Input(
                    "steps",
                    default=20,
                    min=5,
                    max=1000,
                    tooltip="Steps there, and back when decoding. 20 is a good start; 100 is sharper and five times "
                    "as slow. A few counts above 36 do not go; the error then names the nearest that do.",
                ),
                io.Combo.Input(
                    "solver",
                    options=SOLVERS,
                    default="ddim",
                    tooltip="How the steps are walked; ddim is the published way.",
                ),
                frames_per_batch_input(),
            ],
            outputs=[
                Noise.Output("noise", tooltip="The noise maps, with all that is needed to decode them."),
                io.Image.Output(
                    "reconstruction", tooltip="The plain way back without an edit: compare with the crops."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps: int) -> bool | str:
        from ..dva_core.diffusion import spaced_timesteps
        from ..dva_core.errors import DvaError

        try:
            spaced_timesteps(int(steps))
        except DvaError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, model, crops, identity, landmarks, steps, solver, frames_per_batch) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.pipeline import invert_clip

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready(frames_per_batch)
        identity = expect(identity, values.Identity, "identity", "output of Encode Identity").mean()
        landmarks = expect(landmarks, values.LandmarkCodes, "landmarks", "output of Encode Landmarks")
        options = {"batch_size": frames_per_batch, **_host.watched()}
        clip = invert_clip(model, to_crops(crops), identity, landmarks, steps, **options)
        return io.NodeOutput(clip, _host.on_output_device(to_images(clip.unedited)))


class SaveNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_SaveNoise",
            display_name="Save Noise",
            category="DVA/noise",
            description="Writes an inversion into ComfyUI's output folder, subfolder dva, so that many edits can be "
            "tried tomorrow without inverting again.",
            search_aliases=["save inversion", "export noise"],
            is_output_node=True,
            inputs=[
                Noise.Input("noise", tooltip="The output of DDIM Invert."),
                io.String.Input(
                    "filename_prefix",
                    default="noise",
                    tooltip="Start of the file name; a number is added, nothing is overwritten.",
                ),
            ],
            outputs=[
                Noise.Output("noise", tooltip="The same noise maps."),
                io.String.Output("path", tooltip="The file that was written."),
            ],
        )

    @classmethod
    def execute(cls, noise, filename_prefix) -> io.NodeOutput:
        from ..dva_core import values

        return _files.save(expect(noise, values.EncodedClip, "noise", "output of DDIM Invert"), filename_prefix)


class LoadNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_LoadNoise",
            display_name="Load Noise",
            category="DVA/noise",
            description="Reads an inversion that Save Noise wrote, with its identity, landmarks and crops.",
            search_aliases=["load inversion", "import noise"],
            inputs=[_files.file_input("A noise file: output/dva, or ComfyUI's input folder.")],
            outputs=[
                Noise.Output("noise", tooltip="The noise maps, for DDIM Decode."),
                Identity.Output("identity", tooltip="The clip's identity, for Edit Attribute."),
                io.Image.Output("crops", tooltip="The source crops."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        return _files.check_file(file)

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return _files.stamp(file)

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        from ..dva_core import values

        clip = values.EncodedClip.load(_files.path_of(file))
        return io.NodeOutput(clip, clip.identity.mean(), _host.on_output_device(to_images(clip.crops)))


class Decode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_Decode",
            display_name="DDIM Decode",
            category="DVA/noise",
            description="Makes the faces again with another identity. With the unedited identity, and detail kept, "
            "the source crops come back.",
            search_aliases=["decode faces", "ddim sampling", "render faces", "generate faces"],
            inputs=[
                Model.Input("model", tooltip="The model that made the noise maps."),
                Noise.Input("noise", tooltip="The output of DDIM Invert or Load Noise."),
                Identity.Input("identity", tooltip="Who to show: an edited identity, or another person's."),
                io.Boolean.Input(
                    "keep_detail",
                    default=True,
                    label_on="yes",
                    label_off="no",
                    tooltip="Puts the source's fine detail back wherever the edit changes nothing. Switch it off to "
                    "see what the model alone makes.",
                ),
                Landmarks.Input(
                    "landmarks",
                    optional=True,
                    tooltip="Another motion, a row for each crop; the clip's own when nothing is connected.",
                ),
                frames_per_batch_input(),
                io.Boolean.Input(
                    "keep_background",
                    default=True,
                    optional=True,
                    label_on="yes",
                    label_off="no",
                    tooltip="Holds what is around the head while the faces are made, so that an edit cannot change the "
                    "colours of the wall. Without it, an edit may reach farther, and colours may flicker.",
                    advanced=True,
                ),
            ],
            outputs=[io.Image.Output("crops", tooltip="The edited faces, for Paste Back.")],
        )

    @classmethod
    def execute(
        cls, model, noise, identity, keep_detail, frames_per_batch, landmarks=None, keep_background=True
    ) -> io.NodeOutput:  # fmt: skip
        from ..dva_core import values
        from ..dva_core.editing.transfer import with_motion
        from ..dva_core.pipeline import decode_clip

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready(frames_per_batch)
        clip = expect(noise, values.EncodedClip, "noise", "output of DDIM Invert")
        identity = expect(identity, values.Identity, "identity", "output of Encode Identity or Edit Attribute")
        if landmarks is not None:
            codes = expect(landmarks, values.LandmarkCodes, "landmarks", "output of Encode Landmarks")
            clip = with_motion(clip, codes, relative=False)
        kept = {"keep_detail": keep_detail, "keep_background": keep_background}
        options = {"batch_size": frames_per_batch, **_host.watched(picture)}
        crops = decode_clip(model, clip, identity, **kept, **options)
        return io.NodeOutput(_host.on_output_device(to_images(crops)))
