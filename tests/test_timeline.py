"""Strength as a curve over a clip: what key frames mean, and whose identity is in which frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dva_core.editing.attributes import CELEBA_ATTRIBUTES, AttributeDirections, edit_identity
from dva_core.editing.timeline import Curve, edit_over_time, read_curve, strengths_over
from dva_core.errors import DvaError
from dva_core.values import Identity

EDITS = {"Eyeglasses": 0.8, "No_Beard": -1.0}


@pytest.fixture
def directions() -> AttributeDirections:
    table = AttributeDirections()
    for name in EDITS:
        row = CELEBA_ATTRIBUTES.index(name)
        table.weight[row] = torch.randn(512, generator=torch.Generator().manual_seed(row))
        table.trained[row] = True
        table.midpoint[row], table.half_distance[row], table.strength[row] = 0.2, 3, 2
    return table


@pytest.fixture
def identity() -> Identity:
    return Identity(torch.randn(1, 512, generator=torch.Generator().manual_seed(5)) / 25, "test")


@pytest.mark.parametrize("interpolation", ["smooth", "linear"])
def test_the_strengths_of_the_keys_are_met_and_held_outside_of_them(interpolation):
    values = Curve(((2, 0.0), (6, 1.0), (9, -0.5)), interpolation).values(12)
    assert values.dtype == np.float64 and values.shape == (12,)
    assert values[[2, 6, 9]].tolist() == [0, 1, -0.5]
    assert values[:2].tolist() == [0, 0] and values[10:].tolist() == [-0.5, -0.5]


def test_a_linear_curve_goes_straight():
    assert Curve(((0, 0.0), (4, 1.0)), "linear").values(5).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_smooth_curve_starts_and_ends_slowly():
    steps = np.diff(Curve(((0, 0.0), (10, 1.0))).values(11))
    assert steps[0] < 0.05 and steps[-1] < 0.05 and steps[5] > 0.1


def test_a_smooth_curve_passes_a_key_on_its_way_without_stopping():
    steps = np.diff(Curve(((0, 0.0), (10, 0.5), (20, 1.0))).values(21))
    assert steps[9] > 0.03 and steps[10] > 0.03


def test_a_smooth_curve_goes_nowhere_that_no_key_asks_for():
    values = Curve(((0, 0.0), (3, 0.9), (5, 1.0), (20, 1.0), (21, 0.0))).values(30)
    assert values.min() >= 0 and values.max() <= 1 + 1e-12
    assert (np.diff(values[:6]) >= 0).all() and (values[5:21] == 1).all() and (values[21:] == 0).all()


def test_one_key_is_the_same_strength_throughout():
    assert Curve(((7, 0.3),)).values(4).tolist() == [0.3] * 4


def test_a_curve_may_go_on_beyond_the_clip():
    curve = Curve(((0, 0.0), (8, 1.0)), "linear")
    assert curve.values(3).tolist() == [0, 0.125, 0.25]


def test_a_curve_is_read_from_text():
    assert read_curve("0:0, 24:1.5,30:-1") == Curve(((0, 0), (24, 1.5), (30, -1)), "smooth")
    assert read_curve("0:0,9:1", "linear").interpolation == "linear"


@pytest.mark.parametrize("text", ["", "grow", "0:0;24:1", "0:0,24", "0:0:1", "9:0,5:1", "5:0,5:1", "-1:0", "0:nan"])
def test_texts_that_are_no_curve_get_a_sentence(text):
    with pytest.raises(DvaError):
        read_curve(text)


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(DvaError, match="wavy"):
        Curve(((0, 1.0),), "wavy")


def test_a_list_has_one_number_for_each_frame():
    assert strengths_over([0, 0.5, 1], 3).tolist() == [0, 0.5, 1]
    assert strengths_over(Curve(((0, 0.0), (2, 1.0))), 3).tolist() == [0, 0.5, 1]
    with pytest.raises(DvaError, match="2 strengths for 3 frames"):
        strengths_over([0, 1], 3)
    with pytest.raises(DvaError, match="frame 1"):
        strengths_over([0, float("nan"), 1], 3)


def test_each_frame_is_the_one_identity_edited_as_strongly_as_the_curve_says(directions, identity):
    strengths = [0.5, 1, 0.5, -0.25]
    edited = edit_over_time(identity, directions, EDITS, strengths)
    assert edited.model == identity.model
    for row, strength in zip(edited.features, strengths, strict=True):
        alone = edit_identity(identity, directions, {name: scale * strength for name, scale in EDITS.items()})
        assert torch.equal(row, alone.features[0])


def test_where_the_strength_is_0_the_identity_is_untouched(directions, identity):
    edited = edit_over_time(identity, directions, EDITS, [0, 1, 0])
    assert torch.equal(edited.features[[0, 2]], identity.features.expand(2, -1))
    assert not torch.equal(edited.features[1], identity.features[0])


def test_what_is_preserved_does_not_move_at_any_strength(directions, identity):
    edited = edit_over_time(identity, directions, {"Eyeglasses": 1.0}, [0.3, 1], preserve=["No_Beard"])
    direction = directions.weight[directions.row("No_Beard")]
    assert torch.allclose(edited.features @ direction, (identity.features @ direction).expand(2), atol=1e-4)


def test_several_identities_would_flicker_and_are_refused(directions, identity):
    frames = Identity(identity.features.expand(3, -1), "test")
    with pytest.raises(DvaError, match=r"mean\(\)"):
        edit_over_time(frames, directions, EDITS, [0, 0.5, 1])
