"""Masks of face parts, wider, narrower and softer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dva_core.encoders import PARSING_CLASSES
from dva_core.errors import DvaError
from dva_core.faces.masks import CLASSES, edit_mask, feathered, grown, select_classes, steadied

SIZE = 33


def disc(radius: float) -> Tensor:
    at = torch.arange(SIZE) - SIZE // 2
    return (at[:, None].float().hypot(at[None].float()) <= radius).float()[None, None]


def column(*names: str) -> Tensor:
    """A parsing [1,N,1] with a class in each row."""
    return torch.tensor([CLASSES.index(name) for name in names])[None, :, None]


# --- classes ---


def test_the_classes_are_the_nineteen_of_celebamask():
    assert len(set(CLASSES)) == PARSING_CLASSES
    assert [CLASSES.index(name) for name in ("background", "skin", "nose", "neck", "clothes", "hair", "hat")] == [
        0, 1, 10, 14, 16, 17, 18,
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_named_classes_are_selected(dtype):
    parsing = torch.arange(19, dtype=dtype).expand(2, 19, 19)
    mask = select_classes(parsing, ["hair", "upper lip", "lower lip"])
    assert mask.shape == (2, 1, 19, 19) and mask.dtype == torch.float32
    assert mask[1, 0, 5].nonzero()[:, 0].tolist() == [12, 13, 17]
    assert not select_classes(parsing, []).any()


def test_unknown_classes_are_told():
    with pytest.raises(DvaError, match="no face part 'beard'; choose among background, skin"):
        select_classes(column("skin"), ["hair", "beard"])


# --- where an edit acts ---


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("skin", "skin", 1), ("hair", "background", 1), ("background", "hair", 1), ("clothes", "neck", 1),
        ("background", "background", 0), ("clothes", "background", 0),
        ("background", "hat", 1), ("hat", "background", 1), ("clothes", "hat", 1), ("hat", "hair", 1),
        ("hat", "hat", 0),
    ],
)  # fmt: skip
def test_an_edit_acts_on_either_head_and_where_a_hat_comes_or_goes(before, after, changes):
    assert edit_mask(column(before), column(after)).tolist() == [[[[changes]]]]


# --- size ---


@pytest.mark.parametrize("pixels", [0, 1, 2.5, 7])
def test_a_disc_grows_and_shrinks_by_its_radius(pixels):
    for change in (pixels, -pixels):
        found, radius = grown(disc(8), change), 8 + change
        at_least, at_most = (radius - 1, radius) if change > 0 else (radius, radius + 1)
        assert (found >= disc(at_least)).all() and (found <= disc(at_most)).all()
    assert torch.equal(grown(disc(0), pixels), disc(pixels))


def test_each_mask_grows_by_itself():
    masks = torch.cat([disc(3), torch.zeros(1, 1, SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE)])
    for pixels in (4, -2):
        found = grown(masks, pixels)
        assert found.shape == masks.shape and found.dtype == torch.float32
        assert torch.equal(found[0], grown(disc(3), pixels)[0])
        assert torch.equal(found[1:], masks[1:])


def test_a_mask_that_goes_on_beyond_the_crop_does_not_shrink_from_its_border():
    half = torch.zeros(1, 1, SIZE, SIZE)
    half[..., :20] = 1
    found = grown(half, -5)
    assert (found[..., :15] == 1).all() and (found[..., 15:] == 0).all()


# --- softness ---


def test_a_feathered_mask_falls_smoothly_inside_its_border():
    soft = feathered(disc(12), 6)[0, 0, SIZE // 2, SIZE // 2 :]
    assert (soft[:6] == 1).all() and (soft[13:] == 0).all()
    assert (soft.diff() <= 0).all() and soft.diff().abs().max() < 0.3
    assert 0 < soft[12] < 0.05


def test_the_crops_border_is_softened_too_and_nothing_is_raised():
    weak = torch.full((1, 1, SIZE, SIZE), 0.5)
    soft = feathered(weak, 8)
    assert (soft[0, 0, 16, 8:-8] == 0.5).all() and soft[0, 0, 16, 0] < 0.02
    assert (soft <= weak).all()


def test_no_feather_no_change():
    assert torch.equal(feathered(disc(8), 0), disc(8))


def test_a_parser_that_changes_its_mind_for_a_frame_is_not_followed():
    mask = torch.ones(9, 1, 4, 4)
    mask[4] = 0
    steady = steadied(mask, np.ones(9, bool))
    assert steady.min() > 0.5
    assert (steady[1:] - steady[:-1]).abs().max() < 0.35  # from 1
    assert torch.equal(steadied(torch.ones(9, 1, 4, 4), np.ones(9, bool)), torch.ones(9, 1, 4, 4))


def test_masks_are_smoothed_in_runs_of_neighbouring_frames_only():
    valid = np.array([True, True, True, False, True, True, True])
    mask = torch.cat([torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)])
    assert torch.equal(steadied(mask, valid), mask)
