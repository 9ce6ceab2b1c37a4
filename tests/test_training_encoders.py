"""Training the small nets: that it learns, repeats itself, stops when told, and what it makes of its pictures."""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from dva_core.editing import CELEBA_ATTRIBUTES, edit_identity
from dva_core.encoders import LandmarkNet
from dva_core.errors import Cancelled, DvaError
from dva_core.synthetic import TRAIN_SEEDS, sample_person
from dva_core.training.data import DetectionSet, boxes_about, in_fours, joined, random_batches, spoil
from dva_core.training.directions import attribute_directions
from dva_core.training.encoders import (
    ClassifierTraining,
    DetectorTraining,
    LandmarkTraining,
    ParserTraining,
    train_attribute_classifier,
    train_detector,
    train_landmarks,
    train_parser,
)
from dva_core.training.fitting import Fitting, Watch
from dva_core.training.frames import render_detection_set
from dva_core.training.rendered import FaceSet, RenderPlan, pictures_to_crops, render_views
from dva_core.values import Identity

SHORT = Fitting(steps=40, batch_size=8, rate=5e-3)


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    """Two pictures of each of twelve people."""
    plan = RenderPlan(people=12, siblings=0, views=2)
    people = [sample_person(TRAIN_SEEDS[i]) for i in range(plan.people)]
    rendered = render_views(enumerate(people), plan)
    return FaceSet(
        pictures=rendered.pictures,
        landmarks=((rendered.landmarks + 0.5) / plan.size).astype(np.float32),
        parsing=rendered.parsing,
        person=np.repeat(np.arange(plan.people), plan.views),
        attributes=np.array([list(person.attributes.values()) for person in people]),
        attribute_names=tuple(people[0].attributes),
        original=np.full(plan.people, -1),
    )


@pytest.fixture(scope="module")
def detection_set() -> DetectionSet:
    return render_detection_set(12, first_person=0)


def test_the_landmark_net_learns(faces):
    net = train_landmarks(faces, LandmarkTraining(SHORT, widths=(16, 24, 32)))
    untrained = LandmarkNet((16, 24, 32)).eval()
    crops, truth = pictures_to_crops(faces.pictures), torch.from_numpy(faces.landmarks)
    with torch.no_grad():
        assert (net(crops) - truth).abs().mean() < 0.5 * (untrained(crops) - truth).abs().mean()


def test_the_parser_learns(faces):
    net = train_parser(faces, ParserTraining(SHORT, widths=(16, 24, 32)))
    truth = torch.from_numpy(faces.parsing)
    with torch.no_grad():
        right = (net(pictures_to_crops(faces.pictures)).argmax(1) == truth).float().mean()
    assert right > truth.flatten().bincount().max() / truth.numel() + 0.1


def test_the_attribute_classifier_learns(faces):
    net = train_attribute_classifier(faces, ClassifierTraining(Fitting(steps=40, batch_size=12, rate=5e-3), width=16))
    has = torch.from_numpy(faces.attributes[faces.person])
    with torch.no_grad():
        right = ((net(pictures_to_crops(faces.pictures)) > 0) == has).float().mean()
    always_the_commoner = torch.maximum(has.float().mean(0), 1 - has.float().mean(0)).mean()
    assert right > always_the_commoner + 0.05


def test_the_detectors_losses_fall(detection_set):
    seen: dict[str, list[float]] = {}
    watch = Watch(log=lambda name, value, step: seen.setdefault(name, []).append(value))
    config = DetectorTraining(Fitting(steps=60, batch_size=6, rate=5e-3), widths=(12, 16, 24))
    train_detector(detection_set, config, watch=watch)
    assert set(seen) == {"train detector/centres", "train detector/boxes"}
    for name, values in seen.items():
        assert values[-1] < values[0], name


def test_the_same_seed_gives_the_same_net(faces):
    brief = LandmarkTraining(Fitting(steps=2, batch_size=8), widths=(16, 24))
    first, second = train_landmarks(faces, brief).state_dict(), train_landmarks(faces, brief).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_progress_is_told_and_a_training_stops_when_asked(faces):
    told = []
    watch = Watch(progress=lambda *step: told.append(step), cancelled=lambda: len(told) == 2)
    with pytest.raises(Cancelled):
        train_parser(faces, ParserTraining(Fitting(steps=9, batch_size=4), widths=(16, 24)), watch=watch)
    assert told == [("train parser", 1, 9), ("train parser", 2, 9)]


def test_detection_frames_hold_the_face_in_the_middle_of_its_box(detection_set):
    shown = ~np.isnan(detection_set.boxes[:, 0])
    boxes = detection_set.boxes[shown]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert shown.any() and ((middle > 0) & (middle < 127)).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 15).all()


def test_every_row_comes_once_before_any_comes_again():
    rows = np.concatenate(list(random_batches(count=10, batch_size=4, steps=5, seed=0)))
    assert sorted(rows.tolist()) == sorted([*range(10), *range(10)])


def test_spoiling_moves_nothing_and_stays_in_range(faces):
    crops = pictures_to_crops(faces.pictures)
    spoilt = spoil(crops, torch.Generator().manual_seed(0))
    assert spoilt.min() >= -1 and spoilt.max() <= 1
    before, after = ((picture - picture.mean((2, 3), True)).flatten(1) for picture in (crops, spoilt))
    likeness = cosine_similarity(before, after)
    assert (likeness > 0.8).all() and not torch.equal(crops, spoilt)


def test_frames_made_of_four_keep_their_boxes_on_the_faces():
    frames = torch.full((8, 3, 128, 128), -1.0)
    frames[:, :, 40:80, 30:70] = 1.0
    boxes = torch.tensor([[30.0, 40.0, 69.0, 79.0]]).expand(8, 4)
    mosaics, many = in_fours(frames, boxes, torch.Generator().manual_seed(0))
    shown = ~many[..., 0].isnan()
    assert 0 < shown.sum() < shown.numel()
    for mosaic, placed in zip(mosaics, many, strict=True):
        bright = torch.zeros(128, 128, dtype=torch.bool)
        for x0, y0, x1, y1 in placed[~placed[:, 0].isnan()].tolist():
            bright[ceil(y0) : floor(y1) + 1, ceil(x0) : floor(x1) + 1] = True
        assert torch.equal(mosaic[0] > 0.5, bright)


def test_a_box_just_holds_its_landmarks():
    assert boxes_about(np.array([[[1.0, 5.0], [4.0, 2.0], [3.0, 3.0]]])).tolist() == [[1.0, 2.0, 4.0, 5.0]]


def test_joined_sets_keep_pictures_with_their_people(faces):
    both = joined(faces, faces)
    assert len(both.pictures) == 2 * len(faces.pictures) and both.attribute_names == faces.attribute_names
    half = len(faces.person)
    assert not set(both.person[:half]) & set(both.person[half:])
    np.testing.assert_array_equal(both.attributes[both.person[half:]], faces.attributes[faces.person])


def test_directions_lead_from_people_without_to_people_with(faces):
    """Features are made of a known shift for glasses, so the direction and its reach are known too."""
    random = torch.Generator().manual_seed(0)
    shift = normalize(torch.randn(512, generator=random), dim=0)
    has = torch.from_numpy(faces.attributes[faces.person][:, faces.attribute_names.index("Eyeglasses")])
    features = 0.001 * torch.randn(len(has), 512, generator=random) + torch.where(has, 0.3, -0.1)[:, None] * shift
    table = attribute_directions(features, faces, strength=1.0)
    row = CELEBA_ATTRIBUTES.index("Eyeglasses")
    assert table.trained[row] and not table.trained[CELEBA_ATTRIBUTES.index("Smiling")]

    without = Identity(features[~has].mean(0, keepdim=True), "test")
    edited = edit_identity(without, table, {"Eyeglasses": 1.0})
    torch.testing.assert_close(edited.features, features[has].mean(0, keepdim=True), atol=0.01, rtol=0)


def test_features_of_other_pictures_are_refused(faces):
    with pytest.raises(DvaError, match="24 pictures"):
        attribute_directions(torch.zeros(3, 512), faces)
