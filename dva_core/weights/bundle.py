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

KIND = "a model bundle"
SHIPPED = Path(__file__).parent


def save_bundle(
    model: DiffusionVideoAutoencoder,
    path: str | Path,
    summary: Mapping[str, Any],
    licence: str,
    provenance: str = "trained with dva_core",
) -> None:
    """Writes a model with its training summary (JSON-able), licence and provenance, whole or not at all."""
    header = {
        "config": model.config.to_json(),
        "summary": dict(summary),
        "licence": licence,
        "provenance": provenance,
    }
    tensorfile.write(path, KIND, header, {name: _stored(t) for name, t in model.state_dict().items()})


def load_model(
    name_or_path: str | Path = "demo", device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DiffusionVideoAutoencoder:
    """The model of a bundle, ready to use: in evaluation mode, without gradients, on `device`.

    A name means a bundle that comes with the package ("demo"). `dtype` is the precision of the noise
    estimator, where time and memory go; the small nets stay float32. DvaError when there is no such bundle or
    its parts do not fit.
    """
    path = _bundle_path(name_or_path)
    header, tensors = tensorfile.read(path, KIND)
    if not isinstance(header.get("config"), dict):
        raise DvaError(f"{path} holds no model config; make the bundle again.")
    model = DiffusionVideoAutoencoder(ModelConfig.from_json(header["config"]))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise DvaError(f"The tensors in {path} do not fit its own config ({first}); make the bundle again.") from error
    model.unet.to(dtype)
    return model.to(device).eval().requires_grad_(False)


def about_model(name_or_path: str | Path = "demo") -> dict[str, Any]:
    """What a bundle says of itself: "config", "summary" of its training, "licence", "provenance"."""
    return tensorfile.read(_bundle_path(name_or_path), KIND)[0]


def _bundle_path(name_or_path: str | Path) -> Path:
    shipped = SHIPPED / f"{name_or_path}.safetensors"
    if shipped.parent == SHIPPED and shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise DvaError(f"There is no model {name_or_path}; give the path of a bundle, or a shipped name ({names}).")
    return path


def _stored(tensor: Tensor) -> Tensor:
    """Matrices and kernels in half precision; vectors cost little, and some (variances, biases) need more."""
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
