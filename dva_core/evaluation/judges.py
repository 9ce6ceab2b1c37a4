"""The independent eyes of the evaluation: nets of other seeds than the model's own, never used to make an edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import tensorfile
from ..encoders import AttributeClassifierNet, IdentityNet, build_encoder

DEFAULT_JUDGES = Path(__file__).with_name("judges.safetensors")


@dataclass(frozen=True)
class Judges:
    """An identity net, and a classifier of attributes trained on pictures."""

    identity: IdentityNet
    attributes: AttributeClassifierNet

    @torch.no_grad()
    def identity_features(self, crops: Tensor) -> Tensor:
        """Crops [T,3,S,S] in -1..1 -> unit features [T,512], on the CPU."""
        return _batched(self.identity, crops)

    @torch.no_grad()
    def answers(self, crops: Tensor) -> dict[str, bool]:
        """What a clip [T,3,S,S] shows: attribute name -> whether its mean logit over the frames is above 0."""
        logits = _batched(self.attributes, crops).mean(dim=0)
        return {name: bool(logit > 0) for name, logit in zip(self.attributes.attributes, logits, strict=True)}

    @torch.no_grad()
    def scores(self, crops: Tensor) -> dict[str, float]:
        """How surely a clip [T,3,S,S] shows each attribute, 0..1: the mean over the frames of the logit's sigmoid."""
        sure = _batched(self.attributes, crops).sigmoid().mean(dim=0)
        return dict(zip(self.attributes.attributes, sure.tolist(), strict=True))


def save_judges(judges: Judges, path: str | Path) -> None:
    """Writes both nets to one safetensors file, in half precision."""
    nets = {"identity": judges.identity, "attributes": judges.attributes}
    tensors = {
        f"{part}.{name}": tensor.half() if tensor.is_floating_point() else tensor
        for part, net in nets.items()
        for name, tensor in net.state_dict().items()
    }
    tensorfile.write(path, "Judges", {part: net.config for part, net in nets.items()}, tensors)


def load_judges(path: str | Path = DEFAULT_JUDGES, device: str | torch.device = "cpu") -> Judges:
    """Reads what `save_judges` wrote. Raises DvaError when the file is missing, damaged or something else."""
    configs, tensors = tensorfile.read(path, "Judges")
    return Judges(*(_restored(configs[part], tensors, f"{part}.").to(device) for part in ("identity", "attributes")))


def _restored(config: dict, tensors: dict[str, Tensor], prefix: str) -> nn.Module:
    net = build_encoder(config)
    net.load_state_dict({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    return net.eval().requires_grad_(False)


def _batched(net: nn.Module, crops: Tensor, batch_size: int = 64) -> Tensor:
    device = next(net.parameters()).device
    return torch.cat([net(part.to(device)).float().cpu() for part in crops.split(batch_size)])
