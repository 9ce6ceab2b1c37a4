"""The solvers in their default convention, over noise estimators whose right answers are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dva_core.diffusion import linear_alpha_bar, spaced_timesteps
from dva_core.diffusion.ddim import decode, invert
from dva_core.errors import Cancelled, DvaError

PICTURE = torch.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)


def constant_noise(x: Tensor, t: Tensor) -> Tensor:
    return torch.full_like(x, 0.3)


def ideal_noise(x: Tensor, t: Tensor) -> Tensor:
    """The optimal estimate where every clean pixel is an independent normal of deviation 0.5."""
    alpha_bar = linear_alpha_bar().float()[t][:, None, None, None]
    return (1 - alpha_bar).sqrt() * x / (alpha_bar * 0.25 + 1 - alpha_bar)


def test_decoding_undoes_inversion_where_the_noise_is_constant():
    x_T = invert(constant_noise, PICTURE, steps=10)
    assert torch.allclose(decode(constant_noise, x_T, steps=10), PICTURE, atol=1e-4)


def test_inversion_lands_on_the_level_of_the_last_step():
    alpha_bar = linear_alpha_bar()[spaced_timesteps(10)[-1]].float()
    expected = alpha_bar.sqrt() * PICTURE + (1 - alpha_bar).sqrt() * 0.3
    assert torch.allclose(invert(constant_noise, PICTURE, steps=10), expected, atol=1e-5)


def test_more_steps_rebuild_more_exactly():
    errors = []
    for steps in (10, 50, 250):
        rebuilt = decode(ideal_noise, invert(ideal_noise, PICTURE * 0.9, steps), steps)
        errors.append((rebuilt - PICTURE * 0.9).abs().max())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_noise_maps_of_an_ideal_net_are_standard_normal():
    torch.manual_seed(0)
    pictures = 0.5 * torch.randn(4, 3, 32, 32)
    assert invert(ideal_noise, pictures, steps=250).std() == pytest.approx(1.0, abs=0.03)


def test_only_the_finished_picture_is_clamped():
    seen = []

    def spy(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    assert decode(spy, torch.ones(1, 3, 2, 2), steps=5).max() == 1.0
    assert seen[-1].max() > 1.0


@pytest.mark.parametrize("faithful, inverting", [(False, 10), (True, 9)])
def test_evaluations_and_progress_agree(faithful, inverting):
    for solver, expected in ((invert, inverting), (decode, 10)):
        asked, told = [], []

        def count(x: Tensor, t: Tensor, asked: list[int] = asked) -> Tensor:
            asked.append(int(t[0]))
            return torch.zeros_like(x)

        solver(count, PICTURE, 10, faithful=faithful, on_step=lambda *step, told=told: told.append(step))
        assert len(asked) == expected
        assert told == [(done, expected) for done in range(1, expected + 1)]
        assert asked == sorted(asked, reverse=solver is decode)


def test_a_walk_can_be_cancelled():
    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        invert(constant_noise, PICTURE, 10, on_step=stop)


def test_impossible_step_counts_name_the_nearest_possible_ones():
    with pytest.raises(DvaError, match="48 or 50"):
        spaced_timesteps(49)
    with pytest.raises(DvaError, match="use 2 instead"):
        decode(constant_noise, PICTURE, steps=1)
    with pytest.raises(DvaError, match="use 1000 instead"):
        spaced_timesteps(2000)


def test_inputs_are_left_alone():
    before = PICTURE.clone()
    invert(constant_noise, PICTURE, 10)
    decode(constant_noise, PICTURE, 10)
    assert torch.equal(PICTURE, before)
