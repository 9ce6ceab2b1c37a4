"""Stand-in for ComfyUI's core nodes: their real ids, inputs and outputs, and just enough behaviour.

It bears the name `nodes`, as the host's own module does: a pack that means its own folder by that name finds this.
"""

from __future__ import annotations

from pathlib import Path

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image, ImageOps


class LoadImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = [path.name for path in Path(folder_paths.get_input_directory()).iterdir() if path.is_file()]
        files = sorted(folder_paths.filter_files_content_types(names, ["image"]))
        return io.Schema(
            node_id="LoadImage",
            inputs=[io.Combo.Input("image", options=files, upload=io.UploadType.image)],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def validate_inputs(cls, image) -> bool | str:
        return folder_paths.exists_annotated_filepath(image) or f"there is no image {image}"

    @classmethod
    def fingerprint_inputs(cls, image) -> float:
        return Path(folder_paths.get_annotated_filepath(image)).stat().st_mtime

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        picture = ImageOps.exif_transpose(Image.open(folder_paths.get_annotated_filepath(image)))
        pixels = torch.from_numpy(np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255)[None]
        see_through = 1 - pixels[..., 3] if "A" in picture.getbands() else torch.zeros(1, 64, 64)
        return io.NodeOutput(pixels[..., :3], see_through)


class SaveImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveImage",
            is_output_node=True,
            inputs=[io.Image.Input("images"), io.String.Input("filename_prefix", default="ComfyUI")],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(cls, images, filename_prefix) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.PreviewImage(images))


class PreviewImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewImage",
            is_output_node=True,
            inputs=[io.Image.Input("images")],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(cls, images) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.PreviewImage(images))


class PreviewAny(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewAny",
            is_output_node=True,
            inputs=[io.AnyType.Input("source")],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, source) -> io.NodeOutput:
        return io.NodeOutput(str(source), ui=ui.PreviewText(str(source)))


class ImageBatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageBatch",
            inputs=[io.Image.Input("image1"), io.Image.Input("image2")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image1, image2) -> io.NodeOutput:
        return io.NodeOutput(torch.cat([image1, resized(image2, *image1.shape[1:3])]))


class ImageStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImageStitch",
            inputs=[
                io.Image.Input("image1"),
                io.Combo.Input("direction", options=["right", "down", "left", "up"], default="right"),
                io.Boolean.Input("match_image_size", default=True),
                io.Int.Input("spacing_width", default=0, min=0, max=1024, step=2, advanced=True),
                io.Combo.Input("spacing_color", options=["white", "black", "red", "green", "blue"], advanced=True),
                io.Image.Input("image2", optional=True),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image1, direction, match_image_size, spacing_width, spacing_color, image2=None) -> io.NodeOutput:
        """Side by side, without the gap."""
        if image2 is None:
            return io.NodeOutput(image1)
        axis = 2 if direction in ("right", "left") else 1
        (height, width), (other_height, other_width) = image1.shape[1:3], image2.shape[1:3]
        size = (
            (height, other_width * height // other_height)
            if axis == 2
            else (other_height * width // other_width, width)
        )
        pair = [image1, resized(image2, *size)]
        length = max(map(len, pair))
        pair = [torch.cat([each, each[-1:].expand(length - len(each), -1, -1, -1)]) for each in pair]
        return io.NodeOutput(torch.cat(pair if direction in ("right", "down") else pair[::-1], dim=axis))


class MaskToImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="MaskToImage", inputs=[io.Mask.Input("mask")], outputs=[io.Image.Output()])

    @classmethod
    def execute(cls, mask) -> io.NodeOutput:
        return io.NodeOutput(mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3))


class MaskPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MaskPreview",
            is_output_node=True,
            inputs=[io.Mask.Input("mask")],
            outputs=[io.Mask.Output(display_name="mask")],
        )

    @classmethod
    def execute(cls, mask) -> io.NodeOutput:
        return io.NodeOutput(mask, ui=ui.PreviewMask(mask))


NODES = [LoadImage, SaveImage, PreviewImage, PreviewAny, ImageBatch, ImageStitch, MaskToImage, MaskPreview]


def resized(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """IMAGE batch at another size."""
    return torch.nn.functional.interpolate(images.movedim(-1, 1), (height, width), mode="bilinear").movedim(1, -1)
