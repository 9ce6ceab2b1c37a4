"""TL-ID and TG-ID: the consistency of a clip's identity, compared with its source's."""

from __future__ import annotations

import math

import pytest
import torch

from dva_core.errors import DvaError
from dva_core.evaluation.temporal import tg_id, tl_id


def turning(degrees_per_frame: float, frames: int = 5) -> torch.Tensor:
    """Identity features that drift away at a constant angle."""
    angles = torch.arange(frames) * math.radians(degrees_per_frame)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_a_clip_is_as_consistent_as_itself():
    features = torch.randn(7, 512, generator=torch.Generator().manual_seed(0))
    assert tl_id(features, features) == pytest.approx(1)
    assert tg_id(features, features) == pytest.approx(1)


def test_local_looks_at_neighbours_and_global_at_all_pairs():
    steady, drifting = turning(0), turning(20)
    assert tl_id(steady, drifting) == pytest.approx(math.cos(math.radians(20)))
    pairs = [math.cos(math.radians(20 * (j - i))) for i in range(5) for j in range(i + 1, 5)]
    assert tg_id(steady, drifting) == pytest.approx(sum(pairs) / len(pairs))


def test_a_calmer_clip_scores_above_one():
    assert tl_id(turning(20), turning(10)) > 1
    assert tg_id(turning(20), turning(10)) > 1


def test_the_length_of_features_does_not_matter():
    assert tg_id(turning(5), 3 * turning(9)) == pytest.approx(tg_id(turning(5), turning(9)))


@pytest.mark.parametrize("frames", [(4, 5), (1, 1)])
def test_clips_that_cannot_be_compared_are_refused(frames):
    with pytest.raises(DvaError, match=f"{frames[0]} and {frames[1]}"):
        tl_id(turning(1, frames[0]), turning(1, frames[1]))
