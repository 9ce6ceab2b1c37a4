"""Changing who it is."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..dva_core.editing.attributes import CELEBA_ATTRIBUTES
from . import _host
from ._over_time import edited
from ._types import Identity, Model, Preserve, expect
from .curve import checked_strengths, strengths_input

METHODS = {"to class": "to_class", "along, normalised": "shift", "along, plain": "along_plain"}
DEFAULT = "Eyeglasses"


def preserve_input() -> io.Input:
    return Preserve.Input(
        "preserve",
        optional=True,
        tooltip="From Preserve Attributes: what must stay as it is. The edit then leaves out what would change it.",
    )


def method_input() -> io.Combo.Input:
    return io.Combo.Input(
        "method",
        options=list(METHODS),
        default=next(iter(METHODS)),
        tooltip="to class: to where people with (or without) the attribute are, whoever it is. along: the "
        "published move by a fixed length, in normalised or plain features; try strengths near 0.3.",
        advanced=True,
    )


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
                method_input(),
                preserve_input(),
                strengths_input(),
            ],
            outputs=[Identity.Output("identity", tooltip="The edited identity, for DDIM Decode or another edit.")],
        )

    @classmethod
    def execute(cls, model, identity, attribute, strength, method, preserve=None, strengths=None) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.editing.attributes import edit_identity

        directions = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready().attributes
        identity = expect(identity, values.Identity, "identity", "output of Encode Identity")
        options = {"preserve": preserved(preserve), "move": METHODS[method]}

        def edit(person: values.Identity, share: float) -> values.Identity:
            return edit_identity(person, directions, {attribute: strength * share}, **options)

        return io.NodeOutput(edited(identity, edit, checked_strengths(strengths)))


class PreserveAttributes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_Preserve",
            display_name="Preserve Attributes",
            category="DVA/edit",
            description="Names what an edit must not change: make somebody older without glasses appearing. The part "
            "of the edit that would change it is left out.",
            search_aliases=["conditional edit", "disentangle", "lock attribute", "keep attribute"],
            inputs=[
                io.MultiCombo.Input(
                    "attributes",
                    options=list(CELEBA_ATTRIBUTES),
                    default=[],
                    tooltip="What stays as it is, for any number of edits. A model knows only some of the 40; with "
                    "another one, the edit's error lists those that it knows. Each one leaves less of the edit.",
                ),
            ],
            outputs=[
                Preserve.Output(
                    "preserve", tooltip="The names, for Edit Attribute, Sweep Strengths and Apply Text Edit."
                )
            ],
        )

    @classmethod
    def execute(cls, attributes) -> io.NodeOutput:
        return io.NodeOutput(tuple(attributes))


def preserved(preserve: Any) -> tuple[str, ...]:
    """What is connected to a `preserve_input`."""
    return () if preserve is None else expect(preserve, tuple, "preserve", "output of Preserve Attributes")
