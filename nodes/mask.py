"""Masks of the parts of a face."""

from __future__ import annotations

from comfy_api.latest import io

from . import _host
from ._images import to_crops
from ._types import Model, expect

FACE = [
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "glasses",
    "nose",
    "mouth",
    "upper lip",
    "lower lip",
]


class FaceMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        from ..dva_core.faces.masks import CLASSES

        return io.Schema(
            node_id="DVA_FaceMask",
            display_name="Face Mask (Parsed)",
            category="DVA",
            description="Masks parts of aligned faces, found by the model's parser. For Paste Back, or for any node "
            "that takes a MASK of the crops.",
            search_aliases=["face parsing", "hair mask", "skin mask", "face segmentation"],
            inputs=[
                Model.Input("model", tooltip="The model whose parser is used."),
                io.Image.Input("crops", tooltip="Aligned faces, from Align Faces or DDIM Decode."),
                io.MultiCombo.Input(
                    "parts",
                    options=list(CLASSES),
                    default=FACE,
                    tooltip="The parts that the mask selects. The default is the face without ears, neck and hair.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-256,
                    max=256,
                    tooltip="Makes the mask larger by so many crop pixels; smaller where negative.",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="Softens the border over so many crop pixels, inwards. 2 to 4 suit 64 pixel crops.",
                ),
            ],
            outputs=[io.Mask.Output("mask", tooltip="One mask for each crop, 1 where a selected part is.")],
        )

    @classmethod
    def execute(cls, model, crops, parts, grow, feather) -> io.NodeOutput:
        from ..dva_core.faces import masks

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready()
        mask = masks.select_classes(model.parse(to_crops(crops)), parts)
        mask = masks.feathered(masks.grown(mask, grow), feather)
        return io.NodeOutput(_host.on_output_device(mask[:, 0]))
