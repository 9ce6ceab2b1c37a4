"""Stand-in for ComfyUI's video nodes. SaveVideo writes no file: the video it was given is its output."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import folder_paths
from comfy_api.latest import InputImpl, Types, io, ui


class LoadVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = [path.name for path in Path(folder_paths.get_input_directory()).iterdir() if path.is_file()]
        files = sorted(folder_paths.filter_files_content_types(names, ["video"]))
        return io.Schema(
            node_id="LoadVideo",
            inputs=[io.Combo.Input("file", options=files, upload=io.UploadType.video)],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        return folder_paths.exists_annotated_filepath(file) or f"there is no video {file}"

    @classmethod
    def fingerprint_inputs(cls, file) -> float:
        return Path(folder_paths.get_annotated_filepath(file)).stat().st_mtime

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        return io.NodeOutput(InputImpl.VideoFromFile(folder_paths.get_annotated_filepath(file)))


class GetVideoComponents(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GetVideoComponents",
            inputs=[io.Video.Input("video")],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
                io.Int.Output(display_name="bit_depth"),
                io.Combo.Output(display_name="color_space"),
            ],
        )

    @classmethod
    def execute(cls, video) -> io.NodeOutput:
        parts = video.get_components()
        about = (float(parts.frame_rate), video.get_bit_depth(), video.get_color_space())
        return io.NodeOutput(parts.images, parts.audio, *about)


class CreateVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CreateVideo",
            inputs=[
                io.Image.Input("images"),
                io.Float.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0),
                io.Audio.Input("audio", optional=True),
                io.Int.Input("bit_depth", default=8, min=8, max=10, step=2, optional=True),
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(cls, images, fps, audio=None, bit_depth=8) -> io.NodeOutput:
        parts = Types.VideoComponents(images=images, frame_rate=Fraction(fps), audio=audio)
        return io.NodeOutput(InputImpl.VideoFromComponents(parts, bit_depth=bit_depth))


class SaveVideo(io.ComfyNode):
    """The further choices that come with a codec other than `auto` are left out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveVideo",
            is_output_node=True,
            inputs=[
                io.Video.Input("video"),
                io.String.Input("filename_prefix", default="video/ComfyUI"),
                io.DynamicCombo.Input(
                    "format",
                    options=[
                        *(
                            io.DynamicCombo.Option(key, [codec("auto", "h264", "av1")])
                            for key in ("auto", "mp4", "mkv")
                        ),
                        io.DynamicCombo.Option("webm", [codec("auto", "av1")]),
                    ],
                ),
                codec("auto", "h264", "av1", optional=True, extra_dict={"hidden": True}),
            ],
            outputs=[io.Video.Output("video")],
        )

    @classmethod
    def execute(cls, video, filename_prefix, format, codec=None) -> io.NodeOutput:
        images = video.get_components().images
        if images.shape[1] % 2 or images.shape[2] % 2:
            raise ValueError(f"H.264 needs even sides, not {images.shape[2]} x {images.shape[1]}")
        _, name, number, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), images.shape[2], images.shape[1]
        )
        file = ui.SavedResult(f"{name}_{number:05}_.mp4", subfolder, io.FolderType.output)
        return io.NodeOutput(video, ui=ui.PreviewVideo([file]))


NODES = [LoadVideo, GetVideoComponents, CreateVideo, SaveVideo]


def codec(*keys: str, **about) -> io.Input:
    return io.DynamicCombo.Input("codec", options=[io.DynamicCombo.Option(key, []) for key in keys], **about)
