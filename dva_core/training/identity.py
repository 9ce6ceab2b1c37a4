"""Trains the identity net: tell the training people apart, and keep every attribute one straight direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders.identity import IDENTITY_FEATURES, IdentityNet
from .data import spoil
from .fitting import Fitting, Watch, fit
from .rendered import FaceSet, pictures_to_crops


@dataclass(frozen=True)
class IdentityTraining:
    """`margin` and `scale` of the softmax; `attribute_weight` of the attributes' loss against it."""

    fitting: Fitting = Fitting(steps=900, batch_size=96, rate=3e-3, weight_decay=0.01)
    width: int = 64
    margin: float = 0.15
    scale: float = 24.0
    attribute_weight: float = 4.0


def train_identity(
    faces: FaceSet, config: IdentityTraining = IdentityTraining(), device: str = "cpu", watch: Watch = Watch()
) -> IdentityNet:
    """A margin softmax over the people of `faces` (CosFace, Wang et al. 2018, Eq. 4) and a linear yes/no per attribute.

    Siblings (one attribute toggled) are people of their own; the linear attribute losses make what they differ in the
    same direction of z_id for everybody, which is what an edit moves along.
    """
    torch.manual_seed(config.fitting.seed)
    net = IdentityNet(config.width)
    centers = nn.Embedding(len(faces.attributes), IDENTITY_FEATURES)
    probe = nn.Linear(IDENTITY_FEATURES, len(faces.attribute_names))
    modules = nn.ModuleList([net, centers, probe]).to(device=device, memory_format=torch.channels_last)
    attributes = torch.as_tensor(np.asarray(faces.attributes), dtype=torch.float32, device=device)

    def loss_of(rows: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        who = torch.as_tensor(np.asarray(faces.person[rows]), device=device)
        z_id = net(spoil(pictures_to_crops(faces.pictures[rows]).to(device), generator))
        cosines = z_id @ F.normalize(centers.weight, dim=1).T
        logits = config.scale * (cosines - config.margin * F.one_hot(who, len(centers.weight)))
        # features of unit length have entries of about 0.04: scaled up, the probe learns at the pace of the rest
        answers = probe(z_id * IDENTITY_FEATURES**0.5)
        return {
            "people": F.cross_entropy(logits, who),
            "attributes": config.attribute_weight * F.binary_cross_entropy_with_logits(answers, attributes[who]),
        }

    fit(modules, loss_of, len(faces.pictures), config.fitting, "train identity", watch)
    return net
