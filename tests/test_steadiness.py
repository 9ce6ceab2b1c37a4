"""The report that tells whether an edit is steady."""

from __future__ import annotations

import pytest
import torch

from dva_core.errors import DvaError
from dva_core.evaluation.steadiness import measure_steadiness, plot_steadiness


@pytest.fixture(scope="module")
def crops():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 3, 8, 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")


def test_an_unchanged_clip_is_as_steady_as_itself(crops):
    found = measure_steadiness(crops, crops)
    assert (found.tl_id, found.tg_id, found.ssim) == pytest.approx((1, 1, 1))
    assert found.psnr == 100


def test_flicker_shows(crops):
    flickering = crops.clone()
    flickering[::2] = flickering[::2].flip(3) * 0.5
    still = crops[:1].expand(6, -1, -1, -1)
    found = measure_steadiness(still, torch.cat([still[:3], flickering[3:]]))
    assert found.tl_id < 0.99 and found.tg_id < 0.99


def test_one_frame_has_no_steadiness_over_time(crops):
    found = measure_steadiness(crops[:1], crops[:1])
    assert found.tl_id is None and "two frames" in found.text
    assert plot_steadiness(found).shape == (320, 720, 3)


def test_both_lines_are_drawn(crops):
    picture = plot_steadiness(measure_steadiness(crops, crops.flip(3)))
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert {(110, 116, 130), (214, 84, 40)} <= colours


def test_clips_of_different_length_are_refused(crops):
    with pytest.raises(DvaError, match="same frames"):
        measure_steadiness(crops, crops[:2])
