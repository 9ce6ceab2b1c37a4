"""How far an edit is from the truth, and what else it touched."""

from __future__ import annotations

import pytest
import torch

from dva_core.evaluation.disentanglement import (
    background_psnr,
    changed_answers,
    changed_iou,
    flipped,
    landmark_nme,
    region_mse,
)


def square(left: int, right: int) -> torch.Tensor:
    """Two grey frames with a bright band between two columns."""
    picture = torch.full((2, 3, 8, 16), 0.4)
    picture[..., left:right] = 0.8
    return picture


def test_overlap_of_changes():
    plain = square(0, 0)
    assert changed_iou(plain, square(4, 8), square(4, 8)) == 1
    assert changed_iou(plain, square(4, 8), square(6, 10)) == pytest.approx(2 / 6)
    assert changed_iou(plain, plain, square(4, 8)) == 0


def test_changes_too_faint_to_see_do_not_count():
    assert changed_iou(square(0, 0), square(4, 8) + 0.05, square(4, 8)) == 1


def test_errors_count_inside_the_region_only():
    region = torch.zeros(2, 1, 8, 16, dtype=torch.bool)
    region[..., 4:8] = True
    assert region_mse(square(0, 0), square(4, 8), region) == pytest.approx(0.16)
    assert region_mse(square(0, 0), square(8, 12), region) == 0


def test_background_is_what_lies_outside_the_head():
    head = torch.zeros(2, 1, 8, 16, dtype=torch.bool)
    head[..., :8] = True
    assert background_psnr(square(0, 0), square(2, 6), head) == pytest.approx(100)
    assert background_psnr(square(0, 0), square(0, 0) + 0.1, head) == pytest.approx(20, abs=1e-3)


def test_landmark_errors_are_in_eye_distances():
    points = torch.zeros(1, 51, 2)
    points[:, 25:31, 0] = 20.0  # the right eye, 20 from the left
    assert landmark_nme(points, points + torch.tensor([3.0, 4.0])) == pytest.approx(5 / 20)


def test_an_edit_succeeds_when_the_answer_flips():
    without, with_glasses = {"Eyeglasses": False}, {"Eyeglasses": True}
    assert flipped(without, with_glasses, "Eyeglasses", True)
    assert flipped(with_glasses, without, "Eyeglasses", False)
    assert not flipped(without, without, "Eyeglasses", True)
    assert not flipped(with_glasses, with_glasses, "Eyeglasses", True), "misread before the edit: nothing was flipped"


def test_side_effects_are_the_share_of_changed_answers():
    before = {"Young": True, "Bald": False, "Bangs": False, "Eyeglasses": False}
    after = {"Young": True, "Bald": True, "Bangs": False, "Eyeglasses": True}
    assert changed_answers(before, after, ["Young", "Bald", "Bangs"]) == pytest.approx(1 / 3)
