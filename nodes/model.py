"""Where a workflow starts: the model, and a clip to try it on."""

from __future__ import annotations

from comfy_api.latest import io

from ..dva_core.errors import DvaError
from . import _host
from ._images import from_bytes
from ._types import Model

PRECISIONS = ["float32", "bfloat16", "float16"]
CLIPS = {"first person, with sound": "demo.mp4", "second person": "demo_second.mp4"}


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_LoadModel",
            display_name="Load DVA Model",
            category="DVA",
            description="Loads a diffusion video autoencoder. The built-in demo model knows rendered faces only: it "
            "shows how everything works, without any download. Models for real faces go into models/dva.",
            search_aliases=["diffusion video autoencoder", "face video model", "dva loader"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=_host.model_names(),
                    default=_host.BUILT_IN,
                    tooltip="The built-in demo model (64 pixel faces, MIT licence), the published model for real faces "
                    "(256 pixels; once it is fetched and converted), or another bundle (.safetensors) from models/dva.",
                ),
                io.Combo.Input(
                    "precision",
                    options=PRECISIONS,
                    default="float32",
                    tooltip="Number format of the noise estimator. float32 is exact; bfloat16 and float16 need half "
                    "the memory. Edits then differ a little; what is not edited still comes back with the solver "
                    "residual, and a little less well with ddim.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", "cpu"],
                    default="auto",
                    tooltip="auto: the device that ComfyUI uses. cpu: leave the graphics card to other models.",
                    advanced=True,
                ),
            ],
            outputs=[Model.Output("model", tooltip="The model, for the nodes that compute with it.")],
        )

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        try:
            _host.model_path(model)
        except DvaError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model: str, **_) -> str:
        return _host.model_stamp(model)

    @classmethod
    def execute(cls, model: str, precision: str, device: str) -> io.NodeOutput:
        return io.NodeOutput(_host.host_model(_host.model_path(model), precision, device == "cpu"))


class DemoClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_DemoClip",
            display_name="Demo Clip (Rendered Face)",
            category="DVA",
            description="A short clip of a rendered face that the demo model has not seen in its training. Replace it "
            "by Load Video and Get Video Components to work on your own footage.",
            search_aliases=["sample video", "example clip", "test video"],
            inputs=[
                io.Combo.Input(
                    "clip",
                    options=list(CLIPS),
                    default=next(iter(CLIPS)),
                    tooltip="Which of the two people to show. Only the first clip has sound.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="How many frames to take from the start; 0 takes all. Fewer frames make everything faster.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The frames of the clip."),
                io.Audio.Output("audio", tooltip="Its sound; silence for the clip without any."),
                io.Float.Output("fps", tooltip="Frames per second."),
            ],
        )

    @classmethod
    def execute(cls, clip: str, frames: int) -> io.NodeOutput:
        from itertools import islice

        import numpy as np

        from ..dva_core import video
        from ..dva_core.showcase import ASSETS

        path = ASSETS / CLIPS[clip]
        rate = video.probe(path).frame_rate
        pictures = np.stack([*islice(video.read_frames(path), frames or None)])
        waveform, sample_rate = video.read_sound(path, len(pictures) / rate)
        audio = {"waveform": waveform[None], "sample_rate": sample_rate}
        return io.NodeOutput(_host.on_output_device(from_bytes(pictures)), audio, float(rate))
