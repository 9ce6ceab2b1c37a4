"""Faithful DDIM walks through the states of the reference implementation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dva_core.diffusion.ddim import decode, invert

from .golden import load_tensors
from .golden_unet import golden_unet

MAX_TOLERANCE = 1e-3
MEAN_TOLERANCE = 1e-4

golden = load_tensors("ddim_small.safetensors")
STEPS = sorted({int(key.split(".")[0][1:]) for key in golden if key.startswith("T")})


class Recorder:
    """A noise estimator that keeps every state it is asked about."""

    def __init__(self, cond: Tensor) -> None:
        self.unet = golden_unet()
        self.cond = cond
        self.seen: list[Tensor] = []

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.seen.append(x)
        return self.unet(x, t, self.cond)


def states(solver: Callable[..., Tensor], start: Tensor, steps: int, cond: Tensor, clamp: bool = True) -> Tensor:
    """All states after the start, the last included."""
    eps = Recorder(cond)
    last = solver(eps, start, steps, faithful=True, clamp=clamp)
    return torch.cat([*eps.seen[1:], last])


def assert_close(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape
    difference = (ours - expected).abs()
    assert difference.max() < MAX_TOLERANCE
    assert difference.mean() < MEAN_TOLERANCE


@pytest.mark.parametrize("steps", STEPS)
def test_golden_inversion(steps):
    assert_close(states(invert, golden["in.x0"], steps, golden["in.cond"]), golden[f"T{steps}.inverted"])


@pytest.mark.parametrize("steps", STEPS)
def test_golden_reconstruction(steps):
    x_T = golden[f"T{steps}.inverted"][-1:]
    assert_close(states(decode, x_T, steps, golden["in.cond"]), golden[f"T{steps}.reconstructed"])


@pytest.mark.parametrize("steps", STEPS)
def test_golden_edit(steps):
    x_T = golden[f"T{steps}.inverted"][-1:]
    assert_close(states(decode, x_T, steps, golden["in.cond_edit"])[-1:], golden[f"T{steps}.edited_final"])


@pytest.mark.parametrize("steps", STEPS)
def test_golden_without_clamping(steps):
    inverted = states(invert, golden["in.x0"], steps, golden["in.cond"], clamp=False)[-1:]
    assert_close(inverted, golden[f"T{steps}.noclip_inverted_final"])
    decoded = states(decode, inverted, steps, golden["in.cond"], clamp=False)[-1:]
    assert_close(decoded, golden[f"T{steps}.noclip_reconstructed_final"])
