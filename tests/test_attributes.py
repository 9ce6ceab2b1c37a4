"""Editing an identity: what scales mean, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from dva_core.editing import CELEBA_ATTRIBUTES, AttributeDirections, edit_identity, move_along
from dva_core.errors import DvaError
from dva_core.values import Identity

MIDPOINT, HALF_DISTANCE, STRENGTH = 0.4, 1.5, 1.2


@pytest.fixture
def directions() -> AttributeDirections:
    """Eyeglasses and Bangs at an angle to each other, in features of uneven mean and spread."""
    random = torch.Generator().manual_seed(0)
    table = AttributeDirections()
    table.mean.copy_(0.01 * torch.randn(512, generator=random))
    table.std.copy_(0.03 + 0.02 * torch.rand(512, generator=random))
    shared = torch.randn(512, generator=random)
    for name in ("Bangs", "Eyeglasses"):
        row = CELEBA_ATTRIBUTES.index(name)
        table.weight[row] = shared + torch.randn(512, generator=random)
        table.trained[row] = True
        table.midpoint[row], table.half_distance[row], table.strength[row] = MIDPOINT, HALF_DISTANCE, STRENGTH
    return table


@pytest.fixture
def identity() -> Identity:
    """Three means of clips: shorter than 1."""
    random = torch.Generator().manual_seed(1)
    return Identity(0.9 * normalize(torch.randn(3, 512, generator=random), dim=1), "test")


def component(identity: Identity, table: AttributeDirections, name: str) -> torch.Tensor:
    """How far along an attribute's direction each row lies, in normalised features."""
    return (identity.features - table.mean) / table.std @ normalize(table.weight[table.row(name)], dim=0)


def test_there_are_40_attributes_in_the_order_of_celeba():
    rows = {name: CELEBA_ATTRIBUTES.index(name) for name in ("5_o_Clock_Shadow", "Eyeglasses", "No_Beard", "Young")}
    assert len(set(CELEBA_ATTRIBUTES)) == 40
    assert rows == {"5_o_Clock_Shadow": 0, "Eyeglasses": 15, "No_Beard": 24, "Young": 39}


@pytest.mark.parametrize("sign", [1, -1])
def test_scale_one_ends_at_the_same_place_whatever_the_face_was(directions, identity, sign):
    edited = edit_identity(identity, directions, {"Eyeglasses": sign * 1.0})
    place = torch.full((3,), MIDPOINT + sign * STRENGTH * HALF_DISTANCE)
    torch.testing.assert_close(component(edited, directions, "Eyeglasses"), place, atol=1e-4, rtol=0)


def test_half_the_scale_goes_half_of_the_way(directions, identity):
    start, half, whole = (
        component(edit_identity(identity, directions, {"Eyeglasses": scale}), directions, "Eyeglasses")
        for scale in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, (start + whole) / 2, atol=1e-4, rtol=0)


def test_a_larger_scale_ends_farther_out(directions, identity):
    edited = edit_identity(identity, directions, {"Eyeglasses": -2.0})
    place = torch.full((3,), MIDPOINT - 2 * STRENGTH * HALF_DISTANCE)
    torch.testing.assert_close(component(edited, directions, "Eyeglasses"), place, atol=1e-4, rtol=0)


@pytest.mark.parametrize("move", ["to_class", "shift", "along", "along_plain"])
def test_scale_zero_changes_nothing_at_all(directions, identity, move):
    edited = edit_identity(identity, directions, {"Eyeglasses": 0.0, "Bangs": 0.0}, move=move)
    assert torch.equal(edited.features, identity.features)


def test_what_lies_across_the_direction_stays(directions, identity):
    edited = edit_identity(identity, directions, {"Eyeglasses": 1.0})
    change = (edited.features - identity.features) / directions.std
    along = normalize(directions.weight[directions.row("Eyeglasses")], dim=0)
    torch.testing.assert_close(change, (change @ along)[:, None] * along, atol=1e-4, rtol=0)


def test_several_attributes_all_arrive_in_either_order(directions, identity):
    edited = edit_identity(identity, directions, {"Eyeglasses": 1.0, "Bangs": -1.0})
    reversed_order = edit_identity(identity, directions, {"Bangs": -1.0, "Eyeglasses": 1.0})
    for name, sign in (("Eyeglasses", 1), ("Bangs", -1)):
        place = torch.full((3,), MIDPOINT + sign * STRENGTH * HALF_DISTANCE)
        torch.testing.assert_close(component(edited, directions, name), place, atol=1e-4, rtol=0)
    torch.testing.assert_close(edited.features, reversed_order.features, atol=1e-6, rtol=0)


def test_the_source_is_left_as_it_was(directions, identity):
    before = identity.features.clone()
    edit_identity(identity, directions, {"Eyeglasses": 1.0})
    assert torch.equal(identity.features, before)


@pytest.mark.parametrize(("move", "normalized"), [("along", True), ("along_plain", False)])
def test_the_published_moves_are_applied_when_asked_for(directions, identity, move, normalized):
    edited = edit_identity(identity, directions, {"Eyeglasses": 0.3}, move=move)
    weight = directions.weight[directions.row("Eyeglasses")]
    expected = move_along(identity.features, weight, directions.mean, directions.std, 0.3, normalized)
    torch.testing.assert_close(edited.features, expected)
    torch.testing.assert_close(edited.features.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("name", ["Glasses", "Smiling"])
def test_an_attribute_without_a_direction_is_refused_with_a_list(directions, identity, name):
    with pytest.raises(DvaError, match=rf"'{name}'.*Bangs, Eyeglasses"):
        edit_identity(identity, directions, {name: 1.0})


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_must_be_a_finite_number(directions, identity, scale):
    with pytest.raises(DvaError, match="Eyeglasses"):
        edit_identity(identity, directions, {"Eyeglasses": scale})


def test_a_table_without_reach_is_shifted_along_and_the_length_stays(directions, identity):
    """The published table knows directions only."""
    directions.half_distance.fill_(math.nan)
    short = Identity(0.8 * normalize(identity.features, dim=1), identity.model)
    edited = edit_identity(short, directions, {"Eyeglasses": 0.3}).features
    published = edit_identity(short, directions, {"Eyeglasses": 0.3}, move="along").features
    torch.testing.assert_close(edited.norm(dim=1), torch.full((3,), 0.8))
    torch.testing.assert_close(edited, 0.8 * published)
    little = edit_identity(short, directions, {"Eyeglasses": 1e-6}).features
    torch.testing.assert_close(little, short.features, atol=1e-4, rtol=0)
    with pytest.raises(DvaError, match="shift"):
        edit_identity(short, directions, {"Eyeglasses": 1.0}, move="to_class")


@pytest.mark.parametrize("move", ["to_class", "shift"])
def test_what_is_preserved_does_not_move(directions, identity, move):
    before = component(identity, directions, "Bangs")
    moved = component(edit_identity(identity, directions, {"Eyeglasses": 1.0}, move=move), directions, "Bangs")
    kept = edit_identity(identity, directions, {"Eyeglasses": 1.0}, preserve=["Bangs"], move=move)
    assert (moved - before).abs().max() > 1
    if move == "to_class":  # "shift" keeps the features' length, which moves all directions a little
        torch.testing.assert_close(component(kept, directions, "Bangs"), before, atol=1e-4, rtol=0)
        place = torch.full((3,), MIDPOINT + STRENGTH * HALF_DISTANCE)
        torch.testing.assert_close(component(kept, directions, "Eyeglasses"), place, atol=1e-4, rtol=0)


def test_an_edit_of_which_nothing_would_be_left_is_refused(directions, identity):
    directions.weight[directions.row("Eyeglasses")] = 2 * directions.weight[directions.row("Bangs")]
    with pytest.raises(DvaError, match="too much like what is preserved"):
        edit_identity(identity, directions, {"Eyeglasses": 1.0}, preserve=["Bangs"])
    with pytest.raises(DvaError, match="edited and preserved"):
        edit_identity(identity, directions, {"Bangs": 1.0}, preserve=["Bangs"])
    with pytest.raises(DvaError, match="'Smiling'"):
        edit_identity(identity, directions, {"Bangs": 1.0}, preserve=["Smiling"])
