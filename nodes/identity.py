"""Who it is and how they move: the two codes of a face clip."""

from __future__ import annotations

from comfy_api.latest import io

from . import _files, _host
from ._images import to_crops
from ._over_time import unchanging
from ._types import Identity, Landmarks, Model, expect

PEOPLE = 4


class EncodeIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_EncodeIdentity",
            display_name="Encode Identity",
            category="DVA/identity",
            description="Reads from aligned faces who it is. All frames share the one mean identity: that is why an "
            "edit of it cannot flicker.",
            search_aliases=["face embedding", "arcface", "face id"],
            inputs=[
                Model.Input("model", tooltip="The model whose identity net is used."),
                io.Image.Input("crops", tooltip="Aligned faces of one person, from Align Faces."),
            ],
            outputs=[
                Identity.Output("identity", tooltip="The clip's one identity: the mean over its frames."),
                Identity.Output("per_frame", tooltip="An identity for each frame, for Average Identities."),
            ],
        )

    @classmethod
    def execute(cls, model, crops) -> io.NodeOutput:
        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready()
        per_frame = model.encode_identity(to_crops(crops))
        return io.NodeOutput(per_frame.mean(), per_frame)


class AverageIdentities(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        people = range(1, PEOPLE + 1)
        return io.Schema(
            node_id="DVA_AverageIdentities",
            display_name="Average Identities",
            category="DVA/identity",
            description="Mixes identities: the same person from several clips for a surer likeness, or different "
            "people for somebody in between. Negative weights move away from a person.",
            search_aliases=["blend faces", "mix identity", "merge identities"],
            inputs=[
                Identity.Input("identity_1", tooltip="The first identity. All must come from one model."),
                *(
                    Identity.Input(f"identity_{i}", optional=True, tooltip=f"Identity {i}, if there is one.")
                    for i in people[1:]
                ),
                *(
                    io.Float.Input(
                        f"weight_{i}",
                        default=1.0,
                        min=-4.0,
                        max=4.0,
                        step=0.05,
                        tooltip=f"How much identity {i} counts; only ratios matter. 0 leaves it out.",
                    )
                    for i in people
                ),
                io.Boolean.Input(
                    "reject_outliers",
                    default=True,
                    label_on="yes",
                    label_off="no",
                    tooltip="Leaves out frames that look unlike the rest of their clip (blurred, covered, turned "
                    "away). Needs at least four rows an identity: 'per_frame' of Encode Identity.",
                ),
            ],
            outputs=[Identity.Output("identity", tooltip="One identity, the weighted mean.")],
        )

    @classmethod
    def execute(cls, reject_outliers, **inputs) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.editing.mixing import average_identities

        names = [f"identity_{i}" for i in range(1, PEOPLE + 1) if inputs.get(f"identity_{i}") is not None]
        people = [
            unchanging(expect(inputs[name], values.Identity, name, "output of Encode Identity")) for name in names
        ]
        weights = [inputs[name.replace("identity", "weight")] for name in names]
        return io.NodeOutput(average_identities(people, weights, reject_outliers))


class SaveIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_SaveIdentity",
            display_name="Save Identity",
            category="DVA/identity",
            description="Writes an identity into ComfyUI's output folder, subfolder dva.",
            search_aliases=["export identity", "save face model"],
            is_output_node=True,
            inputs=[
                Identity.Input("identity", tooltip="The identity to keep."),
                io.String.Input(
                    "filename_prefix",
                    default="identity",
                    tooltip="Start of the file name; a number is added, nothing is overwritten.",
                ),
            ],
            outputs=[
                Identity.Output("identity", tooltip="The same identity."),
                io.String.Output("path", tooltip="The file that was written."),
            ],
        )

    @classmethod
    def execute(cls, identity, filename_prefix) -> io.NodeOutput:
        from ..dva_core import values

        identity = unchanging(expect(identity, values.Identity, "identity", "output of Encode Identity"))
        return _files.save(identity, filename_prefix)


class LoadIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_LoadIdentity",
            display_name="Load Identity",
            category="DVA/identity",
            description="Reads an identity that Save Identity wrote.",
            search_aliases=["import identity", "load face model"],
            inputs=[_files.file_input("An identity file: output/dva, or ComfyUI's input folder.")],
            outputs=[Identity.Output("identity", tooltip="The identity in the file.")],
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

        return io.NodeOutput(values.Identity.load(_files.path_of(file)))


class EncodeLandmarks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_EncodeLandmarks",
            display_name="Encode Landmarks",
            category="DVA/identity",
            description="Reads from aligned faces how the face moves: eyes, brows, nose and mouth, frame by frame.",
            search_aliases=["facial motion", "expression", "face landmarks"],
            inputs=[
                Model.Input("model", tooltip="The model whose landmark net is used."),
                io.Image.Input("crops", tooltip="Aligned faces, from Align Faces."),
            ],
            outputs=[Landmarks.Output("landmarks", tooltip="The motion: 51 points for each frame with a face.")],
        )

    @classmethod
    def execute(cls, model, crops) -> io.NodeOutput:
        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready()
        return io.NodeOutput(model.encode_landmarks(to_crops(crops)))
