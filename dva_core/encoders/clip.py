"""What a picture shows and what a text says, in one space: CLIP (Radford et al. 2021), read from files on this disk.

The text edits of Kim et al. 2023 (section 3.3) compare directions in this space. Nothing here opens a connection: an
architecture is a name that open_clip knows or a config of its kind, weights and tokenizers are local.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DvaError, first_line
from ..libraries import library
from ..weights.checkpoint import container, read_state_dict
from ..weights.misfits import first_misfit
from .torchscript import torchscript_tensors

_LIBRARIES_FOR = "CLIP's features of pictures and texts"

# Only OpenAI's own archives hold these beside the weights.
_OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}
# What CLIP is trained with to weigh similarities; features do not need it.
_TEMPERATURE = {"logit_scale", "logit_bias"}
# What a config may ask of its tokenizer. The rest goes on to transformers, where some settings run a folder's Python.
_TOKENIZER_SETTINGS = {"clean", "strip_sep_token", "language", "reduction_mask"}


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

    Raises DvaError when the architecture is unknown, its config is broken, needs files that are not on this disk or
    would run code, or the checkpoint is missing, damaged, no checkpoint, of another architecture, or asks for anything
    but tensors.
    """
    architecture = _architecture(name)
    weights = _weights(Path(checkpoint))
    from_openai = weights.keys() >= _OPENAI_MARKS
    # Held against the file before memory is spent. It is then made once more, because a model in meta memory lacks the
    # masks that no file holds.
    with torch.device("meta"):
        outline = _built(architecture, from_openai)
    if "positional_embedding" in weights and not hasattr(outline, "positional_embedding"):
        # The text tower used to be the model itself; in some architectures it became a part of it.
        weights = library("open_clip.model", _LIBRARIES_FOR).convert_to_custom_text_state_dict(weights)
    asked = {key: tensor for key, tensor in outline.state_dict().items() if key not in _TEMPERATURE}
    # Archives mix weights with tensors that are none, such as the marks and masks.
    found = {key: weights[key] for key in weights if key in asked or not (from_openai or key in _TEMPERATURE)}
    if misfit := first_misfit(asked, found):
        raise DvaError(
            f"{checkpoint} does not hold the weights of {architecture.name} ({misfit}); name the architecture that the "
            f"file was made for."
        )
    model = _built(architecture, from_openai)
    model.load_state_dict(found, strict=False)
    return Clip(model, _tokenizer(architecture), architecture.mean, architecture.std).to(device)


@dataclass(frozen=True)
class _Architecture:
    """A config of open_clip's kind without downloads, and the mean and std [3] its pictures are normalised by."""

    name: str
    config: dict[str, Any]
    mean: Sequence[float]
    std: Sequence[float]


def _architecture(name: str | Path) -> _Architecture:
    open_clip = library("open_clip", _LIBRARIES_FOR)
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    if str(name).endswith(".json"):
        config, own = _model_and_preparing(Path(name))
        return _checked(_Architecture(str(name), config, own.get("mean", mean), own.get("std", std)))
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
        mean, std = shared.pop()
    return _checked(_Architecture(name, open_clip.get_model_config(name), mean, std))


def _model_and_preparing(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    found = _json(path)
    whole = found if isinstance(found, dict) else {}
    model, preparing = whole.get("model_cfg", whole), whole.get("preprocess_cfg", {})
    for field, kind in (("embed_dim", int), ("vision_cfg", dict), ("text_cfg", dict)):
        if not isinstance(model, dict) or not isinstance(preparing, dict) or not isinstance(model.get(field), kind):
            raise DvaError(f"The config {path} has no {field} as open_clip's have; give a model config of its kind.")
    return model, preparing


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DvaError(f"The config {path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise DvaError(f"The config {path} is broken JSON ({first_line(error)}); make or copy it again.") from error


def _checked(architecture: _Architecture) -> _Architecture:
    """The architecture with nothing to download, if it needs nothing that is elsewhere, runs no code and can see."""
    name, config = architecture.name, architecture.config
    vision = config["vision_cfg"] | {"timm_model_pretrained": False}
    text = config["text_cfg"] | {"hf_model_pretrained": False}
    folders = [str(folder) for folder in (text.get("hf_model_name"), text.get("hf_tokenizer_name")) if folder]
    absent = [folder for folder in folders if not Path(folder).is_dir()]
    if ":" in (timm := str(vision.get("timm_model_name"))):
        absent.append(timm)
    if absent:
        raise DvaError(
            f"{name} needs {absent[0]} from Hugging Face, which is no folder on this disk, and nothing is downloaded; "
            f"write the folder that holds it into a config .json, or take an architecture without it, such as ViT-B-16."
        )
    _refuse_code(name, text, folders)
    for colours in (architecture.mean, architecture.std):
        if not _is_colour(colours):
            raise DvaError(f"The config {name} normalises pictures by {colours!r:.80}, which are not three numbers.")
    if min(architecture.std) <= 0:
        raise DvaError(f"The config {name} divides pictures by {architecture.std!r:.80}; std must be above 0.")
    return replace(architecture, config=config | {"vision_cfg": vision, "text_cfg": text})


def _refuse_code(name: str, text: Mapping[str, Any], folders: Sequence[str]) -> None:
    settings = text.get("tokenizer_kwargs", {})
    foreign = sorted(set(settings) - _TOKENIZER_SETTINGS) if isinstance(settings, dict) else ["no settings"]
    if foreign:
        raise DvaError(
            f"{name} gives its tokenizer {foreign[0]!r:.80}, and nothing but {', '.join(sorted(_TOKENIZER_SETTINGS))} "
            f"is passed on, because other settings can run code; take it out of tokenizer_kwargs."
        )
    for path in (Path(folder, file) for folder in folders for file in ("config.json", "tokenizer_config.json")):
        # transformers would ask at the keyboard whether to run it; for a tower it cannot be told not to.
        if path.is_file() and "auto_map" in str(_json(path)):
            raise DvaError(f"{path} asks for Python code that comes with it (auto_map), and none is run; use another.")


def _is_colour(numbers: Any) -> bool:
    plain = isinstance(numbers, (list, tuple)) and all(type(number) in (int, float) for number in numbers)
    return plain and len(numbers) == 3 and all(math.isfinite(number) for number in numbers)


def _built(architecture: _Architecture, quick_gelu: bool) -> nn.Module:
    """The model with random weights: what open_clip's create_model does, without its downloads."""
    open_clip = library("open_clip", _LIBRARIES_FOR)
    config = architecture.config | ({"quick_gelu": True} if quick_gelu else {})
    kind = open_clip.CLIP
    if config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]:
        kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    with _told(architecture.name):
        return kind(**config)


def _tokenizer(architecture: _Architecture) -> Callable[..., Tensor]:
    """What open_clip's get_tokenizer gives, without its downloads."""
    tokenizers = library("open_clip.tokenizer", _LIBRARIES_FOR)
    text = architecture.config["text_cfg"]
    settings = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
    with _told(architecture.name):
        if folder := text.get("hf_tokenizer_name"):
            settings |= {"tokenizer_mode": text.get("tokenizer_mode")}
            return tokenizers.HFTokenizer(folder, **settings, local_files_only=True, trust_remote_code=False)
        return tokenizers.SimpleTokenizer(**settings)


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a config can be wrong in any of a hundred places, each with an error of its own
        raise DvaError(
            f"open_clip cannot build {name} from its config ({type(error).__name__}: {first_line(error)}); correct it, "
            f"or install what it asks for."
        ) from error


def _weights(path: Path) -> dict[str, Tensor]:
    return torchscript_tensors(path) if container(path) == "torchscript" else read_state_dict(path, strip="module.")
