"""What the noise estimator is told of each training picture: identity features and landmark codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..encoders.landmarks import FIRST_INNER_LANDMARK
from .rendered import FaceSet, pictures_to_crops

LANDMARK_NOISE = 0.002
"""Spread added to the true landmarks, in fractions of the crop: about the error of a landmark net."""


@dataclass(frozen=True)
class Conditions:
    """z_id float32 [N,512] of length 1; clip_mean float32 [N,512], its mean over the person's pictures; z_lnd float32
    [N,102] in fractions of the crop.

    The paper trains on the first identity and uses the second; trained on either, half and half, the net knows both.
    """

    z_id: Tensor
    clip_mean: Tensor
    z_lnd: Tensor

    @property
    def landmark_scaling(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each landmark coordinate [102]: unscaled, they are nearly constant."""
        return self.z_lnd.mean(0), self.z_lnd.std(0)


def conditions_of(identity_net: nn.Module, faces: FaceSet, batch_size: int = 200) -> Conditions:
    """Encodes all pictures of a set; landmarks are the renderer's, blurred by `LANDMARK_NOISE`."""
    z_id = encode_pictures(identity_net, faces.pictures, batch_size)
    people = torch.from_numpy(faces.person)
    count = torch.bincount(people).clamp_min(1)
    mean = torch.zeros(len(count), z_id.shape[1]).index_add_(0, people, z_id) / count[:, None]
    noise = np.random.default_rng([6, len(people)]).normal(0, LANDMARK_NOISE, (len(people), 68, 2))
    z_lnd = (faces.landmarks + noise)[:, FIRST_INNER_LANDMARK:].reshape(len(people), -1)
    return Conditions(z_id, mean[people], torch.from_numpy(z_lnd.astype(np.float32)))


@torch.no_grad()
def encode_pictures(net: nn.Module, pictures: np.ndarray, batch_size: int = 200) -> Tensor:
    """Runs a net over uint8 pictures [N,S,S,3]; its outputs on the CPU, joined."""
    device = next(net.parameters()).device
    starts = range(0, len(pictures), batch_size)
    return torch.cat([net(pictures_to_crops(pictures[i : i + batch_size]).to(device)).cpu() for i in starts])
