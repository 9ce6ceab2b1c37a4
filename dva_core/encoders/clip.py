"""What a picture shows and what a text says, in one space: CLIP (Radford et al. 2021), read from files on this disk.

The text edits of Kim et al. 2023 (section 3.3) compare directions in this space. Nothing here opens a connection: an
architecture is a name that open_clip knows or a config of its kind, weights and tokenizers are local.
"""

from __future__ import annotations

import difflib
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DvaError
from ..libraries import library
from .torchscript import torchscript_tensors

_LIBRARIES_FOR = "CLIP's features of pictures and texts"

# Only OpenAI's own archives hold these beside the weights.
_OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}
# What CLIP is trained with to weigh similarities; features do not need it.
_TEMPERATURE = {"logit_scale", "logit_bias"}


class Clip(nn.Module):
    """A CLIP that is only looked through: its weights are frozen, in float32, and gradients go to the pictures."""

    def __init__(self, model: nn.Module, tokenizer: Callable[..., Tensor], mean: Sequence[float], std: Sequence[float]):
        """`model` is one of open_clip's with its `tokenizer`; `mean` and `std` [3] are of its pictures in 0..1, RGB."""
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def picture_features(self, pictures: Tensor) -> Tensor:
        """Pictures [B,3,S,S] in -1..1, RGB, any S -> features [B,D] of length 1, differentiable by the pictures.

        Of a picture [B,3,H,W] that is no square, the middle counts. DvaError for other shapes and for whole numbers.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.numel() or not pictures.is_floating_point():
            raise DvaError(
                f"CLIP takes pictures of the shape [B,3,S,S] as floating-point numbers in -1..1, and was given "
                f"{list(pictures.shape)} as {pictures.dtype}."
            )
        return self.model.encode_image(self._prepared(pictures.float()), normalize=True)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """N texts -> features [N,D] of length 1. What the model's context has no room for is cut off a text's end.

        DvaError when there are no texts.
        """
        if not texts:
            raise DvaError("CLIP was given no text; give it at least one.")
        return self.model.encode_text(self.tokenizer(texts).to(self.mean.device), normalize=True)

    def _prepared(self, pictures: Tensor) -> Tensor:
        side = self.model.visual.image_size
        height, width = (side, side) if isinstance(side, int) else side
        rows, columns = pictures.shape[-2:]
        # The shorter side becomes the model's, the longer one keeps the picture's proportions.
        is_wider = columns * height >= rows * width
        size = (height, columns * height // rows) if is_wider else (rows * width // columns, width)
        # Without anti-aliasing, because the published edits were made so: the torchvision of their time (0.13) had none
        # for tensors. Others find other directions for the same text.
        pictures = F.interpolate((pictures + 1) / 2, size, mode="bicubic", align_corners=False, antialias=False)
        top, left = round((size[0] - height) / 2), round((size[1] - width) / 2)
        return (pictures[..., top : top + height, left : left + width] - self.mean) / self.std


def load_clip(name: str | Path, checkpoint: str | Path, device: torch.device | str = "cpu") -> Clip:
    """The CLIP of an architecture and a file with its weights, both on this disk.

    `name` is an architecture of open_clip ("ViT-B-16", or "ViT-B/16") or the path of a config .json, either the model's
    alone or one with "model_cfg" and "preprocess_cfg" as on Hugging Face. Pictures are normalised by the config's mean
    and std; by those of the architecture where all its published weights share them; otherwise by OpenAI's.

    `checkpoint` is what open_clip publishes or writes (.safetensors, .bin, .pt), or an archive of OpenAI
    (ViT-B-16.pt). OpenAI trained with QuickGELU: an archive gets it under any name, but a file that open_clip made from
    one does not say so; name its architecture with "-quickgelu" ("ViT-B-16-quickgelu"). Files are told apart by what
    they hold; nothing in them is run.

    Raises DvaError when the architecture is unknown, its config is broken or needs files that are not on this disk, or
    the checkpoint is missing, damaged, no checkpoint, of another architecture, or asks for anything but tensors.
    """
    architecture = _architecture(name)
    weights = _weights(Path(checkpoint))
    from_openai = weights.keys() >= _OPENAI_MARKS
    clip = _built(architecture, quick_gelu=from_openai)
    if "positional_embedding" in weights and not hasattr(clip.model, "positional_embedding"):
        # The text tower used to be the model itself; in some architectures it became a part of it.
        weights = library("open_clip.model", _LIBRARIES_FOR).convert_to_custom_text_state_dict(weights)
    asked = {key: tensor for key, tensor in clip.model.state_dict().items() if key not in _TEMPERATURE}
    # Archives mix weights with tensors that are none, such as the marks and masks.
    found = {key: weights[key] for key in weights if key in asked or not (from_openai or key in _TEMPERATURE)}
    if misfit := _first_misfit(asked, found):
        raise DvaError(
            f"{checkpoint} holds the weights of another architecture than {architecture.name}: {misfit}; "
            f"name the architecture that the file was made for."
        )
    clip.model.load_state_dict(found, strict=False)
    return clip.to(device)


@dataclass(frozen=True)
class _Architecture:
    """A config of open_clip's kind, and the mean and std its pictures are normalised by."""

    name: str
    config: dict[str, Any]
    colours: dict[str, Any]


def _architecture(name: str | Path) -> _Architecture:
    open_clip = library("open_clip", _LIBRARIES_FOR)
    colours = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    if str(name).endswith(".json"):
        config, own = _model_and_preparing(Path(name))
        return _Architecture(str(name), config, colours | own)
    name = str(name).replace("/", "-")
    # Asked first, because open_clip would look for some other names on the net.
    if name not in open_clip.list_models():
        near = ", ".join(difflib.get_close_matches(name, open_clip.list_models(), cutoff=0))
        raise DvaError(
            f"open_clip knows no architecture {name!r}; name one that it knows, such as {near}, "
            f"or the path of a config .json."
        )
    published = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    shared = {(weights["mean"], weights["std"]) for weights in published if weights.get("mean")}
    if len(shared) == 1:
        colours["mean"], colours["std"] = shared.pop()
    return _Architecture(name, open_clip.get_model_config(name), colours)


def _model_and_preparing(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DvaError(f"The config {path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise DvaError(f"The config {path} is broken JSON ({error}); make or copy it again.") from error
    whole = found if isinstance(found, dict) else {}
    model, preparing = whole.get("model_cfg", whole), whole.get("preprocess_cfg", {})
    for field, kind in (("embed_dim", int), ("vision_cfg", dict), ("text_cfg", dict)):
        if not isinstance(model, dict) or not isinstance(preparing, dict) or not isinstance(model.get(field), kind):
            raise DvaError(f"The config {path} has no {field} as open_clip's have; give a model config of its kind.")
    return model, preparing


def _built(architecture: _Architecture, quick_gelu: bool) -> Clip:
    """The model with random weights: what open_clip's create_model and get_tokenizer do, without their downloads."""
    open_clip = library("open_clip", _LIBRARIES_FOR)
    config = dict(architecture.config)
    vision = config["vision_cfg"] | {"timm_model_pretrained": False}
    text = config["text_cfg"] | {"hf_model_pretrained": False}
    _refuse_what_is_elsewhere(architecture.name, vision, text)
    config |= {"vision_cfg": vision, "text_cfg": text} | ({"quick_gelu": True} if quick_gelu else {})
    kind = open_clip.CLIP
    if config.pop("custom_text", False) or "hf_model_name" in text:
        kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    try:
        context = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
        if folder := text.get("hf_tokenizer_name"):
            context |= {"tokenizer_mode": text.get("tokenizer_mode"), "local_files_only": True}
            tokenizer = open_clip.tokenizer.HFTokenizer(folder, **context)
        else:
            tokenizer = open_clip.SimpleTokenizer(**context)
        return Clip(kind(**config), tokenizer, architecture.colours["mean"], architecture.colours["std"])
    except Exception as error:  # a config can be wrong in any of a hundred places, each with an error of its own
        raise DvaError(
            f"open_clip cannot build {architecture.name} from its config "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]}); correct it, or install what it asks for."
        ) from error


def _refuse_what_is_elsewhere(name: str, vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    wanted = [text.get("hf_model_name"), text.get("hf_tokenizer_name")]
    absent = [str(folder) for folder in wanted if folder and not Path(str(folder)).is_dir()]
    if ":" in (timm := str(vision.get("timm_model_name"))):
        absent.append(timm)
    if absent:
        raise DvaError(
            f"{name} needs {absent[0]} from Hugging Face, which is no folder on this disk, and nothing is downloaded; "
            f"write the folder that holds it into a config .json, or take an architecture without it, such as ViT-B-16."
        )


def _weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DvaError(f"There is no file {path} to read CLIP's weights from.")
    try:
        found = _read(path)
    except PermissionError as error:
        raise DvaError(f"{path} cannot be read ({error.strerror}).") from error
    except pickle.UnpicklingError as error:
        raise DvaError(
            f"{path} asks for more than tensors, which could run any program, or is damaged, and was not loaded; "
            f"get it from a source you trust, as .safetensors if there is one."
        ) from error
    except Exception as error:  # damage can show itself anywhere in the three formats
        raise DvaError(f"{path} is damaged ({type(error).__name__}); make or copy it again.") from error
    if isinstance(found, dict):
        found = found.get("state_dict", found)  # what open_clip writes while it trains holds the optimizer as well
    by_name = isinstance(found, dict) and all(isinstance(k, str) and isinstance(t, Tensor) for k, t in found.items())
    if not by_name or not found:
        raise DvaError(
            f"{path} holds no weights by name but something else, such as a web page saved in their place; "
            f"give a checkpoint of open_clip or an archive of OpenAI."
        )
    return {key.removeprefix("module."): tensor for key, tensor in found.items()}


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        return load_file(path)
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            if any(entry.endswith("/constants.pkl") for entry in archive.namelist()):
                return torchscript_tensors(archive)
    pickled = start.startswith((b"PK", b"\x80"))  # zipped, or bare as before PyTorch 1.6
    return torch.load(path, map_location="cpu", weights_only=True) if pickled else None


def _first_misfit(asked: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    for key, tensor in asked.items():
        if key not in found:
            return f"the file has no {key}"
        if found[key].shape != tensor.shape:
            return f"{key} has the shape {list(found[key].shape)} in the file and {list(tensor.shape)} in the model"
    return next((f"the model has no {key}" for key in found if key not in asked), None)
