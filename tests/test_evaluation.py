"""`dva eval demo` measures what it says, on people that no training has seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.encoders import AttributeClassifierNet, IdentityNet
from dva_core.errors import DvaError
from dva_core.evaluation.demo import CASES, evaluate, held_out_people
from dva_core.evaluation.judges import Judges, load_judges, save_judges
from dva_core.evaluation.report import write_report
from dva_core.synthetic import HELD_OUT_SEEDS, TRAIN_SEEDS, render_clip, sample_person

from .tiny_model import TINY, crops
from .told_where import told_where

CLIPS, FRAMES, SEED = 2, 3, 5


@pytest.fixture(scope="module")
def judges() -> Judges:
    torch.manual_seed(4)
    names = list(sample_person(HELD_OUT_SEEDS[0]).attributes)
    return Judges(IdentityNet(width=8).eval(), AttributeClassifierNet(names, width=8).eval())


@pytest.fixture(scope="module")
def report(judges) -> dict:
    # Hundreds of evaluations: one level of the U-Net must do.
    one_level = replace(TINY.unet, channel_mult=(1,), attention_resolutions=())
    model = DiffusionVideoAutoencoder(replace(TINY, unet=one_level)).eval().requires_grad_(False)
    for case in CASES:
        row = CELEBA_ATTRIBUTES.index(case.attribute)
        model.attributes.weight[row, row] = 1
        model.attributes.trained[row] = True
        model.attributes.midpoint[row], model.attributes.half_distance[row], model.attributes.strength[row] = 0, 1, 1
    landmarks = np.concatenate([render_clip(person, FRAMES).landmarks for person in held_out_people(CLIPS, SEED)])
    return evaluate(told_where(model, landmarks), judges, CLIPS, FRAMES, SEED)


def test_people_are_held_out_and_another_seed_chooses_others():
    some, others = held_out_people(20, 0), held_out_people(20, 1)
    assert len(set(some)) == 20 and set(some) <= set(HELD_OUT_SEEDS)
    assert not set(some) & set(TRAIN_SEEDS)
    assert some == held_out_people(20, 0) != others


def test_every_number_of_the_table_is_there(report):
    for steps in ("20", "100"):
        assert set(report["reconstruction"]["ddim"][steps]) == {"ssim", "ms_ssim", "mse", "psnr"}
    numbers = {"success", "success_on", "success_off", "side_effects", "removal_error_ratio", "addition_iou"}
    assert all(numbers <= set(report["edits"][case.name]) for case in CASES)
    assert set(report["temporal"]) == {"tl_id", "tg_id"}
    assert report["motion"]["landmark_nme"] >= 0 and report["background"]["psnr"] > 0
    assert report["frames_without_face"] == 0


def test_each_clip_is_edited_towards_what_it_lacks(report):
    people = [sample_person(seed) for seed in report["people"]]
    for case in CASES:
        having = sum(person.attributes[case.attribute] != case.inverted for person in people)
        assert (report["edits"][case.name]["clips_on"], report["edits"][case.name]["clips_off"]) == (
            CLIPS - having,
            having,
        )


def test_what_cannot_be_measured_is_null_and_no_target_is_met_by_it(report):
    for case in CASES:
        edit = report["edits"][case.name]
        assert (edit["success_off"] is None) == (edit["clips_off"] == 0) == (edit["removal_error_ratio"] is None)
        assert (edit["success_on"] is None) == (edit["clips_on"] == 0) == (edit["addition_iou"] is None)
    assert report["met"] == all(target["met"] is True for target in report["targets"].values())


def test_the_report_is_json(report, tmp_path):
    write_report(report, tmp_path / "eval.json")
    assert json.loads((tmp_path / "eval.json").read_text()) == report


def test_judges_answer_the_same_from_their_file(judges, tmp_path):
    save_judges(judges, tmp_path / "judges.safetensors")
    loaded = load_judges(tmp_path / "judges.safetensors")
    pictures = crops(4)
    assert torch.allclose(loaded.identity_features(pictures), judges.identity_features(pictures), atol=2e-2)
    assert loaded.answers(pictures) == judges.answers(pictures)


def test_a_judges_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(DvaError, match="missing"):
        load_judges(tmp_path / "missing.safetensors")
