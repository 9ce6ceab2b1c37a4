"""The solvers side by side, over a small U-Net and over noise whose right answers are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dva_core import DvaError
from dva_core.diffusion import SOLVERS, ddim, decode, invert, linear_alpha_bar
from dva_core.unet import UNet, UNetConfig

CONFIG = UNetConfig(
    image_size=16, model_channels=16, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(8,),
    embed_channels=16, cond_channels=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def net(dtype: torch.dtype = torch.float32) -> UNet:
    """A U-Net whose zero layers are not zero, so that it names something that depends on everything."""
    torch.manual_seed(0)
    unet = UNet(CONFIG).eval().requires_grad_(False)
    for parameter in unet.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.05)
    return unet.to(dtype)


def conditioned(unet: UNet, face: float):
    return lambda x, t: unet(x, t, torch.full((1, 8), face)).float()


def curved(x: Tensor, t: Tensor) -> Tensor:
    """The right answer where every clean value is -0.5 or 0.5, each as likely, give or take 0.3."""
    alpha_bar = linear_alpha_bar().float()[t][:, None, None, None]
    spread = 0.09 * alpha_bar + 1 - alpha_bar
    likely = 0.5 * (0.5 * alpha_bar.sqrt() * x / spread).tanh()
    x0 = likely + 0.09 * alpha_bar.sqrt() / spread * (x - alpha_bar.sqrt() * likely)
    return (x - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()


def there_and_back(eps, pictures: Tensor, solver: str, steps: int) -> Tensor:
    return decode(eps, *invert(eps, pictures, solver, steps), solver, steps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps", [5, 10, 20, 50])
def test_with_its_residuals_the_source_comes_back_to_the_last_bit(pictures, steps, dtype):
    again = there_and_back(conditioned(net(dtype), 1.0), pictures, "residual", steps)
    assert torch.equal(again, pictures)


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_o_belm_gives_the_source_back_to_rounding_error(pictures, steps):
    assert (there_and_back(curved, pictures, "o_belm", steps) - pictures).square().mean() < 1e-8


@pytest.mark.parametrize("solver", SOLVERS)
def test_another_condition_gives_another_picture(pictures, solver):
    unet = net()
    inverted = invert(conditioned(unet, 1.0), pictures, solver, 10)
    edited = decode(conditioned(unet, -1.0), *inverted, solver, 10)
    assert (edited - pictures).abs().mean() > 0.01


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_costs_and_stores_what_it_says(pictures, solver):
    asked, told = [], []

    def eps(x: Tensor, t: Tensor) -> Tensor:
        asked.append(len(x))
        return 0.1 * x

    price = SOLVERS[solver]
    x_T, stored = invert(eps, pictures, solver, 10, on_step=lambda *step: told.append(step))
    assert len(asked) == price.to_invert(10) and stored.shape == (2, price.stored(10), 3, 16, 16)
    assert told == [(done, len(asked)) for done in range(1, len(asked) + 1)]
    asked.clear(), told.clear()
    decode(eps, x_T, stored, solver, 10, on_step=lambda *step: told.append(step))
    assert len(asked) == price.to_decode(10)
    assert told == [(done, len(asked)) for done in range(1, len(asked) + 1)]


def test_one_edit_costs_at_most_one_evaluation_more_than_ddim_there_and_back():
    price = SOLVERS["residual"]
    assert price.to_invert(10) + price.to_decode(10) == 2 * 10 + 1


def test_without_its_residuals_the_solver_is_ddim(pictures):
    unet = net()
    eps, other = conditioned(unet, 1.0), conditioned(unet, -1.0)
    inverted = invert(eps, pictures, "residual", 10)
    assert torch.equal(inverted[0], ddim.invert(eps, pictures, 10))
    plain = decode(other, *inverted, "residual", 10, correct=lambda step: step.moved)
    assert torch.equal(plain, ddim.decode(other, inverted[0], 10))


def test_a_residual_is_what_a_step_back_misses_of_the_source(pictures):
    seen = []

    def correct(step):
        seen.append(step)
        return step.source

    eps = conditioned(net(), 1.0)
    decode(eps, *invert(eps, pictures, "residual", 5), "residual", 5, correct=correct)
    assert torch.equal(seen[-1].source, pictures) and seen[-1].alpha_bar == 1.0
    for step in seen:
        assert torch.equal(step.moved, step.source_moved) and torch.equal(step.estimate, step.source_estimate)
        assert torch.equal(step.residual, step.source - step.moved) and step.residual.any()


def test_stored_in_half_the_source_still_comes_back_nearly(pictures):
    x_T, stored = invert(curved, pictures, "residual", 10)
    again = decode(curved, x_T, stored.half(), "residual", 10)
    assert 1e-10 < (again - pictures).square().mean() < 1e-5


@pytest.mark.parametrize("steps", [5, 20])
def test_fixed_points_come_nearer_than_ddim(pictures, steps):
    errors = {
        solver: (there_and_back(curved, pictures, solver, steps) - pictures).square().mean()
        for solver in ("ddim", "fixed_point")
    }
    assert errors["fixed_point"] < 0.1 * errors["ddim"]


def test_o_belm_follows_a_walk_whose_noise_grows_with_the_noise_level(pictures):
    # Scaled by 1 / sqrt(alpha_bar), such a walk is a parabola: its two-step rule is exact there, and DDIM's is not.
    def sloped(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = linear_alpha_bar().float()[t][:, None, None, None]
        return (0.002 * (1 / alpha_bar - 1).sqrt()).expand_as(x)

    *_, before, last = (a**0.5 * (pictures + 0.001 * (1 / a - 1)) for a in ddim.levels(10))
    error = (decode(sloped, last, before[:, None], "o_belm", 10) - pictures).abs().max()
    assert error < 1e-3 < 0.1 * (ddim.decode(sloped, last, 10) - pictures).abs().max()


@pytest.mark.parametrize(
    "solver, steps, message",
    [("euler", 10, "no solver 'euler'"), ("residual", 300, "cannot be spread"), ("o_belm", 1, "cannot be spread")],
)
def test_what_cannot_be_solved_is_refused(pictures, solver, steps, message):
    with pytest.raises(DvaError, match=message):
        invert(lambda x, t: x, pictures, solver, steps)


@pytest.mark.parametrize("solver, steps", [("residual", 20), ("ddim", 10), ("o_belm", 10)])
def test_maps_of_another_solver_or_number_of_steps_are_refused(pictures, solver, steps):
    x_T, stored = invert(lambda x, t: 0.1 * x, pictures, "residual", 10)
    with pytest.raises(DvaError, match="solver and steps that inverted"):
        decode(lambda x, t: x, x_T, stored, solver, steps)
