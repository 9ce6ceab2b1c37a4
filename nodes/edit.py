"""Changing who it is."""

from __future__ import annotations

from comfy_api.latest import io

from ..dva_core.editing.attributes import CELEBA_ATTRIBUTES
from . import _host
from ._types import Identity, Model, expect

METHODS = ["to class", "along, normalised", "along, plain"]
DEFAULT = "Eyeglasses"


class EditAttribute(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_EditAttribute",
            display_name="Edit Attribute",
            category="DVA/edit",
            description="Puts an attribute on or takes it off: glasses, a beard, hair colour, a hat, age. Chain "
            "several for several edits. The names are those of the CelebA data set.",
            search_aliases=["glasses", "beard", "hair colour", "age", "face edit", "attribute"],
            inputs=[
                Model.Input("model", tooltip="The model whose attribute directions are used."),
                Identity.Input("identity", tooltip="Who it is, from Encode Identity or another edit."),
                io.Combo.Input(
                    "attribute",
                    options=list(CELEBA_ATTRIBUTES),
                    default=DEFAULT,
                    tooltip="What to change. A beard is put on with No_Beard at strength -1. A model knows only some "
                    "of the 40; with another one, the error lists those that it knows.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-3.0,
                    max=3.0,
                    step=0.05,
                    tooltip="1 puts the attribute on, -1 takes it off, 0 changes nothing. Between them less; beyond "
                    "1.5 the face may fall apart.",
                ),
                io.Combo.Input(
                    "method",
                    options=METHODS,
                    default=METHODS[0],
                    tooltip="to class: to where people with (or without) the attribute are, whoever it is. along: the "
                    "published move by a fixed length, in normalised or plain features; try strengths near 0.3.",
                    advanced=True,
                ),
            ],
            outputs=[Identity.Output("identity", tooltip="The edited identity, for DDIM Decode or another edit.")],
        )

    @classmethod
    def execute(cls, model, identity, attribute, strength, method) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.editing.attributes import edit_identity

        directions = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready().attributes
        identity = expect(identity, values.Identity, "identity", "output of Encode Identity").mean()
        move = {"to class": "to_class", "along, normalised": "shift", "along, plain": "along_plain"}[method]
        return io.NodeOutput(edit_identity(identity, directions, {attribute: strength}, move=move))
