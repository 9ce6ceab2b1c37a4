"""Every weight file that somebody may need: what it is for, its licence, whence it comes and where it must lie.

Hashes and sizes stand here only where they can be read in public; None means that nobody has published them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import DvaError

PUBLISHED_BUNDLE = "diffusion_video_autoencoder"
"""The name that the published model has once it is converted: models/dva/<name>.safetensors."""


@dataclass(frozen=True)
class PackedFile:
    """One file of a zip, and its SHA-256 where that is published."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class WeightFile:
    """One download. `size` (bytes) and `sha256` are those of the download, so of the zip where it is one.

    source is a URL, or "drive:ID" for a file on Google Drive. place is relative to a folder laid out like ComfyUI's
    `models`; a zip has `contents`, which make it complete, and its place is the folder that they lie in. also lists
    further places that other programs use; one that begins with ~ is no part of a models folder. commercial says
    whether commercial use is allowed, and why tells the reason. then is the next step, with {path} for the file.
    """

    name: str
    purpose: str
    licence: str
    commercial: Literal["yes", "no", "unclear"]
    why: str
    source: str
    place: str
    size: int | None = None
    sha256: str | None = None
    hash_from: str = ""
    contents: tuple[PackedFile, ...] = ()
    also: tuple[str, ...] = ()
    note: str = ""
    then: str = ""

    @property
    def page(self) -> str:
        """The address for a browser."""
        if self.source.startswith("drive:"):
            return f"https://drive.google.com/file/d/{self.source.removeprefix('drive:')}/view"
        return self.source


def weight(name: str) -> WeightFile:
    """The known weight file of this name; DvaError listing the names when there is none."""
    for known in WEIGHTS:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in WEIGHTS)
    raise DvaError(f"There is no known weight file '{name}'; `dva models` tells about each of: {names}.")


def by_hand(wanted: WeightFile, folder: Path) -> str:
    """How to get a file without this program, as the end of a sentence; `folder` is the models folder."""
    target = folder / wanted.place
    if wanted.contents:
        files = ", ".join(file.name for file in wanted.contents)
        return f"download {wanted.page} in a browser and unpack it so that {files} lie in {target}"
    return f"download {wanted.page} in a browser and save it as {target}"


_DVA_LICENCE = "the authors' code is MIT; the licence of the weights is not stated"
_DVA_WHY = "no licence is stated for the weights, and VoxCeleb1, which they learned from, is research data"

_INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
_INSIGHTFACE_LICENCE = "insightface's model licence: non-commercial research only"
_INSIGHTFACE_WHY = "insightface sells licences for anything else"
_INSIGHTFACE_HASH = "insightface's own server"
_COMMON_PARTS = (PackedFile("1k3d68.onnx"), PackedFile("2d106det.onnx"), PackedFile("genderage.onnx"))
# The detectors of buffalo_l and antelopev2 are one file under two names.
_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"

_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"
_FACEXLIB_HASH = "several public projects that fetch it from this address, not facexlib itself"

WEIGHTS: tuple[WeightFile, ...] = (
    WeightFile(
        name="dva-checkpoint",
        purpose="the published model: everything that editing real faces needs, except the attribute classifier",
        licence=_DVA_LICENCE,
        commercial="unclear",
        why=_DVA_WHY,
        source="drive:1Q6z7Wmo9xve5SgfDJExohpDSSNi4QxcH",
        place="dva/diffusion_video_autoencoder.ckpt",
        also=("dva/epoch=51-step=1000000.ckpt",),
        note="about 3.5 GB by reckoning; Google Drive limits how often such a file may be downloaded in a day",
        then="dva convert {path} (after dva-classifier is here too)",
    ),
    WeightFile(
        name="dva-classifier",
        purpose="the published attribute classifier: its directions are the edits (Eyeglasses, Young, …)",
        licence=_DVA_LICENCE,
        commercial="unclear",
        why=_DVA_WHY + ", as is CelebA-HQ",
        source="drive:1nddbwuAvIVEqKkkmUF96nJj91jVmAdtR",
        place="dva/diffusion_video_autoencoder_cls.ckpt",
        then="dva convert --classifier {path} (after dva-checkpoint is here too)",
    ),
    WeightFile(
        name="dva-latent-statistics",
        purpose="mean and spread of identity features, only for training the classifier again; dva-classifier has them",
        licence=_DVA_LICENCE,
        commercial="unclear",
        why=_DVA_WHY,
        source="drive:1J_eAs5-KWn--kmcqx5S-QjVPskTczTMU",
        place="dva/latent.pkl",
    ),
    WeightFile(
        name="dva-pretrained-encoders",
        purpose="identity, landmark and parsing nets, only for training from nothing; dva-checkpoint contains them",
        licence="not stated; each net has authors and terms of its own",
        commercial="unclear",
        why="the nets learned from data sets for research",
        source="drive:1X2u83hSO2jObO6pCCpZXa45qpQU2ECKJ",
        place="dva/pretrained_models",
        contents=(
            PackedFile("model_ir_se50.pth"),
            PackedFile("mobilenet_224_model_best_gdconv_external.pth.tar"),
            PackedFile("79999_iter.pth"),
        ),
    ),
    WeightFile(
        name="insightface-buffalo_l",
        purpose="insightface's usual pack: detects faces and tells people apart",
        licence=_INSIGHTFACE_LICENCE,
        commercial="no",
        why=_INSIGHTFACE_WHY,
        source=f"{_INSIGHTFACE}/buffalo_l.zip",
        place="insightface/models/buffalo_l",
        size=288_621_354,
        sha256="80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        hash_from=_INSIGHTFACE_HASH,
        contents=(
            PackedFile("det_10g.onnx", _SCRFD_10G),
            PackedFile("w600k_r50.onnx", "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"),
            *_COMMON_PARTS,
        ),
        also=("~/.insightface/models/buffalo_l",),
    ),
    WeightFile(
        name="insightface-antelopev2",
        purpose="insightface's largest pack: a second judge of who is who, trained on other people than buffalo_l",
        licence=_INSIGHTFACE_LICENCE,
        commercial="no",
        why=_INSIGHTFACE_WHY,
        source=f"{_INSIGHTFACE}/antelopev2.zip",
        place="insightface/models/antelopev2",
        size=360_662_982,
        sha256="8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
        hash_from=_INSIGHTFACE_HASH,
        contents=(
            PackedFile("scrfd_10g_bnkps.onnx", _SCRFD_10G),
            PackedFile("glintr100.onnx", "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"),
            *_COMMON_PARTS,
        ),
        also=("~/.insightface/models/antelopev2",),
    ),
    WeightFile(
        name="insightface-buffalo_s",
        purpose="insightface's small pack: the same as buffalo_l, quicker and less sure",
        licence=_INSIGHTFACE_LICENCE,
        commercial="no",
        why=_INSIGHTFACE_WHY,
        source=f"{_INSIGHTFACE}/buffalo_s.zip",
        place="insightface/models/buffalo_s",
        size=127_607_557,
        sha256="d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
        hash_from="several public projects that fetch it from this address, not insightface itself",
        contents=(
            PackedFile("det_500m.onnx", "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"),
            PackedFile("w600k_mbf.onnx", "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"),
            *_COMMON_PARTS,
        ),
        also=("~/.insightface/models/buffalo_s",),
    ),
    WeightFile(
        name="facexlib-retinaface-resnet50",
        purpose="facexlib's face detector",
        licence="MIT (facexlib)",
        commercial="unclear",
        why="it learned from WIDER FACE, a non-commercial data set",
        source=f"{_FACEXLIB}/detection_Resnet50_Final.pth",
        place="facexlib/detection_Resnet50_Final.pth",
        size=109_497_761,
        sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        hash_from=_FACEXLIB_HASH,
        also=("facedetection/detection_Resnet50_Final.pth",),
    ),
    WeightFile(
        name="facexlib-retinaface-mobile0.25",
        purpose="facexlib's small face detector",
        licence="MIT (facexlib)",
        commercial="unclear",
        why="it learned from WIDER FACE, a non-commercial data set",
        source=f"{_FACEXLIB}/detection_mobilenet0.25_Final.pth",
        place="facexlib/detection_mobilenet0.25_Final.pth",
        size=1_789_735,
        sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        hash_from=_FACEXLIB_HASH,
        also=("facedetection/detection_mobilenet0.25_Final.pth",),
    ),
    WeightFile(
        name="facexlib-fan",
        purpose="facexlib's 98 landmarks of a face, of which the 68 for alignment are taken",
        licence="MIT (facexlib)",
        commercial="unclear",
        why="it learned from WFLW, a non-commercial data set",
        source=f"{_FACEXLIB}/alignment_WFLW_4HG.pth",
        place="facexlib/alignment_WFLW_4HG.pth",
        # Public projects disagree about size and hash of this one.
    ),
    WeightFile(
        name="openclip-vit-b-16-openai",
        purpose="OpenAI's CLIP ViT-B/16, which steers edits by a text",
        licence="MIT (OpenAI's CLIP)",
        commercial="yes",
        why="MIT allows it; OpenAI's model card advises against use without tests of your own",
        source="https://openaipublic.azureedge.net/clip/models/"
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
        place="clip/ViT-B-16.pt",
        sha256="5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        hash_from="OpenAI, in the address itself",
        also=("text_encoders/ViT-B-16.pt", "~/.cache/clip/ViT-B-16.pt"),
    ),
    WeightFile(
        name="comfyui-mediapipe-face",
        purpose="the model of ComfyUI's own node Detect Face Landmarks (MediaPipe)",
        licence="Apache-2.0 (Google's MediaPipe)",
        commercial="yes",
        why="Apache-2.0 allows it",
        source="https://huggingface.co/Comfy-Org/mediapipe/resolve/main/detection/mediapipe_face_fp32.safetensors",
        place="detection/mediapipe_face_fp32.safetensors",
        size=5_423_900,
        sha256="a98c4806081d40eba35102a0f6dc0000c2e1388b72cf24e691703d0605bd888a",
        hash_from="several public projects that fetch it from this address, not Comfy-Org itself",
    ),
)
