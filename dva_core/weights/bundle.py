"""One file = one model: its tensors in half precision, and in the header what it is and whence it came."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import tensorfile
from ..autoencoder import DiffusionVideoAutoencoder, ModelConfig
from ..errors import DvaError
from . import places
from .registry import PUBLISHED_BUNDLE

KIND = "a model bundle"
SHIPPED = Path(__file__).parent
REACH = ("attributes.midpoint", "attributes.half_distance", "attributes.strength")


def save_bundle(
    model: DiffusionVideoAutoencoder,
    path: str | Path,
    summary: Mapping[str, Any],
    licence: str,
    provenance: str = "trained with dva_core",
) -> None:
    """Writes a model with its training summary (JSON-able), licence and provenance, whole or not at all."""
    tensors = {name: in_half(tensor) for name, tensor in model.state_dict().items()}
    write_bundle(path, model.config, tensors, summary, licence, provenance)


def write_bundle(
    path: str | Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    summary: Mapping[str, Any],
    licence: str,
    provenance: str,
) -> None:
    """Writes a model's tensors as they are, under the names that `DiffusionVideoAutoencoder(config)` gives them."""
    header = {"config": config.to_json(), "summary": dict(summary), "licence": licence, "provenance": provenance}
    tensorfile.write(path, KIND, header, tensors)


def in_half(tensor: Tensor) -> Tensor:
    """Matrices and kernels in half precision; vectors cost little, and some (variances, biases) need more."""
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor


def load_model(
    name_or_path: str | Path = "demo", device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DiffusionVideoAutoencoder:
    """The model of a bundle, ready to use: in evaluation mode, without gradients, on `device`.

    A name means a bundle that comes with the package ("demo") or lies in the dva folder of a models folder. `dtype` is
    the precision of the noise estimator, where time and memory go; the small nets stay float32. DvaError when there is
    no such bundle or its parts do not fit.
    """
    path = _bundle_path(name_or_path)
    header, tensors = tensorfile.read(path, KIND)
    if not isinstance(header.get("config"), dict):
        raise DvaError(f"{path} holds no model config; make the bundle again.")
    # Weights that are replaced at once need no memory, and no minute to be drawn by chance.
    with torch.device("meta"):
        model = DiffusionVideoAutoencoder(ModelConfig.from_json(header["config"]))
    misfit = first_misfit(model.state_dict(), tensors)
    if misfit:
        raise DvaError(f"The tensors in {path} do not fit its own config ({misfit}); make the bundle again.")
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, assign=True)
    model.unet.to(dtype=dtype, memory_format=torch.channels_last)
    return model.to(device).eval().requires_grad_(False)


def first_misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What is wrong with tensors that should have these names, shapes and kinds, in a few words; "" when they fit.

    Half precision will do for float32. Where numbers are expected they must be finite, but for the reach of attribute
    directions, which may be unknown.
    """
    for name, wanted in expected.items():
        tensor = found.get(name)
        if tensor is None:
            missing = len(expected.keys() - found.keys())
            return f"{name} is missing" + (f", and {missing - 1} others" if missing > 1 else "")
        if tensor.shape != wanted.shape:
            return f"{name} is {list(tensor.shape)}, not {list(wanted.shape)}"
        if tensor.dtype != wanted.dtype and (tensor.dtype, wanted.dtype) != (torch.float16, torch.float32):
            return f"{name} is {_plain(tensor.dtype)}, not {_plain(wanted.dtype)}"
        if tensor.is_floating_point() and name not in REACH and not tensor.isfinite().all():
            return f"{name} holds numbers that are not finite"
    unknown = sorted(found.keys() - expected.keys())
    return f"{unknown[0]} is not part of the model" if unknown else ""


def about_model(name_or_path: str | Path = "demo") -> dict[str, Any]:
    """What a bundle says of itself: "config", "summary" of its training, "licence", "provenance"."""
    return tensorfile.read(_bundle_path(name_or_path), KIND)[0]


def _bundle_path(name_or_path: str | Path) -> Path:
    shipped = SHIPPED / f"{name_or_path}.safetensors"
    if shipped.parent == SHIPPED and shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if path.is_file():
        return path
    if found := places.bundle_path(str(name_or_path)):
        return found
    if path.stem == PUBLISHED_BUNDLE:
        raise DvaError(places.how_to_get_published())
    names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
    raise DvaError(
        f"There is no model {name_or_path}; give the path of a bundle, the name of one in "
        f"{places.models_folder() / 'dva'}, or a shipped name ({names})."
    )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
