"""`dva eval edits` measures what it says: attributes, poses and texts of people that no training has seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.cli.measure_edits import attribute_table
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.encoders import AttributeClassifierNet, IdentityNet
from dva_core.errors import Cancelled, DvaError
from dva_core.evaluation import attribute_edits, mixing, text
from dva_core.evaluation.attribute_edits import Toggled, preserved
from dva_core.evaluation.disentanglement import changed_scores, colour_change
from dva_core.evaluation.edits import TARGETS, Effort, evaluate_edits, zero_strength_difference
from dva_core.evaluation.judges import Judges
from dva_core.evaluation.mixing import Pose, PoseReader, Switched, motion_errors
from dva_core.evaluation.people import cast, filmed
from dva_core.evaluation.report import target_table, write_report
from dva_core.evaluation.text import CASES, people_without
from dva_core.synthetic import (
    HELD_OUT_SEEDS,
    TRAIN_SEEDS,
    render_crops,
    sample_motion,
    sample_person,
    sample_scene,
    set_attribute,
)

from .tiny_model import TINY

NAMES = ("Eyeglasses", "No_Beard")
EFFORT = Effort(
    clips=1,
    frames=2,
    text_clips=0,
    pairs=2,
    pair_frames=3,
    auc_people=24,
    auc_steps=40,
    auc_held_out=20,
    pose_people=8,
    steps=2,
)


@pytest.fixture(scope="module")
def model() -> DiffusionVideoAutoencoder:
    # Hundreds of evaluations: one level of the U-Net must do.
    one_level = replace(TINY.unet, channel_mult=(1,), attention_resolutions=())
    torch.manual_seed(0)
    model = DiffusionVideoAutoencoder(replace(TINY, unet=one_level)).eval().requires_grad_(False)
    for p in model.unet.parameters():
        p.add_(torch.randn_like(p), alpha=0.02)
    for name in NAMES:
        row = CELEBA_ATTRIBUTES.index(name)
        model.attributes.weight[row, row] = 1
        model.attributes.trained[row] = True
        model.attributes.midpoint[row], model.attributes.half_distance[row], model.attributes.strength[row] = 0, 1, 1
    return model


@pytest.fixture(scope="module")
def judges() -> Judges:
    torch.manual_seed(4)
    names = list(sample_person(HELD_OUT_SEEDS[0]).attributes)
    return Judges(IdentityNet(width=8).eval(), AttributeClassifierNet(names, width=8).eval())


@pytest.fixture(scope="module")
def report(model, judges) -> dict:
    return evaluate_edits(model, judges, EFFORT, seed=5)


def toggled(name="Eyeglasses", **changed) -> Toggled:
    usual = {
        "wanted": True, "told": True, "success": True, "success_preserved": True, "side_effects": 0.1,
        "side_effects_preserved": 0.05, "side_effects_of_truth": 0.01, "colour_change": 0.0, "colour_flicker": 0.0,
    }  # fmt: skip
    return Toggled(name, **usual | changed)


def test_of_the_people_half_have_the_attribute_and_half_lack_it():
    names = ("Goatee", "Eyeglasses", "Bald")
    found = cast(names, 3, seed=0)
    for name, people in found.items():
        assert [sample_person(person).attributes[name] for person in people] == [True] * 3 + [False] * 3
    everybody = {person for people in found.values() for person in people}
    assert everybody <= set(HELD_OUT_SEEDS) and not everybody & set(TRAIN_SEEDS)
    assert len(everybody) < 18, "the same people serve several attributes"
    assert found == cast(names, 3, seed=0) != cast(names, 3, seed=1)


def test_too_few_people_are_told():
    with pytest.raises(DvaError, match="Bald"):
        cast(("Bald",), 40, seed=0, seeds=HELD_OUT_SEEDS[:100])


def test_the_truth_differs_from_the_clip_where_the_attribute_is():
    seed = next(one for one in HELD_OUT_SEEDS if not sample_person(one).eyeglasses)
    with_glasses = set_attribute(sample_person(seed), "Eyeglasses", True)
    source, truth = filmed(seed, 2, 64), filmed(seed, 2, 64, person=with_glasses)
    assert source.shape == (2, 3, 64, 64) and source.min() >= -1 and source.max() <= 1
    eyes, chin = slice(20, 40), slice(52, 64)
    assert (truth - source)[:, :, eyes].abs().mean() > 0.02
    assert (truth - source)[:, :, chin].abs().mean() < 0.002
    assert not torch.equal(source[0], source[1])


def test_side_effects_are_the_mean_change_of_the_scores_of_others():
    before, after = {"Bald": 0.2, "Young": 0.5, "Bangs": 0.9}, {"Bald": 0.3, "Young": 0.2, "Bangs": 0.0}
    assert changed_scores(before, after, ["Bald", "Young"]) == pytest.approx(0.2)


def test_a_steady_tint_is_a_change_of_colour_and_one_that_comes_and_goes_flickers():
    source, everywhere = torch.zeros(4, 3, 8, 8), torch.ones(4, 1, 8, 8, dtype=torch.bool)
    assert colour_change(source, source, everywhere) == (0.0, 0.0)
    change, flicker = colour_change(source, source + 0.1, everywhere)
    assert (change, flicker) == (pytest.approx(0.1), pytest.approx(0, abs=1e-6))
    coming_and_going = torch.tensor([0.0, 0.2, 0.0, 0.2])[:, None, None, None].expand_as(source)
    change, flicker = colour_change(source, coming_and_going, everywhere)
    assert (change, flicker) == (pytest.approx(0.1), pytest.approx(0.1))
    left, edited = everywhere.clone(), source.clone()
    left[..., 4:], edited[..., 4:] = False, 1.0
    assert colour_change(source, edited, left) == (0.0, 0.0)


def test_success_counts_only_clips_in_which_the_judge_tells_the_truth():
    clips = [toggled(), toggled(success=False), toggled(success=False, told=False)]
    clips += [toggled(wanted=False), toggled(wanted=False, success_preserved=False)]
    found = attribute_edits.summary(clips, {"Eyeglasses": 0.9}, {"Eyeglasses": 0.8})
    one = found["each"]["Eyeglasses"]
    assert (one["success_on"], one["success_off"], one["success"]) == (0.5, 1.0, 0.75)
    assert (one["success_preserved_off"], one["told_on"], one["clips_on"]) == (0.5, pytest.approx(2 / 3), 3)
    assert (found["mean_success"], found["min_success"], found["mean_auc"]) == (0.75, 0.5, 0.9)
    assert found["side_effects"] == pytest.approx(0.1) and found["not_measured"] == []


def test_what_the_judge_cannot_tell_is_not_measured():
    clips = [toggled("Bald", told=False), toggled("Bald"), toggled("Bald", wanted=False)]
    found = attribute_edits.summary(clips, {"Bald": 1.0}, {"Bald": 1.0})
    assert found["not_measured"] == ["Bald"] and found["each"]["Bald"]["success"] is None
    assert found["mean_success"] is None and found["min_success"] is None


def test_an_edit_preserves_all_but_what_excludes_it(model):
    assert preserved(model, "Eyeglasses") == ["No_Beard"]
    assert preserved(model, "No_Beard") == ["Eyeglasses"]
    table = model.attributes.trained.clone()
    try:
        for name in ("Goatee", "Mustache"):
            model.attributes.trained[CELEBA_ATTRIBUTES.index(name)] = True
        assert preserved(model, "No_Beard") == ["Eyeglasses"]
        assert preserved(model, "Eyeglasses") == ["Goatee", "Mustache", "No_Beard"]
    finally:
        model.attributes.trained.copy_(table)


def test_poses_are_read_from_true_landmarks_of_other_people():
    def landmarks(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        seeds = [TRAIN_SEEDS[first + i] for i in range(count)]
        motions, scenes = [sample_motion(seed, 1) for seed in seeds], [sample_scene(seed, 1) for seed in seeds]
        rendered = render_crops([sample_person(seed) for seed in seeds], motions, scenes, [0] * count, 8)
        poses = [Pose.of(motion, [0]) for motion in motions]
        truth = [[pose.yaw[0], pose.pitch[0], pose.mouth[0]] for pose in poses]
        return torch.tensor(rendered.landmarks[:, 17:].reshape(count, -1) / 8), torch.tensor(truth)

    reader = PoseReader.fitted(*landmarks(0, 400))
    codes, truth = landmarks(1000, 60)
    seen = reader.read(codes)
    for values, wanted, most in zip((seen.yaw, seen.pitch, seen.mouth), truth.T.numpy(), (3, 3, 0.12), strict=True):
        assert np.abs(values - wanted).mean() < most < np.abs(wanted - wanted.mean()).mean()


def test_motion_errors_are_in_degrees_and_a_still_mouth_has_no_correlation():
    wanted = Pose(np.array([0.0, 10.0]), np.array([0.0, 0.0]), np.array([0.0, 1.0]))
    seen = Pose(np.array([1.0, 7.0]), np.array([1.0, 1.0]), np.array([0.2, 0.4]))
    assert motion_errors(seen, wanted) == {
        "yaw_error_deg": 2.0, "pitch_error_deg": 1.0, "mouth_correlation": pytest.approx(1.0)
    }  # fmt: skip
    assert motion_errors(seen, replace(wanted, mouth=np.array([0.5, 0.5])))["mouth_correlation"] is None
    assert motion_errors(replace(seen, mouth=np.array([0.3, 0.3])), wanted)["mouth_correlation"] == 0.0


def test_an_identity_is_switched_when_the_donor_is_nearer():
    errors = {"yaw_error_deg": 1.0, "pitch_error_deg": 2.0, "mouth_correlation": None}
    motion = dict.fromkeys(("switched", "floor", "doing_nothing"), errors)
    pairs = [Switched(0.9, 0.1, motion), Switched(0.3, 0.5, motion)]
    pairs.append(Switched(0.9, 0.1, {name: errors | {"mouth_correlation": 0.8} for name in motion}))
    found = mixing.summary(pairs)
    assert found["identity_switch"] == pytest.approx(2 / 3)
    assert (found["mouth_correlation"], found["clips_with_speech"]) == (0.8, 1)
    assert found["motion_pitch_error_deg"] == 2.0


def test_texts_are_tried_on_people_who_lack_what_they_ask_for():
    for case in CASES:
        people = people_without(case, 5, seed=0)
        assert len(set(people)) == 5 and set(people) <= set(HELD_OUT_SEEDS)
        assert all(sample_person(person).attributes[case.attribute] != case.wanted for person in people)
    hair = [sample_person(person) for person in people_without(CASES[2], 20, seed=0)]
    assert not any(person.bald or person.hat for person in hair)


def test_without_a_clip_text_edits_say_why_they_are_not_measured(model, judges):
    def missing():
        raise DvaError("There is no CLIP here.")

    found = text.measure_text(model, judges, 1, 2, 0, load_clip_net=missing)
    assert found == {"success": None, "seconds": None, "why": "There is no CLIP here."}


def test_strength_nought_of_every_edit_is_exactly_nothing(model):
    assert zero_strength_difference(model, seed=3, steps=5) == 0.0


def test_every_number_of_the_table_is_there_and_what_is_missing_is_no_target_met(report):
    assert set(report["targets"]) == {target.path for target in TARGETS}
    numbers = {"mean_auc", "mean_success", "min_success", "side_effects", "side_effects_preserved"}
    assert numbers <= set(report["attributes"])
    assert set(report["attributes"]["each"]) == set(NAMES)
    assert report["text"]["success"] is None and "left out" in report["text"]["why"]
    assert report["targets"]["text.success"]["met"] is None and report["met"] is False
    assert {"identity_switch", "motion_yaw_error_deg", "motion_pitch_error_deg", "mouth_correlation"} <= set(
        report["mixing"]
    )
    assert report["zero_strength_max_difference"] == 0.0
    assert "mixing.mouth_correlation" in target_table(report)
    assert all(name in attribute_table(report["attributes"]["each"]) for name in NAMES)


def test_every_target_says_how_its_number_is_made(report):
    how = report["how"]
    assert all(any(path == key or path.startswith(f"{key}.") for key in how) for path in report["targets"])


def test_the_report_is_json_and_the_same_again(report, model, judges, tmp_path):
    write_report(report, tmp_path / "edits.json")
    assert json.loads((tmp_path / "edits.json").read_text()) == report
    assert evaluate_edits(model, judges, EFFORT, seed=5) == report


def test_it_can_be_stopped(model, judges):
    with pytest.raises(Cancelled):
        evaluate_edits(model, judges, EFFORT, seed=5, cancelled=lambda: True)
