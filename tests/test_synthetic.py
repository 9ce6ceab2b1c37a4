"""The renderer: the same in every run, true in its landmarks and classes, and exact in its counterfactuals."""

import numpy as np
import pytest
import torch

from dva_core.errors import DvaError
from dva_core.synthetic import (
    HELD_OUT_SEEDS,
    TRAIN_SEEDS,
    render,
    render_clip,
    render_crops,
    sample_motion,
    sample_person,
    sample_scene,
    set_attribute,
)

PERSON = HELD_OUT_SEEDS[55]
BACKGROUND, SKIN, GLASSES, NOSE, CLOTH, HAIR, HAT = 0, 1, 6, 10, 16, 17, 18


def crops(people, seed=3, size=64, **options):
    motions, scenes = [sample_motion(seed, 1)] * len(people), [sample_scene(seed, 1)] * len(people)
    return render_crops(people, motions, scenes, [0] * len(people), size, **options)


def test_training_and_held_out_people_never_meet():
    assert not set(TRAIN_SEEDS) & set(HELD_OUT_SEEDS)


def test_a_frame_is_the_same_however_many_are_rendered_and_in_whatever_batches():
    long, short = render_clip(PERSON, 6, 64, 64), render_clip(PERSON, 3, 64, 64, batch_size=2)
    assert np.array_equal(long.frames[:3], short.frames)
    assert np.array_equal(long.parsing[:3], short.parsing)
    assert np.allclose(long.landmarks[:3], short.landmarks, atol=1e-4)


def test_a_picture_does_not_depend_on_those_beside_it():
    people = [sample_person(seed) for seed in HELD_OUT_SEEDS[:5]]
    together = crops(people)
    for n, person in enumerate(people):
        alone = crops([person])
        assert np.array_equal(together.pictures[n], alone.pictures[0])
        assert np.array_equal(together.parsing[n], alone.parsing[0])


def test_a_picture_beside_the_person_shows_the_room_alone():
    far_away = torch.tensor([[[0.1, 0.0, 20.0], [0.0, 0.1, -3.2]]], dtype=torch.float64)
    seed = HELD_OUT_SEEDS[0]
    view = render([sample_person(seed)], [sample_motion(seed, 1)], [sample_scene(seed, 1)], [0], far_away, 32, 32)
    assert not view.parsing[:, :16].any() and not view.visible.any()


def test_another_seed_is_another_person_in_another_place():
    assert np.abs(render_clip(PERSON, 1, 64, 64).frames - render_clip(PERSON + 1, 1, 64, 64).frames).mean() > 5


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (512, 512)])
def test_any_size_shows_the_same_head_at_the_same_relative_size(height, width):
    clip = render_clip(PERSON, 1, height, width)
    assert clip.frames.shape == (1, height, width, 3)
    eyes = np.linalg.norm(clip.landmarks[0, 45] - clip.landmarks[0, 36])
    reference = render_clip(PERSON, 1, 128, 128).landmarks[0]
    assert eyes / min(height, width) == pytest.approx(np.linalg.norm(reference[45] - reference[36]) / 128, rel=1e-4)


def test_landmarks_follow_the_ibug_order():
    points = crops([sample_person(PERSON)]).landmarks[0]
    left_eye, right_eye, mouth = points[36:42].mean(0), points[42:48].mean(0), points[48:68].mean(0)
    assert left_eye[0] < points[30, 0] < right_eye[0], "the nose tip lies between the eyes"
    assert points[27, 1] < points[30, 1] < mouth[1] < points[8, 1], "bridge, tip, mouth, chin from top to bottom"
    assert points[0, 0] < left_eye[0] and points[16, 0] > right_eye[0], "the jaw line runs from left to right"
    assert points[17:27, 1].max() < min(left_eye[1], right_eye[1]), "brows are above the eyes"
    assert points[48, 0] < points[54, 0] and points[51, 1] < points[57, 1], "mouth corners and lips"


def test_landmarks_lie_on_the_parts_that_they_name():
    wide_awake = [sample_person(seed) for seed in HELD_OUT_SEEDS[:30] if not sample_person(seed).eyeglasses]
    rendered = crops(wide_awake, size=128)
    for points, labels in zip(rendered.landmarks, rendered.parsing, strict=True):
        column, row = points[30].round().astype(int)
        assert labels[row, column] == NOSE
    eyes = [np.isin(labels, (4, 5)) for labels in rendered.parsing]
    centers = np.array([np.argwhere(eye)[:, ::-1].mean(0) for eye in eyes])
    assert np.abs(centers - rendered.landmarks[:, 36:48].mean(1)).max() < 2.5


def test_a_crop_is_the_ffhq_square_about_its_landmarks():
    points = crops([sample_person(PERSON)]).landmarks[0]
    eyes = (points[36:42].mean(0) + points[42:48].mean(0)) / 2
    down = (points[48] + points[54]) / 2 - eyes
    assert np.allclose(eyes + 0.1 * down, (31.5, 31.5), atol=0.01)


def test_turning_the_head_moves_the_nose_further_than_the_ears():
    clip = render_clip(PERSON, 40, 128, 128)
    turn, nose, jaw = clip.motion.yaw, clip.landmarks[:, 30, 0], clip.landmarks[:, [0, 16], 0].mean(1)
    assert np.corrcoef(turn, nose - jaw)[0, 1] > 0.95


def test_blinking_closes_the_eyes_in_landmarks_and_picture():
    clip = render_clip(PERSON, 120, 96, 96)
    opening = (clip.landmarks[:, [40, 41, 46, 47], 1] - clip.landmarks[:, [38, 37, 44, 43], 1]).mean(1)
    seen = np.isin(clip.parsing, (4, 5)).sum((1, 2))
    closed = clip.motion.blink > 0.9
    assert closed.any() and opening[closed].max() < opening[clip.motion.blink < 0.1].min()
    assert seen[closed].mean() < 0.4 * seen[~closed].mean()


def test_a_counterfactual_differs_in_the_toggled_attribute_alone():
    person = sample_person(PERSON)
    for name in person.attributes:
        toggled = set_attribute(person, name, not person.attributes[name])
        changed = {key for key, on in toggled.attributes.items() if on != person.attributes[name] and key == name}
        assert changed == {name}
        assert set_attribute(person, name, person.attributes[name]) is person


def test_glasses_change_the_picture_only_about_the_eyes():
    person = set_attribute(sample_person(PERSON), "Eyeglasses", False)
    without, with_ = (crops([p]) for p in (person, set_attribute(person, "Eyeglasses", True)))
    assert (with_.parsing == GLASSES).sum() > 60 and not (without.parsing == GLASSES).any()
    changed = np.abs(with_.pictures.astype(int) - without.pictures).max(-1)[0] > 8
    eyes = without.landmarks[0, 36:48, 1].mean()
    assert changed.any() and np.abs(np.argwhere(changed)[:, 0] - eyes).max() < 14


def test_every_attribute_can_be_seen():
    person = sample_person(PERSON)
    toggled = [set_attribute(person, name, not on) for name, on in person.attributes.items()]
    before, *after = crops([person, *toggled]).pictures.astype(int)
    for name, picture in zip(person.attributes, after, strict=True):
        changed = np.abs(picture - before).max(-1) > 8
        assert changed.sum() >= 20, f"{name} changes {changed.sum()} pixels"


def test_unknown_attributes_are_refused_by_name():
    with pytest.raises(DvaError, match=r"Third_Eye.*Eyeglasses"):
        set_attribute(sample_person(0), "Third_Eye", True)


def test_what_an_object_hides_is_not_visible():
    clip = render_clip(PERSON, 40, 96, 96, occluder=True)
    bare = render_clip(PERSON, 40, 96, 96)
    hidden = bare.visible & ~clip.visible
    assert hidden.any(), "the object passes before the face"
    frame, point = np.argwhere(hidden)[0]
    column, row = clip.landmarks[frame, point].round().astype(int)
    assert not np.array_equal(clip.frames[frame, row, column], bare.frames[frame, row, column])


def test_edges_are_anti_aliased():
    big = crops([sample_person(PERSON)], size=256).pictures[0].astype(float)
    averaged = big.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(crops([sample_person(PERSON)], size=64).pictures[0] - averaged).mean() < 6


def test_the_parsing_covers_the_picture_with_the_classes_of_celebamask():
    hatted = set_attribute(sample_person(PERSON), "Wearing_Hat", True)
    labels = render_clip(PERSON, 1, 128, 128, person=hatted).parsing
    assert set(np.unique(labels)) <= set(range(19))
    assert {BACKGROUND, SKIN, NOSE, CLOTH, HAT} <= set(np.unique(labels))
