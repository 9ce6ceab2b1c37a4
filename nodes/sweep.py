"""One edit at many strengths."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import torch
from comfy_api.latest import io

from ..dva_core.editing.attributes import CELEBA_ATTRIBUTES
from . import _host
from ._images import byte_frames, from_bytes, spread, to_images
from ._types import Identity, Model, Noise, expect
from .ddim import frames_per_batch_input
from .edit import DEFAULT, METHODS, method_input, preserve_input, preserved

if TYPE_CHECKING:
    pass

MOST = 25
LABEL_WIDTH = 15  # letters


class SweepStrengths(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_Sweep",
            display_name="Sweep Strengths",
            category="DVA/edit",
            description="Tries one edit at several strengths and shows them in one picture, a row for each: which one "
            "is enough? The clip is inverted once, and all strengths are decoded together.",
            search_aliases=["grid", "x/y plot", "compare strengths", "try strengths", "contact sheet"],
            inputs=[
                Model.Input("model", tooltip="The model that made the noise maps."),
                Noise.Input("noise", tooltip="The output of DDIM Invert or Load Noise."),
                io.Combo.Input(
                    "attribute",
                    options=list(CELEBA_ATTRIBUTES),
                    default=DEFAULT,
                    tooltip="What to change, as in Edit Attribute.",
                ),
                _strength("lowest", -1.0, "The strength of the first row."),
                _strength("highest", 1.0, "The strength of the last row. With the published model try -0.3 to 0.3."),
                io.Int.Input(
                    "count",
                    default=5,
                    min=1,
                    max=MOST,
                    tooltip="How many strengths, evenly from lowest to highest. The time grows with it.",
                ),
                io.Int.Input(
                    "frames",
                    default=6,
                    min=1,
                    max=MOST,
                    tooltip="Columns of the picture: so many frames, evenly from first to last.",
                ),
                io.Boolean.Input(
                    "whole_clips",
                    default=False,
                    label_on="all frames",
                    label_off="frames of the picture",
                    tooltip="Which frames to decode for the output 'crops'. All of them take longer, and can be "
                    "pasted back.",
                ),
                method_input(),
                Identity.Input(
                    "identity",
                    optional=True,
                    tooltip="Who to start from, such as an edit; the clip's own when nothing is connected.",
                ),
                preserve_input(),
                frames_per_batch_input(),
            ],
            outputs=[
                io.Image.Output("grid", tooltip="The source, then a row for each strength, as one picture."),
                io.Image.Output(
                    "crops",
                    is_output_list=True,
                    tooltip="A batch of faces for each strength. Nodes that follow run once for each.",
                ),
                io.Float.Output("strengths", is_output_list=True, tooltip="The strength of each batch."),
            ],
        )

    @classmethod
    def execute(
        cls, model, noise, attribute, lowest, highest, count, frames, whole_clips, method, frames_per_batch,
        identity=None, preserve=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..dva_core import values
        from ..dva_core.editing.attributes import edit_identity
        from ..dva_core.editing.sweep import sweep_clip

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready(frames_per_batch)
        clip = expect(noise, values.EncodedClip, "noise", "output of DDIM Invert")
        person = clip.identity if identity is None else identity
        person = expect(person, values.Identity, "identity", "output of Encode Identity").mean()
        shown = spread(len(clip.crops), frames)
        clip, columns = (clip, shown) if whole_clips else (clip.part(shown), slice(None))
        strengths = np.linspace(lowest, highest, count).round(6).tolist()
        options = {"preserve": preserved(preserve), "move": METHODS[method]}
        people = [edit_identity(person, model.attributes, {attribute: each}, **options) for each in strengths]
        swept = sweep_clip(model, clip, people, batch_size=frames_per_batch, **_host.watched())
        name = textwrap.fill(attribute.replace("_", " "), LABEL_WIDTH)
        rows = {f"{name}\n{each:+g}": crops[columns] for each, crops in zip(strengths, swept, strict=True)}
        grid = _grid({"source": clip.crops[columns], **rows}, shown)
        batches = [_host.on_output_device(to_images(crops)) for crops in swept]
        return io.NodeOutput(grid, batches, strengths)


def _strength(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=-3.0, max=3.0, step=0.05, tooltip=tooltip)


def _grid(rows: dict[str, torch.Tensor], shown: list[int]) -> torch.Tensor:
    """Rows of crops [F,3,S,S] as one labelled picture, IMAGE [1,H,W,3]."""
    from ..dva_core.evaluation.report import contact_sheet
    from ..dva_core.showcase import SHEET_HEIGHT, at_height

    pictures = {
        name: at_height(np.stack([*byte_frames(to_images(crops))]), SHEET_HEIGHT) for name, crops in rows.items()
    }
    sheet = contact_sheet(pictures, [f"crop {number}" for number in shown])
    return _host.on_output_device(from_bytes(np.asarray(sheet)[None]))
