"""Edits by words: CLIP is asked once what to change, and then anybody can be changed so, as much as wanted."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..dva_core.errors import DvaError
from . import _files, _host
from ._images import picture
from ._over_time import edited
from ._types import ClipModel, Identity, Model, Noise, Shift, expect
from .curve import checked_strengths, strengths_input
from .edit import preserve_input, preserved

CATEGORY = "DVA/edit/text"


class LoadClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_LoadClip",
            display_name="Load CLIP for Text Edit",
            category=CATEGORY,
            description="Loads a CLIP, which judges whether a picture fits a text. The built-in one knows rendered "
            "faces only. ComfyUI's own Load CLIP gives text encoders without eyes, which cannot do this.",
            search_aliases=["open_clip", "clip model", "ViT-B-16", "text guided"],
            inputs=[
                io.Combo.Input(
                    "clip",
                    options=_host.clip_names(),
                    default=_host.BUILT_IN,
                    tooltip="The built-in demo CLIP (rendered faces, MIT licence), OpenAI's ViT-B-16.pt (as published; "
                    "once it is fetched), or another file of open_clip from models/clip, models/text_encoders or "
                    "models/dva.",
                ),
                io.String.Input(
                    "architecture",
                    default="ViT-B-16",
                    tooltip="open_clip's name for the architecture of the file, such as ViT-B-16 or ViT-L-14, or a "
                    "config .json beside it. The built-in one does not need it.",
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", "cpu"],
                    default="auto",
                    tooltip="auto: the device that ComfyUI uses. cpu: leave the graphics card to other models.",
                    advanced=True,
                ),
            ],
            outputs=[ClipModel.Output("clip", tooltip="The CLIP, for Find Text Edit.")],
        )

    @classmethod
    def validate_inputs(cls, clip: str) -> bool | str:
        from importlib.util import find_spec

        from ..dva_core.libraries import library

        try:
            if find_spec("open_clip") is None:  # otherwise not imported here, which takes seconds
                library("open_clip", "Text edits")
            _host.clip_path(clip)
        except DvaError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, clip: str, **_) -> str:
        return _host.clip_stamp(clip)

    @classmethod
    def execute(cls, clip: str, architecture: str, device: str) -> io.NodeOutput:
        return io.NodeOutput(_host.host_clip(_host.clip_path(clip), architecture, device == "cpu"))


class FindTextEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_FindTextEdit",
            display_name="Find Text Edit (CLIP)",
            category=CATEGORY,
            description="Finds out how a person has to change for one text to fit instead of another, 'face with "
            "eyeglasses' instead of 'face'. Takes a while, once for each pair of texts; then Apply Text Edit makes it "
            "stronger or weaker at once.",
            search_aliases=["text edit", "prompt edit", "edit with text", "clip guided", "StyleCLIP"],
            inputs=[
                Model.Input("model", tooltip="The model that made the noise maps."),
                ClipModel.Input("clip", tooltip="Who judges, from Load CLIP for Text Edit."),
                Noise.Input("noise", tooltip="Whom to try it on: the output of DDIM Invert or Load Noise."),
                io.String.Input(
                    "source_text",
                    default="face",
                    tooltip="What is seen now, in a few English words. Only the difference of the texts counts.",
                ),
                io.String.Input(
                    "target_text",
                    default="face with eyeglasses",
                    tooltip="What is wanted, in the same words but for the change.",
                ),
                io.Int.Input(
                    "iterations",
                    default=0,
                    min=0,
                    max=10000,
                    tooltip="At most so many tries, each a little better. 0: as many as suit the model. The search "
                    "ends earlier when it gets no better.",
                ),
                io.Int.Input(
                    "key_frames",
                    default=0,
                    min=0,
                    max=16,
                    tooltip="How many frames of the clip are judged. 0: as many as suit the model. More are slower, "
                    "and the edit fits the whole clip better.",
                ),
                _weight(
                    "stay_same_person",
                    "How much it must stay the same person. 1 suits the model; lower lets the edit go farther.",
                ),
                _weight(
                    "stay_same_picture",
                    "How much the face must keep its place and look. 1 suits the model; lower it for large changes "
                    "such as a hat.",
                ),
                io.Int.Input(
                    "pictures_per_batch",
                    default=16,
                    min=1,
                    max=256,
                    tooltip="Pictures that are judged at once. Lower it when memory is short; the result does not "
                    "depend on it.",
                    advanced=True,
                ),
            ],
            outputs=[
                Shift.Output("shift", tooltip="The change that was found, for Apply Text Edit or Save Text Edit."),
                io.String.Output("report", tooltip="How long was searched, and how well the change follows the texts."),
            ],
        )

    @classmethod
    def validate_inputs(cls, source_text: str | None, target_text: str | None) -> bool | str:
        if source_text is not None and target_text is not None and source_text.strip() == target_text.strip():
            return "'source_text' and 'target_text' say the same; say in 'target_text' what is to change."
        return True

    @classmethod
    def execute(
        cls, model, clip, noise, source_text, target_text, iterations, key_frames, stay_same_person,
        stay_same_picture, pictures_per_batch,
    ) -> io.NodeOutput:  # fmt: skip
        from dataclasses import replace

        from ..dva_core import values
        from ..dva_core.editing.text import default_settings, find_text_shift

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model")
        judge = expect(clip, _host.HostedClip, "clip", "output of Load CLIP for Text Edit")
        noise = expect(noise, values.EncodedClip, "noise", "output of DDIM Invert")
        model, judge = _host.ready_for_search(model, judge, pictures_per_batch)
        settings = default_settings(model)
        settings = replace(
            settings,
            iterations=iterations or settings.iterations,
            key_frames=key_frames or settings.key_frames,
            identity_weight=stay_same_person * settings.identity_weight,
            picture_weight=stay_same_picture * settings.picture_weight,
        )
        told: list = []
        options = {"batch_size": pictures_per_batch, "on_losses": told.append, **_host.watched(picture)}
        shift = find_text_shift(model, judge, noise, source_text, target_text, settings, **options)
        text = f"{shift.name}: {len(told)} iterations; "
        text += f"the pictures change along with the texts by {told[-1].similarity:.2f} (1 would be exactly)."
        return io.NodeOutput(shift, text, ui=ui.PreviewText(text))


class ApplyTextEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_ApplyTextEdit",
            display_name="Apply Text Edit",
            category=CATEGORY,
            description="Changes a person as Find Text Edit has found, as much as wanted and without searching again. "
            "Works on other people and clips too, and in a chain with Edit Attribute.",
            search_aliases=["text edit", "text strength", "edit with text"],
            inputs=[
                Identity.Input("identity", tooltip="Who it is, from Encode Identity or another edit."),
                Shift.Input("shift", tooltip="What to change, from Find Text Edit or Load Text Edit."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-3.0,
                    max=3.0,
                    step=0.05,
                    tooltip="1 is as far as was found, 0 changes nothing, -1 goes the opposite way. Beyond 1.5 the "
                    "face may fall apart.",
                ),
                strengths_input(),
                preserve_input(),
                Model.Input(
                    "model", optional=True, tooltip="The model whose attributes 'preserve' names; only for it."
                ),
            ],
            outputs=[Identity.Output("identity", tooltip="The edited identity, for DDIM Decode or another edit.")],
        )

    @classmethod
    def execute(cls, identity, shift, strength, strengths=None, preserve=None, model=None) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.editing.text import preserving, shift_identity

        identity = expect(identity, values.Identity, "identity", "output of Encode Identity")
        shift = expect(shift, values.IdentityShift, "shift", "output of Find Text Edit")
        if preserve is not None:
            directions = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready().attributes
            shift = preserving(shift, directions, preserved(preserve))

        def edit(person: values.Identity, share: float) -> values.Identity:
            return shift_identity(person, shift, strength * share)

        return io.NodeOutput(edited(identity, edit, checked_strengths(strengths)))


class SaveShift(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_SaveShift",
            display_name="Save Text Edit",
            category=CATEGORY,
            description="Writes what Find Text Edit has found into ComfyUI's output folder, subfolder dva, so that "
            "nobody has to search again.",
            search_aliases=["export text edit", "save shift"],
            is_output_node=True,
            inputs=[
                Shift.Input("shift", tooltip="The output of Find Text Edit."),
                io.String.Input(
                    "filename_prefix",
                    default="text_edit",
                    tooltip="Start of the file name; a number is added, nothing is overwritten.",
                ),
            ],
            outputs=[
                Shift.Output("shift", tooltip="The same text edit."),
                io.String.Output("path", tooltip="The file that was written."),
            ],
        )

    @classmethod
    def execute(cls, shift, filename_prefix) -> io.NodeOutput:
        from ..dva_core import values

        return _files.save(expect(shift, values.IdentityShift, "shift", "output of Find Text Edit"), filename_prefix)


class LoadShift(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_LoadShift",
            display_name="Load Text Edit",
            category=CATEGORY,
            description="Reads a text edit that Save Text Edit wrote.",
            search_aliases=["import text edit", "load shift"],
            inputs=[_files.file_input("A text edit's file: output/dva, or ComfyUI's input folder.")],
            outputs=[
                Shift.Output("shift", tooltip="The text edit in the file, for Apply Text Edit."),
                io.String.Output("name", tooltip="The texts that it was found with."),
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

        shift = values.IdentityShift.load(_files.path_of(file))
        return io.NodeOutput(shift, shift.name)


def _weight(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=10.0, step=0.1, tooltip=tooltip, advanced=True)
