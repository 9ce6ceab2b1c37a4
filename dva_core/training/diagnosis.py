"""Does the net listen to its condition? A quick look on people it was not trained on.

A net that ignores the condition reconstructs well (the noise map holds everything) and edits nothing, so that its loss
says little. Telling it another person's identity must make its estimate of the clean face clearly worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ..diffusion.ddim import decode, invert
from .batches import face_masks
from .objectives import estimated_x0, noisy
from .rendered import FaceSet, pictures_to_crops

LOOKS = (50, 200, 400, 600, 800, 950)


@dataclass(frozen=True)
class Diagnosis:
    """Mean squared errors of the x_0 estimate inside the head (pictures in 0..1) at the noise levels `t`, with the
    right condition, another person's identity, and another picture's landmarks; the standard deviation of inverted
    x_T (1.0 when all is well) and the error of the 20-step reconstruction."""

    t: tuple[int, ...]
    right: list[float]
    wrong_identity: list[float]
    wrong_landmarks: list[float]
    x_T_std: float
    reconstruction_mse: float


@torch.no_grad()
def diagnose(net, faces: FaceSet, conditions) -> tuple[Diagnosis, Tensor]:
    """Diagnoses the net on all pictures of `faces` (a few dozen). Returns also a picture [3,H,W] in 0..1: the sources,
    their 20-step reconstructions, and decodings of the same noise maps with the next person's identity."""
    training = net.training
    net.eval()
    device = next(net.parameters()).device
    x0, mask = pictures_to_crops(faces.pictures).to(device), face_masks(faces.parsing).to(device)
    z_id, z_lnd = conditions.clip_mean.to(device), conditions.z_lnd.to(device)
    views = int((faces.person == faces.person[0]).sum())
    right = torch.cat([z_id, z_lnd], 1)
    other_person = torch.cat([z_id.roll(views, 0), z_lnd], 1)
    other_pose = torch.cat([z_id, z_lnd.roll(1, 0)], 1)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)).to(device)
    errors = {name: [] for name in ("right", "wrong_identity", "wrong_landmarks")}
    for t in LOOKS:
        steps = torch.full((len(x0),), t, device=device)
        x_t = noisy(x0, steps, noise)
        for name, codes in zip(errors, (right, other_person, other_pose), strict=True):
            estimate = estimated_x0(x_t, steps, net(x_t, steps, codes)).clamp(-1, 1)
            errors[name].append(float((((estimate - x0) / 2) ** 2 * mask).sum() / (3 * mask.sum())))
    some = slice(0, len(x0), views)
    x_T = invert(lambda x, t: net(x, t, right[some]), x0[some], 20)
    again = decode(lambda x, t: net(x, t, right[some]), x_T, 20)
    swapped = decode(lambda x, t: net(x, t, other_person[some]), x_T, 20)
    net.train(training)
    grid = rearrange(torch.stack([x0[some], again, swapped]), "row n c h w -> c (row h) (n w)")
    mse = float((((again - x0[some]) / 2) ** 2).mean())
    found = Diagnosis(LOOKS, **errors, x_T_std=float(x_T.std()), reconstruction_mse=mse)
    return found, (grid + 1).div(2).clamp(0, 1).cpu()
