"""Which of several people is meant."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dva_core.errors import DvaError
from dva_core.faces.choosing import by_number, largest, most_alike, nearest
from dva_core.faces.tracking import landmarks_to_track
from dva_core.values import FaceTrack

from .pictures import face_landmarks


def person(x: float, y: float, eye_distance: float, seen: int = 10) -> FaceTrack:
    landmarks = np.repeat(face_landmarks((x, y), eye_distance)[None], 10, axis=0)
    return landmarks_to_track(landmarks, np.arange(10) < seen, 200, 400, Fraction(25))


def test_the_largest_fills_the_most_pixels_over_the_clip():
    assert largest([person(50, 100, 20), person(200, 100, 30), person(350, 100, 25)]) == 1
    assert largest([person(50, 100, 20), person(200, 100, 30, seen=3), person(350, 100, 15)]) == 0


def test_people_are_counted_from_one():
    people = [person(50, 100, 20), person(200, 100, 30)]
    assert [by_number(people, number) for number in (1, 2)] == [0, 1]
    for number in (0, 3):
        with pytest.raises(DvaError, match=f"no face {number}: 2 faces were found"):
            by_number(people, number)
    with pytest.raises(DvaError, match="no face 2: 1 face was found"):
        by_number(people[:1], 2)


def test_the_nearest_to_a_point_of_the_frame():
    people = [person(100, 150, 20), person(100, 50, 20), person(300, 100, 20, seen=5)]
    assert nearest(people, 0.25, 0.8) == 0
    assert nearest(people, 0.25, 0.2) == 1
    assert nearest(people, 1.0, 1.0) == 2


def test_distance_is_measured_in_pixels():
    people = [person(100, 100, 20), person(300, 30, 20)]
    assert nearest(people, 0.55, 0.5) == 1  # at (220,100): 120 pixels from the left one, 105 from the right one


def test_the_most_alike_has_the_nearest_mean_direction():
    torch.manual_seed(0)
    centres = F.normalize(torch.randn(3, 512), dim=1)
    features = [centre + 0.03 * torch.randn(count, 512) for centre, count in zip(centres, (4, 1, 7), strict=True)]
    for index, centre in enumerate(centres):
        assert most_alike(features, centre + 0.03 * torch.randn(5, 512)) == index
        assert most_alike([10 * features[0], *features[1:]], centre[None]) == index  # whatever the length
