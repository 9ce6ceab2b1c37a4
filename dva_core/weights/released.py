"""The published checkpoint of Kim et al. 2023, turned once into a bundle. Its numbers stay as they are.

Only the EMA weights are taken: the published code edits with no others. The checkpoint holds every feature stage of the
landmark net twice under different names, and a classifier of ImageNet classes that nothing uses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder, ModelConfig
from ..editing.attributes import CELEBA_ATTRIBUTES, AttributeDirections
from ..errors import DvaError
from ..unet import UNetConfig
from ..values import IDENTITY_FEATURES
from .bundle import REACH, in_half, write_bundle
from .checkpoint import container, read_state_dict
from .misfits import first_misfit

PUBLISHED = ModelConfig(
    name="diffusion-video-autoencoder",
    unet=UNetConfig(),
    identity={"kind": "arcface-ir-se50"},
    landmarks={"kind": "mobilenetv2-gdconv"},
    parser={"kind": "bisenet"},
    detector=None,
)
LICENCE = "code MIT; the licence of the weights is not stated, and they were trained on VoxCeleb1 (research data)"
PROVENANCE = "converted from the published checkpoint of Kim et al. 2023"

EMA, RAW = "ema_model.", "model."
ROOMS = {
    "encoder.idnet.": "identity.",
    "encoder.lndnet.": "landmarks.",
    "encoder.bgnet.": "parser.",
    "encoder.linear.": "head.",
    "": "unet.",
}
ALIASED = re.compile(r"encoder\.lndnet\.backbone\.pretrain_net\.features\.(.*)")
ALIAS_OF = "encoder.lndnet.backbone.base_net.0."
DEAD = "encoder.lndnet.backbone.pretrain_net.classifier."

# The raw classifier is the one that the published edits use; its EMA copy is only half way there.
CLASSIFIER = {
    "conds_mean": (1, IDENTITY_FEATURES),
    "conds_std": (1, IDENTITY_FEATURES),
    "classifier.weight": (len(CELEBA_ATTRIBUTES), IDENTITY_FEATURES),
    "classifier.bias": (len(CELEBA_ATTRIBUTES),),
}
CLASSIFIER_UNUSED = ("ema_classifier.weight", "ema_classifier.bias")


@dataclass(frozen=True)
class Conversion:
    """What became of the checkpoint's tensors, by their names there.

    `raw`: how many weights without EMA were passed over. `surprises`: sentences on what should not have been there.
    `half_error`: for the parts of the model, the root mean square error of half precision relative to the weights'
    own; empty in full precision.
    """

    loaded: tuple[str, ...]
    aliased: tuple[str, ...]
    dead: tuple[str, ...]
    raw: int
    surprises: tuple[str, ...]
    half_error: Mapping[str, float] = field(default_factory=dict)


def convert_released(
    checkpoint: str | Path, target: str | Path, classifier: str | Path | None = None, half: bool = False
) -> Conversion:
    """Writes the bundle of a published checkpoint, and with `classifier` of its attribute directions.

    `half` stores matrices and kernels in half precision. The checkpoint is mapped into memory and none of its code is
    run. Raises DvaError when a file cannot be read, lacks a weight or holds a wrong one; `target` is then left as it
    was.
    """
    if Path(target).is_dir():
        raise DvaError(f"{target} is a folder; give the name of the file to write, such as {target}/dva.safetensors.")
    state = _published(checkpoint)
    ema = {name.removeprefix(EMA): tensor for name, tensor in state.items() if name.startswith(EMA)}
    if not ema:
        raise DvaError(
            f"{checkpoint} holds no EMA weights (names that begin with {EMA}); give the published checkpoint of the "
            "video autoencoder."
        )
    tensors, aliased, dead = sort_weights(ema)
    with torch.device("meta"):
        expected = DiffusionVideoAutoencoder(PUBLISHED).state_dict()
    extra = sorted(tensors.keys() - expected.keys())
    surprises = [f"{len(extra)} unknown weights were left out, such as {extra[0]}."] if extra else []
    tensors = {name: tensor for name, tensor in tensors.items() if name in expected}
    table, bias = _directions(classifier)
    tensors |= {f"attributes.{name}": tensor for name, tensor in table.state_dict().items()}
    misfit = first_misfit(expected, tensors, unbounded=REACH)
    if misfit:
        raise DvaError(f"{checkpoint} is not the published model: {misfit}.")
    surprises += _altered_aliases(ema, aliased) + _other_tensors(state)
    tensors, errors = _halved(tensors) if half else (tensors, {})
    summary = {"steps": 1_000_000, "classifier_bias": bias, "half_precision": half}
    write_bundle(target, PUBLISHED, tensors, summary, LICENCE, PROVENANCE)
    loaded = tuple(sorted(ema.keys() - set(aliased) - set(dead)))
    raw = sum(name.startswith(RAW) for name in state)
    return Conversion(loaded, aliased, dead, raw, tuple(surprises), errors)


def sort_weights(ema: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """The weights under a bundle's names, and the checkpoint's names of aliased and of dead ones.

    ema: the checkpoint's EMA weights without their prefix.
    """
    aliased = tuple(name for name in ema if ALIASED.fullmatch(name))
    dead = tuple(name for name in ema if name.startswith(DEAD))
    kept = ema.keys() - set(aliased) - set(dead)
    return {_room(name): ema[name] for name in sorted(kept)}, aliased, dead


def _published(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file that must be made as the published ones are."""
    kind = container(path)
    if kind == "safetensors":
        raise DvaError(f"{path} is a safetensors file, not a PyTorch checkpoint; a bundle needs no conversion.")
    if kind == "pickle":
        raise DvaError(
            f"{path} is not a checkpoint of PyTorch 1.6 or newer (those are zip archives); fetch the published file."
        )
    return read_state_dict(path)


def _room(name: str) -> str:
    prefix = next(prefix for prefix in ROOMS if name.startswith(prefix))
    return ROOMS[prefix] + name.removeprefix(prefix)


def _altered_aliases(ema: Mapping[str, Tensor], aliased: tuple[str, ...]) -> list[str]:
    """The published numbers of an alias and of its original are the same; if not, the original counts."""
    originals = {name: ALIAS_OF + ALIASED.fullmatch(name)[1] for name in aliased}
    other = [name for name, original in originals.items() if not _same(ema[name], ema.get(original))]
    return [f"{len(other)} aliases differ from what they stand for, such as {other[0]}."] if other else []


def _same(tensor: Tensor, original: Tensor | None) -> bool:
    return original is not None and tensor.dtype == original.dtype and torch.equal(tensor, original)


def _other_tensors(state: Mapping[str, Tensor]) -> list[str]:
    other = sorted(name for name in state if not name.startswith((EMA, RAW)))
    return [f"{len(other)} tensors belong to no model and were left out, such as {other[0]}."] if other else []


def _directions(path: str | Path | None) -> tuple[AttributeDirections, list[float]]:
    """The classifier's attribute directions and its bias, which no edit uses; an untrained table without a file."""
    table = AttributeDirections()
    if path is None:
        return table, []
    state = _published(path)
    expected = {name: torch.empty(shape, device="meta") for name, shape in CLASSIFIER.items()}
    misfit = first_misfit(expected, {name: t for name, t in state.items() if name not in CLASSIFIER_UNUSED})
    if misfit:
        raise DvaError(f"{path} is not the published attribute classifier: {misfit}.")
    if not (state["conds_std"] > 0).all():
        raise DvaError(f"{path} is not the published attribute classifier: conds_std must be above 0.")
    table.weight.copy_(state["classifier.weight"])
    table.mean.copy_(rearrange(state["conds_mean"], "1 features -> features"))
    table.std.copy_(rearrange(state["conds_std"], "1 features -> features"))
    table.trained.fill_(True)
    return table, state["classifier.bias"].tolist()


def _halved(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The tensors as a bundle stores them in half precision, and the relative error that this makes in each room."""
    halved = {name: in_half(tensor) for name, tensor in tensors.items()}
    error: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for name, short in halved.items():
        if short.dtype != tensors[name].dtype:
            if not short.isfinite().all():
                raise DvaError(f"{name} holds numbers too large for half precision; convert in full precision.")
            room = name.partition(".")[0]
            error[room] += (short.float() - tensors[name]).square().sum().item()
            size[room] += tensors[name].square().sum().item()
    return halved, {room: (error[room] / size[room]) ** 0.5 for room in size if size[room]}
