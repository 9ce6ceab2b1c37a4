"""All that the pack wants of its host: devices, memory, progress, cancelling, folders. No other file imports comfy.*"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch

from ..dva_core.errors import DvaError
from ..dva_core.weights import places
from ..dva_core.weights.registry import PUBLISHED_BUNDLE

if TYPE_CHECKING:
    from torch import Tensor

    from ..dva_core.autoencoder import DiffusionVideoAutoencoder

MODEL_FOLDER = "dva"
LIBRARY_FOLDERS = (MODEL_FOLDER, "insightface", "facexlib", "facedetection")
BUILT_IN = "demo (built in)"
PUBLISHED = f"{PUBLISHED_BUNDLE}.safetensors"
PREVIEW_PIXELS = 256
# Working memory of the noise estimator, in bytes for each pixel and channel of its first layer: some forty feature maps
# of that size are alive at the widest place. Reckoned from the net, not measured on a GPU.
BYTES_PER_FEATURE = 4 * 40


class Keeper(torch.nn.Module):
    """Holds the model for the host, which writes notes such as `device` into the module that it moves."""

    def __init__(self, net: DiffusionVideoAutoencoder) -> None:
        super().__init__()
        self.net = net


@dataclass(frozen=True)
class HostedModel:
    """A model whose place, processor or accelerator, is the host's business."""

    patcher: Any

    def ready(self, frames: int = 8) -> DiffusionVideoAutoencoder:
        """The model on its computing device, with room for `frames` crops at once."""
        unet = self.patcher.model.net.config.unet
        pixels = (unet.image_size // unet.unshuffle) ** 2
        needed = frames * pixels * unet.model_channels * BYTES_PER_FEATURE
        management.load_models_gpu([self.patcher], memory_required=needed)
        return self.patcher.model.net


# --- models ---


def register_model_folder() -> None:
    """Makes models/dva, and what extra_model_paths.yaml adds to it, known to the host."""
    folder_paths.add_model_folder_path(MODEL_FOLDER, os.path.join(folder_paths.models_dir, MODEL_FOLDER))


def model_names() -> list[str]:
    """What the loader offers: the built-in model, the published one, then the other bundles in models/dva."""
    files = folder_paths.get_filename_list(MODEL_FOLDER)
    others = (name for name in files if name.lower().endswith(".safetensors") and name != PUBLISHED)
    return [BUILT_IN, PUBLISHED, *others]


def model_path(name: str) -> str:
    """What `dva_core.load_model` takes for one of `model_names`; DvaError when it is gone."""
    if name == BUILT_IN:
        return "demo"
    # Where `dva convert` writes need not be one of the host's folders.
    path = folder_paths.get_full_path(MODEL_FOLDER, name) or places.bundle_path(name, weight_folders())
    if path is None and name == PUBLISHED:
        raise DvaError(places.how_to_get_published(weight_folders()))
    if path is None:
        raise DvaError(
            f"There is no model {name} in models/{MODEL_FOLDER}; put the bundle there and press R to refresh."
        )
    return str(path)


def weight_folders() -> tuple[Path, ...]:
    """Where weight files of others are looked for first, each laid out like the host's own models folder.

    What extra_model_paths.yaml or another pack adds under the names of our folder and of the libraries' counts too.
    """
    known = folder_paths.folder_names_and_paths
    added = (Path(path).parent for name in LIBRARY_FOLDERS if name in known for path in known[name][0])
    return tuple(dict.fromkeys([Path(folder_paths.models_dir), *added]))


def model_stamp(name: str) -> str:
    """Changes when the bundle does."""
    if name == BUILT_IN:
        return name
    try:
        about = os.stat(model_path(name))
    except DvaError:  # whoever runs it will be told
        return name
    return f"{about.st_mtime_ns} {about.st_size}"


def host_model(path: str, precision: str, on_cpu: bool) -> HostedModel:
    """Loads a bundle and hands it to the host."""
    from ..dva_core.weights.bundle import load_model

    # Weights made in inference mode could never take part in a computation with gradients.
    with torch.inference_mode(False):
        net = load_model(path, dtype=getattr(torch, precision))
    patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    device = torch.device("cpu") if on_cpu else management.get_torch_device()
    offload = torch.device("cpu") if on_cpu else management.unet_offload_device()
    patcher = patcher_class(Keeper(net), load_device=device, offload_device=offload)
    return HostedModel(patcher)


def computing_device() -> torch.device:
    """Where the host computes."""
    return management.get_torch_device()


# --- progress ---


def watched(previews: Callable[[Tensor], Any] | None = None, frames: int = 1) -> dict[str, Callable]:
    """`progress`, `cancelled` and, where pictures are made, `preview` for one call into the engine.

    `previews` turns pictures [n,3,S,S] into a PIL image. `frames` is the total where a stage does not know it.
    """
    bar = comfy.utils.ProgressBar(1)
    place = [0, 1]

    def progress(stage: str, done: int, total: int) -> None:
        place[:] = done, total or frames
        bar.update_absolute(*place)

    def preview(pictures: Tensor) -> None:
        bar.update_absolute(*place, ("JPEG", previews(pictures), PREVIEW_PIXELS))

    options = {"progress": progress, "cancelled": cancelled}
    return options if previews is None else options | {"preview": preview}


def cancelled() -> bool:
    """Raises the host's own interruption when the user pressed cancel."""
    management.throw_exception_if_processing_interrupted()
    return False


def on_output_device(images: Tensor) -> Tensor:
    """Images on the device and in the precision in which the host keeps them between nodes."""
    dtype = getattr(management, "intermediate_dtype", lambda: torch.float32)()
    return images.to(management.intermediate_device(), dtype)


# --- folders of the user ---


def output_folder() -> Path:
    """Where results are written."""
    return Path(folder_paths.get_output_directory())


def input_folder() -> Path:
    """Where users put their files."""
    return Path(folder_paths.get_input_directory())


def annotated_path(name: str) -> Path:
    """The path of 'name' in the input folder, or of 'name [output]'; ValueError when it would lie outside."""
    return Path(folder_paths.get_annotated_filepath(name))
