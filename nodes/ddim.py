"""To noise maps and back: everything that is neither identity nor motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..dva_core.diffusion import DEFAULT_SOLVER, DEFAULT_STEPS, SOLVERS
from . import _files, _host
from ._images import picture, to_crops, to_images
from ._types import Identity, Landmarks, Model, Noise, expect

if TYPE_CHECKING:
    from ..dva_core.values import EncodedClip

FULL, HALF = "full", "half"
DETAIL_IN_HEAD = {"automatic": None, "all": 1.0, "half": 0.5, "none": 0.0}


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
            search_aliases=["invert to noise", "encode noise", "inversion", "exact", "residual", "solver", "x_T"],
            inputs=[
                Model.Input("model", tooltip="The model whose noise estimator is used."),
                io.Image.Input("crops", tooltip="Aligned faces, from Align Faces."),
                Identity.Input("identity", tooltip="Who it is, NOT edited: from Encode Identity."),
                Landmarks.Input("landmarks", tooltip="How the face moves: from Encode Landmarks."),
                io.Int.Input(
                    "steps",
                    default=DEFAULT_STEPS,
                    min=5,
                    max=1000,
                    tooltip="Steps there, and back when decoding; the time grows with them. 10 is a good start with "
                    "residual, which loses nothing with few steps; ddim needs 20 or more, and is sharper with 100. A "
                    "few counts above 36 do not go; the error then names the nearest that do.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default=DEFAULT_SOLVER,
                    tooltip="How the steps are walked. residual: the source comes back exactly with any number of "
                    "steps, for more memory. ddim: the published way, which loses fine detail. o_belm, fixed_point: "
                    "two other ways, for comparison.",
                ),
                frames_per_batch_input(),
                io.Combo.Input(
                    "storage",
                    options=[FULL, HALF],
                    default=FULL,
                    optional=True,
                    tooltip="How precisely that is kept which residual and o_belm need beside the noise. half: about "
                    "half the memory with residual; the source comes back a little off, by less than the rounding of "
                    "8-bit pictures.",
                    advanced=True,
                ),
            ],
            outputs=[
                Noise.Output("noise", tooltip="The noise maps, with all that is needed to decode them."),
                io.Image.Output(
                    "reconstruction",
                    tooltip="The plain way back without an edit: compare with the crops. Exact solvers give these.",
                ),
                io.String.Output("report", tooltip="What it cost, what each edit of it will cost, memory and loss."),
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
    def execute(cls, model, crops, identity, landmarks, steps, solver, frames_per_batch, storage=FULL) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.pipeline import invert_clip

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready(frames_per_batch)
        identity = expect(identity, values.Identity, "identity", "output of Encode Identity").mean()
        landmarks = expect(landmarks, values.LandmarkCodes, "landmarks", "output of Encode Landmarks")
        options = {"half": storage == HALF, "batch_size": frames_per_batch, **_host.watched()}
        clip = invert_clip(model, to_crops(crops), identity, landmarks, steps, solver, **options)
        return io.NodeOutput(clip, _host.on_output_device(to_images(clip.unedited)), _report(clip))


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
            search_aliases=["decode faces", "ddim sampling", "render faces", "generate faces", "residual", "ghost"],
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
                    "colours of the wall. Without it, an edit may reach farther, and colours may flicker. Does nothing "
                    "with o_belm.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "detail_in_head",
                    options=list(DETAIL_IN_HEAD),
                    default="automatic",
                    optional=True,
                    tooltip="How much of the source's detail the head keeps. automatic: all of it where the edit "
                    "changes nothing. half, none: when an edit takes away something big, such as a hat, and leaves a "
                    "ghost. all: when the likeness matters more. Needs keep_detail, and noise of the solver residual.",
                    advanced=True,
                ),
            ],
            outputs=[io.Image.Output("crops", tooltip="The edited faces, for Paste Back.")],
        )

    @classmethod
    def execute(
        cls, model, noise, identity, keep_detail, frames_per_batch, landmarks=None, keep_background=True,
        detail_in_head="automatic",
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
        kept = {
            "keep_detail": keep_detail,
            "keep_background": keep_background,
            "detail_in_head": DETAIL_IN_HEAD[detail_in_head],
        }
        options = {"batch_size": frames_per_batch, **_host.watched(picture)}
        crops = decode_clip(model, clip, identity, **kept, **options)
        return io.NodeOutput(_host.on_output_device(to_images(crops)))


def _report(clip: EncodedClip) -> str:
    """What an inversion cost, and what it is worth, for people."""
    from ..dva_core.evaluation.reconstruction import mse, psnr

    noise, frames = clip.noise_maps, len(clip.crops)
    solver, steps = SOLVERS[noise.solver], noise.steps
    invert, decode = solver.to_invert(steps), solver.to_decode(steps)
    half = noise.stored is not None and noise.stored.element_size() < clip.crops.element_size()
    if solver.exact:
        loss = "exact" + (", but for half precision: less than the rounding of 8-bit pictures" if half else "")
        once = f"{invert} to invert"
    else:
        before, after = (clip.crops + 1) / 2, (clip.unedited + 1) / 2
        error, decibels = float(mse(before, after).mean()), float(psnr(before, after).mean())
        loss = f"MSE {error:.1e}, PSNR {decibels:.1f} dB (values from 0 to 1), before any detail is kept"
        once = f"{invert} to invert and {decode} to see what is lost"
    pictures = clip.crops.nbytes + (0 if clip.unedited is clip.crops else clip.unedited.nbytes)
    in_all = noise.bytes_per_frame * frames
    return (
        f"Solver: {noise.solver}, {steps} steps\n"
        f"Evaluations of the net a frame: {once}, then {decode} for each edit\n"
        f"Memory: {_megabytes(noise.bytes_per_frame)} a frame, {_megabytes(in_all)} for {frames} frames; "
        f"{_megabytes(in_all + pictures)} with the pictures\n"
        f"Reconstruction: {loss}"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
