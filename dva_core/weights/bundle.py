"""One file = one model: its tensors in half precision, and in the header what it is and whence it came."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import tensorfile
from ..autoencoder import DiffusionVideoAutoencoder, ModelConfig
from ..errors import DvaError, first_line
from . import places
from .misfits import first_misfit
from .registry import PUBLISHED_BUNDLE

KIND = "a model bundle"
SHIPPED = Path(__file__).parent
SHIPPED_MODELS = ("demo",)
# How far the directions of attributes reach may be unknown, which is told by what is no number.
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
    path = bundle_file(name_or_path)
    header, tensors = tensorfile.read(path, KIND)
    if not isinstance(header.get("config"), dict):
        raise DvaError(f"{path} holds no model config; make the bundle again.")
    model = _unfilled(path, ModelConfig.from_json(header["config"]))
    misfit = first_misfit(model.state_dict(), tensors, unbounded=REACH)
    if misfit:
        raise DvaError(f"The tensors in {path} do not fit its own config ({misfit}); make the bundle again.")
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, assign=True)
    model.unet.to(dtype=dtype, memory_format=torch.channels_last)
    return model.to(device).eval().requires_grad_(False)


def about_model(name_or_path: str | Path = "demo") -> dict[str, Any]:
    """What a bundle says of itself: "config", "summary" of its training, "licence", "provenance"."""
    return tensorfile.read(bundle_file(name_or_path), KIND)[0]


def bundle_file(name_or_path: str | Path) -> Path:
    """Where the bundle of that name or path lies, as `load_model` looks for it. Raises DvaError when there is none."""
    if str(name_or_path) in SHIPPED_MODELS:
        return SHIPPED / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    # Unlike Path.is_file it does not fail where no file can have such a name.
    if os.path.isfile(path):
        return path
    try:
        found = places.bundle_path(str(name_or_path))
    except OSError as error:
        raise DvaError(f"There is no model {name_or_path!s:.80}… ({error.strerror}).") from error
    if found:
        return found
    if path.stem == PUBLISHED_BUNDLE:
        raise DvaError(places.how_to_get_published())
    raise DvaError(
        f"There is no model {name_or_path}; give the path of a bundle, the name of one in "
        f"{places.models_folder() / 'dva'}, or a shipped name ({', '.join(SHIPPED_MODELS)})."
    )


def _unfilled(path: Path, config: ModelConfig) -> DiffusionVideoAutoencoder:
    """The model of a bundle's config without memory for its weights, which are put in place at once."""
    try:
        with torch.device("meta"):
            return DiffusionVideoAutoencoder(config)
    except DvaError:
        raise
    except Exception as error:  # a config can be wrong in any of a hundred places, each with an error of its own
        raise DvaError(
            f"No model can be built from the config in {path} ({first_line(error)}); make the bundle again."
        ) from error
