"""Edited faces back into their frames."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io
from einops import rearrange

from ..dva_core.errors import DvaError
from . import _host
from ._images import byte_frames, checked, to_crops
from ._types import Model, Track, expect


class PasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_PasteBack",
            display_name="Paste Back",
            category="DVA",
            description="Puts edited faces back into their frames. Outside the mask every pixel stays what it was; "
            "inside, only what the edit changed is added, so that the frame keeps its own sharpness.",
            search_aliases=["composite face", "uncrop", "stitch", "restore face"],
            inputs=[
                Model.Input("model", tooltip="The model; its parser finds the head."),
                io.Image.Input("images", tooltip="The frames that went into Align Faces."),
                io.Image.Input("crops", tooltip="The edited faces, one for each frame with a face; any square size."),
                Track.Input("track", tooltip="Where the faces were, from Align Faces."),
                io.Float.Input(
                    "feather",
                    default=0.03,
                    min=0.0,
                    max=0.25,
                    step=0.005,
                    tooltip="How softly the mask ends, as a share of the crop's side; a connected crop mask "
                    "too. 0 is a hard edge.",
                ),
                io.Float.Input(
                    "colour_match",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Brings mean and contrast of the edited face to those of the source. For faces that come "
                    "from elsewhere; it weakens edits of colour.",
                ),
                io.Boolean.Input(
                    "replace",
                    default=False,
                    label_on="replace",
                    label_off="add the change",
                    tooltip="add the change: the frame's detail stays where the edit changes little. replace: the crop "
                    "itself is pasted, as published; for crops that were upscaled or restored on the way.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where to paste, instead of the whole head: one mask for each crop (from Face Mask), or "
                    "masks of the frames' size, one for all or one each, which limit the head's mask.",
                ),
                io.Float.Input(
                    "grow",
                    default=0.0,
                    min=-0.25,
                    max=0.25,
                    step=0.01,
                    optional=True,
                    tooltip="Makes the head's mask, or a connected crop mask, wider by so much of the crop's side; "
                    "smaller where negative. After Transfer Motion and Swap Background 0.06 hides the old outline.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The frames with the edited faces; size and number unchanged."),
                io.Mask.Output("mask", tooltip="Where, and how strongly, faces were pasted into each frame."),
            ],
        )

    @classmethod
    def execute(cls, model, images, crops, track, feather, colour_match, replace, mask=None, grow=0.0) -> io.NodeOutput:
        from ..dva_core import values
        from ..dva_core.faces import alignment, colour, masks, pasting
        from ..dva_core.pipeline import pasting_mask

        model = expect(model, _host.HostedModel, "model", "output of Load DVA Model").ready()
        track = expect(track, values.FaceTrack, "track", "output of Align Faces")
        frames, edited = checked(images), to_crops(crops)
        _check_frames(frames, track, edited)
        source = alignment.crop_track(byte_frames(frames), track, edited.shape[-1])
        crop_mask, frame_mask = _masks(mask, edited, frames)
        if crop_mask is None:
            crop_mask = pasting_mask(model, source, edited, track.valid)
        if grow:
            crop_mask = masks.grown(crop_mask, grow * edited.shape[-1])
        if colour_match > 0:
            edited = colour.match_colours(edited, source, crop_mask, colour_match)
        pasted = pasting.paste_faces(
            frames.numpy(), edited, track, crop_mask, feather, None if replace else source, frame_mask
        )
        touched = pasting.mask_in_frames(track, crop_mask, feather)
        if frame_mask is not None:
            touched *= frame_mask
        pasted = torch.from_numpy(pasted)
        if images.shape[-1] == 4:
            pasted = torch.cat([pasted, images[..., 3:].to(pasted)], dim=-1)
        return io.NodeOutput(_host.on_output_device(pasted), _host.on_output_device(torch.from_numpy(touched)))


def _check_frames(frames: torch.Tensor, track, crops: torch.Tensor) -> None:
    count, height, width, _ = frames.shape
    if (count, height, width) != (len(track.valid), track.height, track.width):
        raise DvaError(
            f"'track' was made for {len(track.valid)} frames of {track.width} x {track.height} pixels, and 'images' "
            f"has {count} of {width} x {height}; connect the images that went into Align Faces."
        )
    if len(crops) != track.valid.sum():
        raise DvaError(
            f"'track' has {int(track.valid.sum())} frames with a face, and 'crops' has {len(crops)}; connect crops "
            "that were made from this track."
        )


def _masks(mask, crops: torch.Tensor, frames: torch.Tensor) -> tuple[torch.Tensor | None, np.ndarray | None]:
    """The mask as one of the crops [V,1,S,S] or as one of the frames [T or 1,H,W], by its size."""
    if mask is None:
        return None, None
    mask = (mask[None] if mask.ndim == 2 else mask).float().cpu().clamp(0, 1)
    if mask.shape[1:] == crops.shape[2:] and len(mask) in (1, len(crops)):
        return rearrange(mask.expand(len(crops), -1, -1), "v h w -> v 1 h w"), None
    if mask.shape[1:] == frames.shape[1:3] and len(mask) in (1, len(frames)):
        return None, mask.numpy()
    raise DvaError(
        f"'mask' is {list(mask.shape)}; it must have the size of the crops {list(crops.shape[2:])} or of the images "
        f"{list(frames.shape[1:3])}, and be one for all or one for each."
    )
