"""The training losses, on estimators whose answers are known."""

from __future__ import annotations

import pytest
import torch

from dva_core.diffusion import linear_alpha_bar
from dva_core.training.objectives import dva_loss, estimated_x0, noisy

torch.manual_seed(0)
X0 = torch.rand(3, 3, 8, 8) * 2 - 1
T = torch.tensor([10, 400, 900])
COND = torch.randn(3, 4)
NOISES = (torch.randn_like(X0), torch.randn_like(X0))
FACE = torch.ones(3, 1, 8, 8)


def knows_everything(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
    return torch.cat(NOISES)


def names_nothing(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x)


def test_a_perfect_estimator_loses_nothing():
    loss = dva_loss(knows_everything, X0, T, COND, FACE, NOISES)
    assert loss.simple.max() == 0
    assert loss.reg.max() < 1e-4


def test_the_simple_loss_is_the_sum_over_both_noises():
    loss = dva_loss(names_nothing, X0, T, COND, FACE, NOISES)
    expected = NOISES[0].abs().mean(dim=(1, 2, 3)) + NOISES[1].abs().mean(dim=(1, 2, 3))
    assert torch.allclose(loss.simple, expected)


def test_velocity_weighting_is_the_error_of_the_velocity():
    alpha_bar = linear_alpha_bar().float()[T][:, None, None, None]
    expected = 0
    for noise in NOISES:
        velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * X0
        # Noise 0 stands for this velocity: eps = sqrt(alpha_bar) v + sqrt(1 - alpha_bar) x.
        named = -(1 - alpha_bar).sqrt() / alpha_bar.sqrt() * noisy(X0, T, noise)
        expected = expected + (velocity - named).abs().mean(dim=(1, 2, 3))
    loss = dva_loss(names_nothing, X0, T, COND, FACE, NOISES, weighting="velocity")
    assert torch.allclose(loss.simple, expected, rtol=1e-4)


def test_disagreement_counts_on_the_face_only():
    half = FACE.clone()
    half[..., :4] = 0
    whole, right = (dva_loss(names_nothing, X0, T, COND, mask, NOISES).reg for mask in (FACE, half))
    assert dva_loss(names_nothing, X0, T, COND, 0 * FACE, NOISES).reg.max() == 0
    assert ((right > 0) & (right < whole)).all()


def test_the_condition_of_a_picture_goes_with_both_noises():
    def repeats_condition(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        assert torch.equal(cond, torch.cat([COND, COND])) and torch.equal(t, torch.cat([T, T]))
        return cond[:, :1, None, None].expand_as(x)

    expected = sum((COND[:, :1, None, None] - noise).abs().mean(dim=(1, 2, 3)) for noise in NOISES)
    assert torch.allclose(dva_loss(repeats_condition, X0, T, COND, FACE, NOISES).simple, expected)


@pytest.mark.parametrize("t", [0, 500, 999])
def test_the_picture_is_recovered_from_its_true_noise(t):
    steps = torch.full((3,), t)
    estimate = estimated_x0(noisy(X0, steps, NOISES[0]), steps, NOISES[0])
    assert torch.allclose(estimate, X0, atol=2e-3)


def test_total_is_the_mean_over_pictures():
    loss = dva_loss(names_nothing, X0, T, COND, FACE, NOISES)
    assert loss.total.item() == pytest.approx(loss.simple.mean().item() + loss.reg.mean().item(), rel=1e-5)
