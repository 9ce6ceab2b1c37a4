"""`comfy_api.latest.io`: everything with which a node describes itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from ._nodes import ComfyNode, Hidden, HiddenHolder, NodeOutput, Schema
from ._sockets import (
    BooleanInput,
    ComboInput,
    ComboOutput,
    DynamicComboInput,
    FloatInput,
    Input,
    IntInput,
    MultiComboInput,
    MultiTypeInput,
    Output,
    StringInput,
    WidgetInput,
    socket_type,
)

__all__ = ["ComfyNode", "Hidden", "HiddenHolder", "Input", "NodeOutput", "Output", "Schema", "WidgetInput"]


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(str, Enum):
    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


def Custom(io_type: str) -> type:
    """A socket type of a pack's own."""
    return socket_type("Custom", io_type)


# --- types with widgets ---

Boolean = socket_type("Boolean", "BOOLEAN", BooleanInput, value=bool)
Int = socket_type("Int", "INT", IntInput, value=int)
Float = socket_type("Float", "FLOAT", FloatInput, value=float)
String = socket_type("String", "STRING", StringInput, value=str)
Combo = socket_type("Combo", "COMBO", ComboInput, ComboOutput, value=str)
MultiCombo = socket_type("MultiCombo", "COMBO", MultiComboInput, value=list)
MultiType = socket_type("MultiType", "COMFY_MULTITYPED_V3", MultiTypeInput)
DynamicCombo = socket_type("DynamicCombo", "COMFY_DYNAMICCOMBO_V3", DynamicComboInput, value=dict)


@dataclass(frozen=True)
class _Option:
    """A choice of a DynamicCombo, and the inputs that come with it."""

    key: str
    inputs: list[Input]


DynamicCombo.Option = _Option

# --- plain sockets ---

Image = socket_type("Image", "IMAGE", value=Tensor)
Mask = socket_type("Mask", "MASK", value=Tensor)
Audio = socket_type("Audio", "AUDIO", value=dict)
Video = socket_type("Video", "VIDEO")
Tracks = socket_type("Tracks", "TRACKS", value=dict)
Latent = socket_type("Latent", "LATENT", value=dict)
Conditioning = socket_type("Conditioning", "CONDITIONING")
Model = socket_type("Model", "MODEL")
Clip = socket_type("Clip", "CLIP")
Vae = socket_type("Vae", "VAE")
ClipVision = socket_type("ClipVision", "CLIP_VISION")
ClipVisionOutput = socket_type("ClipVisionOutput", "CLIP_VISION_OUTPUT")
UpscaleModel = socket_type("UpscaleModel", "UPSCALE_MODEL")
FaceAnalysis = socket_type("FaceAnalysis", "FACE_ANALYSIS")
BBOX = socket_type("BBOX", "BBOX")
SEGS = socket_type("SEGS", "SEGS")
Point = socket_type("Point", "POINT")
Dict = socket_type("Dict", "DICT", value=dict)
Array = socket_type("Array", "ARRAY", value=list)
AnyType = socket_type("AnyType", "*")
