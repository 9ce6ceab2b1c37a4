"""SSIM, MS-SSIM, MSE and PSNR behave as their definitions say (their numbers: test_golden_metrics)."""

from __future__ import annotations

import pytest
import torch

from dva_core.errors import DvaError
from dva_core.evaluation.reconstruction import ms_ssim, ms_ssim_scales, mse, psnr, ssim


@pytest.fixture
def pictures() -> torch.Tensor:
    smooth = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(smooth, size=(64, 64), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_equal_pictures_score_one(metric, pictures):
    assert torch.allclose(metric(pictures, pictures), torch.ones(3))


@pytest.mark.parametrize("metric", [ssim, ms_ssim, psnr])
def test_more_noise_scores_lower(metric, pictures):
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2))
    little, much = (metric(pictures, pictures + amount * noise) for amount in (0.02, 0.2))
    assert (little > much).all()


def test_each_picture_has_its_own_number(pictures):
    other = pictures.clone()
    other[1] += 0.1
    assert mse(pictures, other).tolist() == pytest.approx([0, 0.01, 0], abs=1e-7)
    assert psnr(pictures, other)[1].item() == pytest.approx(20, abs=1e-3)


def test_ms_ssim_takes_the_scales_that_fit():
    assert [ms_ssim_scales(size) for size in (11, 64, 96, 128, 176, 256, 512)] == [1, 3, 4, 4, 5, 5, 5]


def test_ms_ssim_sees_coarse_errors_that_one_scale_forgives(pictures):
    # A wash over half the picture: structure inside each small window is kept.
    washed = pictures.clone()
    washed[..., 32:] = washed[..., 32:] * 0.7 + 0.15
    assert (ms_ssim(pictures, washed) < 1).all()
    assert torch.isfinite(ms_ssim(pictures, 1 - pictures)).all()


def test_pictures_smaller_than_the_window_are_refused():
    with pytest.raises(DvaError, match="11 x 11"):
        ms_ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
