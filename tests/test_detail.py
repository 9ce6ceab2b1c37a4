"""Detail comes back where an edit changes nothing, and only there."""

from __future__ import annotations

import pytest
import torch

from dva_core.editing.detail import change_mask, with_detail


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A source with fine detail, its soft decode, and a decode with a bright square put on."""
    generator = torch.Generator().manual_seed(0)
    unedited = torch.full((2, 3, 64, 64), -0.2)
    source = unedited + 0.1 * torch.randn(unedited.shape, generator=generator)
    edited = unedited.clone()
    edited[:, :, 20:36, 20:36] = 0.7
    return source, unedited, edited


def test_without_a_change_the_source_comes_back_exactly(pictures):
    source, unedited, _ = pictures
    assert torch.equal(with_detail(source, unedited, unedited), source)


def test_far_from_the_change_the_source_is_kept(pictures):
    source, unedited, edited = pictures
    result = with_detail(source, unedited, edited)
    assert torch.equal(result[:, :, 48:], source[:, :, 48:])


def test_what_the_edit_puts_on_shows_no_ghost_of_the_source(pictures):
    source, unedited, edited = pictures
    result = with_detail(source, unedited, edited)
    ghost = (result - edited)[:, :, 23:33, 23:33]
    assert ghost.std() < 0.01 < (source - unedited)[:, :, 23:33, 23:33].std()


def test_a_decode_that_came_out_too_dark_is_corrected_under_the_change_too(pictures):
    _, unedited, edited = pictures
    result = with_detail(unedited + 0.2, unedited, edited)
    assert torch.allclose(result[:, :, 24:32, 24:32], edited[:, :, 24:32, 24:32] + 0.2, atol=0.03)


def test_the_change_has_soft_edges(pictures):
    _, unedited, edited = pictures
    mask = change_mask(unedited, edited)
    assert mask.min() == 0 and mask.max() > 0.999
    assert (mask[..., 1:] - mask[..., :-1]).abs().max() < 0.5


def test_differences_too_faint_to_see_are_not_changes(pictures):
    _, unedited, _ = pictures
    assert change_mask(unedited, unedited + 0.02).max() == 0
