"""Colours of edited crops brought back to those of their source."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dva_core.errors import DvaError
from dva_core.faces.colour import match_colours

SIZE = 24


def clip(seed: int = 0, frames: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(frames, 3, SIZE, SIZE, generator=generator).clamp(-2, 2)


def drifted(crops: Tensor) -> Tensor:
    """Another gain and offset in each channel."""
    gain, offset = torch.tensor([0.7, 1.1, 0.9]), torch.tensor([0.1, -0.2, 0.05])
    return crops * gain[:, None, None] + offset[:, None, None]


def middle(frames: int = 4) -> Tensor:
    mask = torch.zeros(frames, 1, SIZE, SIZE)
    mask[..., 6:18, 6:18] = 1
    return mask


def test_a_drift_of_gain_and_offset_is_undone():
    source = clip()
    torch.testing.assert_close(match_colours(drifted(source), source, middle(), 1.0), source, atol=1e-5, rtol=0)


def test_other_pictures_get_the_sources_mean_and_deviation_in_every_channel():
    source, edited, inside = drifted(clip(1)), clip(2), (..., slice(6, 18), slice(6, 18))
    found = match_colours(edited, source, middle(), 1.0)[inside]
    for mine, wanted in ((found.mean((0, 2, 3)), source[inside].mean((0, 2, 3))),
                         (found.std((2, 3)).mean(0), source[inside].std((2, 3)).mean(0))):  # fmt: skip
        torch.testing.assert_close(mine, wanted, atol=1e-3, rtol=0)


def test_only_the_masked_pixels_are_measured():
    source, edited = clip(), drifted(clip())
    outside = middle().expand_as(edited) == 0
    edited = torch.where(outside, torch.rand(edited.shape), edited)
    found = match_colours(edited, source, middle(), 1.0)
    torch.testing.assert_close(found[~outside], source[~outside], atol=1e-5, rtol=0)


def test_all_frames_get_the_same_change_so_that_nothing_flickers():
    source, mask = clip(), middle()
    edited = drifted(source)
    source[2] += 0.3  # a flash in the source alone
    mask[3] = 0  # and a frame with nothing to measure
    ramp = torch.linspace(-0.2, 0.2, SIZE).expand(3, SIZE, SIZE)
    edited[:, :, :2] = ramp[:, :2]
    found = match_colours(edited, source, mask, 1.0)[:, :, :2]
    torch.testing.assert_close(found, found[:1].expand_as(found))


def test_amount_blends_from_the_edited_crops_themselves():
    source = clip()
    edited = drifted(source)
    assert match_colours(edited, source, middle(), 0.0) is edited
    half = match_colours(edited, source, middle(), 0.5)
    torch.testing.assert_close(half, (edited + source) / 2, atol=1e-5, rtol=0)


def test_an_empty_mask_changes_nothing():
    edited = drifted(clip())
    assert match_colours(edited, clip(), torch.zeros(4, 1, SIZE, SIZE), 1.0) is edited


def test_flat_colours_are_moved_but_not_stretched_and_stay_in_range():
    flat, source = torch.full((2, 3, SIZE, SIZE), 0.2), clip(frames=2) + 0.9
    flat[..., 0, 0] = 0.3  # outside the mask
    found = match_colours(flat, source, middle(2), 1.0)
    assert found.max() <= 1
    assert found[..., 10, 10].mean() == pytest.approx(0.9, abs=0.05)
    torch.testing.assert_close(found[..., 0, 0] - found[..., 10, 10], torch.full((2, 3), 0.1), atol=0.06, rtol=0)


def test_shapes_that_do_not_fit_are_told():
    for edited, source, mask in ((clip(frames=3), clip(), middle()), (clip(), clip(), middle(1))):
        with pytest.raises(DvaError, match="do not fit together"):
            match_colours(edited, source, mask, 1.0)
