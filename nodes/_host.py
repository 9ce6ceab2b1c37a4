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
from ..dva_core.weights.registry import PUBLISHED_BUNDLE, weight

if TYPE_CHECKING:
    from torch import Tensor

    from ..dva_core.autoencoder import DiffusionVideoAutoencoder
    from ..dva_core.encoders.clip import Clip

MODEL_FOLDER = "dva"
BUILT_IN = "demo (built in)"
PUBLISHED = f"{PUBLISHED_BUNDLE}.safetensors"
# Where the host keeps text encoders; models/clip is one of these too.
CLIP_FOLDER = "text_encoders"
LIBRARY_FOLDERS = (MODEL_FOLDER, "insightface", "facexlib", "facedetection", CLIP_FOLDER)
CLIP_ENDINGS = (".safetensors", ".pt", ".bin")
PUBLISHED_CLIP = "openclip-vit-b-16-openai"
PREVIEW_PIXELS = 256
# Working memory of the noise estimator, in bytes for each pixel and channel of its first layer: some forty feature maps
# of that size are alive at the widest place. Reckoned from the net, not measured on a GPU.
BYTES_PER_FEATURE = 4 * 40
# A search for a text edit keeps what gradients need: reckoned as so many times that, and not measured either.
FOR_GRADIENTS = 8


class Keeper(torch.nn.Module):
    """Holds a net for the host, which writes notes such as `device` into the module that it moves."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net


@dataclass(frozen=True)
class HostedModel:
    """A model whose place, processor or accelerator, is the host's business."""

    patcher: Any

    def ready(self, frames: int = 8) -> DiffusionVideoAutoencoder:
        """The model on its computing device, with room for `frames` crops at once."""
        management.load_models_gpu([self.patcher], memory_required=self.memory(frames))
        return self.patcher.model.net

    def memory(self, frames: int) -> int:
        """Bytes that the noise estimator works in, for `frames` crops at once."""
        unet = self.patcher.model.net.config.unet
        pixels = (unet.image_size // unet.unshuffle) ** 2
        return frames * pixels * unet.model_channels * BYTES_PER_FEATURE


@dataclass(frozen=True)
class HostedClip:
    """A CLIP whose place is the host's business."""

    patcher: Any


def ready_for_search(model: HostedModel, clip: HostedClip, pictures: int) -> tuple[DiffusionVideoAutoencoder, Clip]:
    """Both on their one computing device, with room for `pictures` and their gradients at once."""
    if model.patcher.load_device != clip.patcher.load_device:
        raise DvaError("The model and the CLIP are to work together; set 'device' of both loaders to the same.")
    needed = model.memory(pictures) * FOR_GRADIENTS
    # Weights that are moved in inference mode could take no part in a computation with gradients.
    with torch.inference_mode(False):
        management.load_models_gpu([model.patcher, clip.patcher], memory_required=needed)
    return model.patcher.model.net, clip.patcher.model.net


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


def clip_names() -> list[str]:
    """What the loader offers: the built-in CLIP, the published one, then other files that may be one."""
    published = Path(weight(PUBLISHED_CLIP).place).name
    names = folder_paths.get_filename_list(CLIP_FOLDER)
    # Models of our own are no CLIP, and are the safetensors of our folder.
    own = (name for name in folder_paths.get_filename_list(MODEL_FOLDER) if not name.endswith(".safetensors"))
    others = (name for name in [*names, *own] if name.lower().endswith(CLIP_ENDINGS) and name != published)
    return list(dict.fromkeys([BUILT_IN, published, *others]))


def clip_path(name: str) -> Path | None:
    """The file behind one of `clip_names`, None for the built-in one; DvaError when it is not there."""
    if name == BUILT_IN:
        return None
    if name == Path(weight(PUBLISHED_CLIP).place).name:
        return places.require(PUBLISHED_CLIP, weight_folders(), "This CLIP")
    found = (folder_paths.get_full_path(folder, name) for folder in (CLIP_FOLDER, MODEL_FOLDER))
    path = next((Path(each) for each in found if each), None)
    if path is None:
        raise DvaError(f"There is no CLIP {name} in models/clip; put the file there and press R to refresh.")
    return path


def weight_folders() -> tuple[Path, ...]:
    """Where weight files of others are looked for first, each laid out like the host's own models folder.

    What extra_model_paths.yaml or another pack adds under the names of our folder and of the libraries' counts too.
    """
    known = folder_paths.folder_names_and_paths
    added = (Path(path).parent for name in LIBRARY_FOLDERS if name in known for path in known[name][0])
    return tuple(dict.fromkeys([Path(folder_paths.models_dir), *added]))


def model_stamp(name: str) -> str:
    """Changes when the bundle does."""
    return _stamp(name, model_path)


def clip_stamp(name: str) -> str:
    """Changes when the CLIP's file does."""
    return _stamp(name, clip_path)


def host_model(path: str, precision: str, on_cpu: bool) -> HostedModel:
    """Loads a bundle and hands it to the host."""
    from ..dva_core.weights.bundle import load_model

    # Weights made in inference mode could never take part in a computation with gradients.
    with torch.inference_mode(False):
        net = load_model(path, dtype=getattr(torch, precision))
    return HostedModel(_patcher(net, on_cpu))


def host_clip(path: Path | None, architecture: str, on_cpu: bool) -> HostedClip:
    """Loads a CLIP, the built-in one for None, and hands it to the host."""
    from ..dva_core.encoders.clip import load_clip
    from ..dva_core.weights.demo_clip import load_demo_clip

    # As for models: the pictures that it looks at need gradients.
    with torch.inference_mode(False):
        if path is None:
            net = load_demo_clip("cpu")
        else:
            beside = path.parent / architecture
            net = load_clip(beside if beside.suffix == ".json" and beside.is_file() else architecture, path)
    return HostedClip(_patcher(net, on_cpu))


def computing_device() -> torch.device:
    """Where the host computes."""
    return management.get_torch_device()


def _stamp(name: str, path_of: Callable[[str], str | Path | None]) -> str:
    if name == BUILT_IN:
        return name
    try:
        about = os.stat(path_of(name))
    except DvaError:  # whoever runs it will be told
        return name
    return f"{about.st_mtime_ns} {about.st_size}"


def _patcher(net: torch.nn.Module, on_cpu: bool) -> Any:
    patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    device = torch.device("cpu") if on_cpu else management.get_torch_device()
    offload = torch.device("cpu") if on_cpu else management.unet_offload_device()
    return patcher_class(Keeper(net), load_device=device, offload_device=offload)


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
