"""How close two sets of pictures are: SSIM, MS-SSIM, MSE and PSNR, one number per picture.

All take float pictures [N,C,H,W] with values in 0..1 and return float32 [N].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DvaError

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): 11 px Gaussian window of sigma 1.5, borders included.

    The window is padded with zeros, so that every pixel counts. Mean over channels and pixels.
    """
    luminance, contrast = _ssim_terms(a, b, padding=WINDOW // 2)
    return (luminance * contrast).mean(dim=(1, 2, 3))


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity (Wang et al. 2003), windows wholly inside the picture.

    The standard takes five scales, which needs pictures of at least 176 px. Smaller ones get the scales that
    the window fits (`ms_ssim_scales`), with their weights divided by their sum: such numbers compare with
    each other at one picture size, and not with five-scale numbers of larger pictures.
    """
    scales = ms_ssim_scales(min(a.shape[-2:]))
    if scales == 0:
        raise DvaError(f"MS-SSIM needs pictures of at least {WINDOW} x {WINDOW} px; these are {tuple(a.shape[-2:])}.")
    weights = torch.tensor(MS_SSIM_WEIGHTS[:scales], dtype=a.dtype, device=a.device)
    weights = weights / weights.sum()
    result = torch.ones(a.shape[:2], dtype=a.dtype, device=a.device)
    for scale, weight in enumerate(weights):
        luminance, contrast = _ssim_terms(a, b, padding=0)
        term = luminance * contrast if scale == scales - 1 else contrast
        # A negative mean has no real power; it means "nothing alike", which is 0.
        result = result * term.mean(dim=(2, 3)).clamp(min=0) ** weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return result.mean(dim=1)


def ms_ssim_scales(size: int) -> int:
    """How many of the five scales fit pictures whose shorter side is `size` px: 64 -> 3, 96 -> 4, 256 -> 5."""
    return sum(size >> scale >= WINDOW for scale in range(len(MS_SSIM_WEIGHTS)))


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error."""
    return (a - b).square().mean(dim=(1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite for equal pictures."""
    return -10 * torch.log10(mse(a, b))


def _ssim_terms(a: Tensor, b: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """The luminance term and the contrast-structure term at every pixel."""
    mean_a, mean_b = _blur(a, padding), _blur(b, padding)
    var_a = _blur(a * a, padding) - mean_a**2
    var_b = _blur(b * b, padding) - mean_b**2
    covariance = _blur(a * b, padding) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    contrast = (2 * covariance + C2) / (var_a + var_b + C2)
    return luminance, contrast


def _blur(x: Tensor, padding: int) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    kernel = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    x = F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), padding=(padding, 0), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), padding=(0, padding), groups=channels)
