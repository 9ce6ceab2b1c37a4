"""The training losses are those of the reference implementation."""

from __future__ import annotations

import pytest
import torch

from dva_core.diffusion import linear_alpha_bar
from dva_core.training.objectives import dva_loss, estimated_x0, noisy

from .golden import load_json, load_tensors
from .golden_unet import golden_unet

TOLERANCE = 1e-4

golden = load_tensors("train_small.safetensors")
# A picture estimate is off by the noise's error times this much.
noise_per_signal = (1 / linear_alpha_bar()[golden["in.t"]] - 1).sqrt().clamp(min=1).float()


def test_golden_losses():
    with torch.no_grad():
        loss = dva_loss(
            golden_unet(),
            golden["in.x0"],
            golden["in.t"],
            golden["in.cond"],
            golden["in.mask"],
            (golden["in.noise1"], golden["in.noise2"]),
        )
    assert torch.allclose(loss.simple, golden["out.simple"], atol=TOLERANCE)
    assert ((loss.reg - golden["out.reg"]).abs() < TOLERANCE * noise_per_signal).all()
    total = load_json("unet_small.json")["train_total_loss"]
    assert loss.total.item() == pytest.approx(total, abs=TOLERANCE * noise_per_signal.max().item())


def test_golden_noisy_picture():
    assert torch.allclose(noisy(golden["in.x0"], golden["in.t"], golden["in.noise1"]), golden["out.x_t1"], atol=1e-5)


@pytest.mark.parametrize("which", ["1", "2"])
def test_golden_picture_estimates(which):
    x_t = noisy(golden["in.x0"], golden["in.t"], golden[f"in.noise{which}"])
    with torch.no_grad():
        named = golden_unet()(x_t, golden["in.t"], golden["in.cond"])
    masked = estimated_x0(x_t, golden["in.t"], named) * golden["in.mask"]
    error = (masked - golden[f"out.x0_hat{which}_masked"]).abs()
    assert (error < TOLERANCE * noise_per_signal[:, None, None, None]).all()
