"""SSIM, MSE and PSNR give the numbers of the reference implementation."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from dva_core.evaluation.reconstruction import mse, psnr, ssim

from .golden import load_json

TOLERANCE = 1e-5


def test_golden_metrics():
    golden = load_json("metrics_expected.json")
    pictures = FormulaPictures(golden["input"])
    for case in golden["cases"]:
        a, b = pictures(case["a"]), pictures(case["b"])
        assert ssim(a, b).tolist() == pytest.approx(case["ssim_per_image"], abs=TOLERANCE)
        assert mse(a, b).tolist() == pytest.approx(case["mse_per_image"], abs=TOLERANCE)
        assert psnr(a, b).tolist() == pytest.approx(case["psnr_per_image"], rel=TOLERANCE)


class FormulaPictures:
    """Makes the pictures that the file describes in words, e.g.

    "0.6*sin(0.05*i+0.9*c+n+phase)+0.4*cos(0.3*j*(c+1)+phase), n=2 images of 3x64x64, range [-1,1]; ..."
    """

    PATTERN = re.compile(
        r"=(?P<a>[\d.]+)\*sin\((?P<rows>[\d.]+)\*i\+(?P<channel>[\d.]+)\*c\+n\+phase\)"
        r"\+(?P<b>[\d.]+)\*cos\((?P<columns>[\d.]+)\*j\*\(c\+1\)\+phase\), "
        r"n=(?P<n>\d+) images of (?P<c>\d+)x(?P<h>\d+)x(?P<w>\d+)"
    )

    def __init__(self, description: str) -> None:
        self.numbers = {key: float(value) for key, value in self.PATTERN.search(description).groupdict().items()}

    def __call__(self, call: str) -> Tensor:
        k = self.numbers
        phase = float(re.search(r"phase=([-\d.]+)", call).group(1))
        sizes = [int(k[name]) for name in ("n", "c", "h", "w")]
        n, c, i, j = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) for s in sizes), indexing="ij")
        x = k["a"] * torch.sin(k["rows"] * i + k["channel"] * c + n + phase)
        x = x + k["b"] * torch.cos(k["columns"] * j * (c + 1) + phase)
        return ((x + 1) / 2).float()

