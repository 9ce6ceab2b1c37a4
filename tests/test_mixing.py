"""Identities averaged, and somebody between two."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from dva_core.editing.mixing import average_identities, interpolate_identities, likely_rows
from dva_core.errors import DvaError
from dva_core.values import Identity


def person(seed: int, frames: int = 12, spread: float = 0.3) -> Identity:
    """Unit features about one face."""
    generator = torch.Generator().manual_seed(seed)
    centre, noise = torch.randn(1, 512, generator=generator), torch.randn(frames, 512, generator=generator)
    return Identity(torch.nn.functional.normalize(centre + spread * noise, dim=1), "demo")


def test_equal_people_of_unequal_length_count_the_same():
    a, b = person(1, frames=2), person(2, frames=30)
    mixed = average_identities([a, b])
    assert torch.allclose(mixed.features, (a.mean().features + b.mean().features) / 2, atol=1e-6)


def test_only_the_ratio_of_weights_counts():
    a, b = person(1), person(2)
    one, other = (average_identities([a, b], weights) for weights in ([1, 3], [0.5, 1.5]))
    assert torch.allclose(one.features, other.features, atol=1e-6)


def test_a_negative_weight_moves_away():
    a, b = person(1), person(2)
    away = average_identities([a, b], [1.0, -0.3]).features
    likeness = torch.cosine_similarity
    assert likeness(away, b.mean().features) < likeness(a.mean().features, b.mean().features)


def test_a_strange_frame_is_left_out():
    good, strange = person(1), person(2, frames=1)
    spoiled = Identity(torch.cat([good.features, strange.features]), "demo")
    assert likely_rows(spoiled).tolist() == [True] * 12 + [False]
    assert torch.allclose(average_identities([spoiled], reject_outliers=True).features, good.mean().features, atol=1e-6)


def test_an_even_clip_loses_nothing():
    assert likely_rows(person(3)).all()
    assert likely_rows(person(3, frames=2)).all()


@pytest.mark.parametrize(
    ("identities", "weights", "word"),
    [
        ([], None, "at least one"),
        ([person(1), Identity(torch.zeros(1, 512), "other")], None, "different models"),
        ([person(1), person(2)], [1.0, -1.0], "nothing"),
        ([person(1)], [1.0, 2.0], "each"),
    ],
)
def test_what_cannot_be_mixed_is_a_sentence(identities, weights, word):
    with pytest.raises(DvaError, match=word):
        average_identities(identities, weights)


def test_the_ends_of_an_interpolation_are_the_two_people_bit_for_bit():
    a, b = person(1), person(2, frames=5)
    assert torch.equal(interpolate_identities(a, b, 0).features, a.mean().features)
    assert torch.equal(interpolate_identities(a, b, 1).features, b.mean().features)


def test_interpolation_turns_evenly_from_one_person_to_the_other():
    a, b = person(1, spread=0.1), person(2, spread=1.0)
    way = [interpolate_identities(a, b, amount).features.double() for amount in (0, 0.25, 0.5, 0.75, 1)]
    turns = [torch.cosine_similarity(one, other).acos() for one, other in pairwise(way)]
    assert torch.allclose(torch.cat(turns), turns[0], rtol=1e-4)
    lengths = torch.cat(way).norm(dim=1)
    assert torch.allclose(lengths, torch.linspace(lengths[0], lengths[-1], 5, dtype=torch.float64), rtol=1e-5)


def test_between_somebody_and_themselves_is_nobody_else():
    a = person(1)
    assert torch.allclose(interpolate_identities(a, a, 0.5).features, a.mean().features, atol=1e-6)


@pytest.mark.parametrize(
    ("other", "amount", "word"),
    [(Identity(torch.zeros(1, 512), "other"), 0.5, "different models"), (person(2), 1.5, "within"),
     (person(2), float("nan"), "within")],
)  # fmt: skip
def test_an_impossible_interpolation_is_a_sentence(other, amount, word):
    with pytest.raises(DvaError, match=word):
        interpolate_identities(person(1), other, amount)
