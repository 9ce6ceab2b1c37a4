"""The recipe: rendered once, trained in resumable steps, delivered as a bundle that the engine opens."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.training.autoencoder import AutoencoderTraining, train_autoencoder
from dva_core.training.batches import draw_batch, face_masks, pixel_weights
from dva_core.training.calibration import Calibration, calibrate
from dva_core.training.conditions import Conditions, conditions_of
from dva_core.training.encoders import ClassifierTraining, train_attribute_classifier
from dva_core.training.fitting import Fitting
from dva_core.training.identity import IdentityTraining, train_identity
from dva_core.training.reach import EvenPlan, beards_from_shaven, even_faces
from dva_core.training.rendered import RenderPlan, pictures_to_crops, render_face_set
from dva_core.unet import UNetConfig

from .tiny_model import tiny_model

PLAN = RenderPlan(people=8, siblings=2, views=2, size=32, jitter=(0.0, 0.0, 0.0), occluded=0.0)
NET = UNetConfig(
    image_size=32, model_channels=16, channel_mult=(1, 1), num_res_blocks=1, attention_resolutions=(),
    embed_channels=16, cond_channels=512, dropout=0.0, output="v", unshuffle=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return render_face_set(PLAN, tmp_path_factory.mktemp("faces"), workers=1)


@pytest.fixture(scope="module")
def conditions(faces):
    torch.manual_seed(0)
    return conditions_of(tiny_model().identity, faces)


@pytest.fixture(scope="module")
def watched(faces, conditions):
    """The first two people, for the diagnoses."""
    few = slice(0, 2 * PLAN.views)
    two = {name: getattr(faces, name)[few] for name in ("pictures", "landmarks", "parsing", "person")}
    return replace(faces, **two), Conditions(**{name: value[few] for name, value in vars(conditions).items()})


def test_a_rendering_that_was_stopped_goes_on_where_it_was(tmp_path, faces):
    class Stop(Exception):
        pass

    def stop(stage, done, total):
        raise Stop

    with pytest.raises(Stop):
        render_face_set(PLAN, tmp_path, workers=1, progress=stop)
    np.load(tmp_path / "pictures.npy", mmap_mode="r+")[0] = 0
    done = []
    resumed = render_face_set(PLAN, tmp_path, workers=1, progress=lambda stage, count, total: done.append(count))
    assert done == [10], "only the second chunk was left"
    assert not resumed.pictures[0].any(), "the first chunk is not rendered again"
    assert np.array_equal(resumed.pictures[1:], faces.pictures[1:])


def test_siblings_differ_from_their_originals_in_one_attribute(faces):
    for row in np.flatnonzero(faces.original >= 0):
        different = faces.attributes[row] != faces.attributes[faces.original[row]]
        assert 1 <= different.sum() <= 2


def test_the_training_mask_leaves_out_background_clothes_and_hat():
    parsing = np.array([[[0, 16, 18, 1, 17]]], np.uint8)
    assert face_masks(parsing).tolist() == [[[[0.0, 0.0, 0.0, 1.0, 1.0]]]]


def test_the_head_counts_more_than_the_background_then_the_eyes_and_the_mouth_most(faces):
    weights = pixel_weights(faces.parsing, faces.landmarks)
    torch.testing.assert_close(weights.mean((1, 2, 3)), torch.ones(len(weights)))
    eye, mouth = (
        (faces.landmarks[0, points].mean(0) * faces.parsing.shape[-1]).astype(int)
        for points in (slice(36, 42), slice(48, 68))
    )
    corner, nose = weights[0, 0, 0, 0], weights[0, 0][faces.parsing[0] == 10].min()
    assert nose / corner == pytest.approx(2)
    assert weights[0, 0, eye[1], eye[0]] / corner == pytest.approx(4)
    assert weights[0, 0, mouth[1], mouth[0]] / corner == pytest.approx(6)


def test_a_batch_is_decided_by_its_seed(faces, conditions):
    first, again, other = (draw_batch(faces, conditions, 4, [0, step]) for step in (7, 7, 8))
    assert torch.equal(first.x0, again.x0) and torch.equal(first.noises[1], again.noises[1])
    assert not torch.equal(first.noises[0], other.noises[0])


def test_middle_noise_levels_come_more_often(faces, conditions):
    t = draw_batch(faces, conditions, 2000, [0]).t
    assert 0.76 < ((t >= 200) & (t < 800)).float().mean() < 0.84


def test_an_interrupted_training_ends_in_the_same_net(tmp_path, faces, conditions, watched):
    training = AutoencoderTraining(steps=4, batch_size=2, checkpoint_seconds=0, diagnose_every=100)
    straight, _ = train_autoencoder(NET, training, faces, conditions, watched, tmp_path / "straight")

    class Stop(Exception):
        pass

    def stop_after_two(stage, done, total):
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        train_autoencoder(NET, training, faces, conditions, watched, tmp_path / "stopped", stop_after_two)
    resumed, history = train_autoencoder(NET, training, faces, conditions, watched, tmp_path / "stopped")
    assert history[-1]["step"] == 4 and history[-1]["x_T_std"] > 0
    for name, value in straight.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-6), name


def test_a_training_may_begin_with_a_net(tmp_path, faces, conditions, watched):
    short = AutoencoderTraining(steps=2, batch_size=2, diagnose_every=100)
    first, _ = train_autoencoder(NET, short, faces, conditions, watched, tmp_path / "first")
    still = AutoencoderTraining(steps=1, batch_size=2, learning_rate=0.0, diagnose_every=100)
    second, _ = train_autoencoder(NET, still, faces, conditions, watched, tmp_path / "second", begin=first)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_siblings_may_differ_in_other_attributes(tmp_path):
    plan = RenderPlan(people=4, siblings=4, views=1, size=32, sibling_attributes=("Bald", "Goatee"))
    faces = render_face_set(plan, tmp_path, workers=1)
    for row in range(4, 8):
        name = faces.attribute_names.index(("Bald", "Goatee")[row % 2])
        assert faces.attributes[row, name] != faces.attributes[faces.original[row], name]


def test_training_lowers_the_loss(tmp_path, faces, conditions, watched):
    training = AutoencoderTraining(steps=45, batch_size=4, learning_rate=3e-3, ema=0.9, diagnose_every=15)
    _, history = train_autoencoder(NET, training, faces, conditions, watched, tmp_path)
    assert history[-1]["right"][-1] < 0.8 * history[0]["right"][-1]


def test_the_identity_net_learns_to_tell_the_people_apart(faces):
    net = train_identity(faces, IdentityTraining(Fitting(steps=60, batch_size=20, rate=3e-3), width=16))
    with torch.no_grad():
        z_id = net(pictures_to_crops(faces.pictures))
    cosines = z_id @ z_id.T
    same = torch.from_numpy(faces.person[:, None] == faces.person[None])
    assert torch.allclose(z_id.norm(dim=1), torch.ones(len(z_id)), atol=1e-5)
    assert cosines[same].mean() > cosines[~same].mean() + 0.2


@pytest.fixture(scope="module")
def even():
    return even_faces(EvenPlan(people=120, views=1, size=32))


def test_among_even_people_rare_attributes_are_as_common_as_others(even):
    share = dict(zip(even.attribute_names, even.attributes.mean(0), strict=True))
    assert all(0.3 < share[name] < 0.7 for name in ("Eyeglasses", "Wearing_Earrings", "Wearing_Hat")), share
    assert all(share[name] > 0.1 for name in ("5_o_Clock_Shadow", "Goatee", "Mustache"))
    assert even.pictures.shape == (120, 32, 32, 3) and even.pictures.std() > 10
    again = even_faces(EvenPlan(people=3, views=1, size=32))
    assert np.array_equal(again.pictures, even.pictures[:3]) and np.array_equal(again.attributes, even.attributes[:3])


def test_the_way_away_from_a_single_beard_turns_towards_no_beard(even):
    table = tiny_model().attributes
    rows = {name: CELEBA_ATTRIBUTES.index(name) for name in ("Mustache", "Eyeglasses")}
    has = dict(zip(even.attribute_names, torch.as_tensor(even.attributes).T, strict=True))
    # Shaven people lie at the origin, moustaches along one axis, full beards and goatees along another.
    features = torch.zeros(120, 512)
    features[has["Mustache"], 0] = 4.0
    features[~has["No_Beard"] & ~has["Mustache"], 1] = 4.0
    against_all = torch.zeros(512)
    against_all[:2] = torch.tensor([2.0, -2.0])
    for row in rows.values():
        table.weight[row], table.trained[row], table.half_distance[row] = against_all, True, 1.0
    beards_from_shaven(table, features, even)
    along = torch.nn.functional.normalize(table.weight[rows["Mustache"]], dim=0)
    assert along[0] == pytest.approx(np.cos(np.pi / 8)) and along[1] == pytest.approx(-np.sin(np.pi / 8))
    assert float(table.midpoint[rows["Mustache"]]) == pytest.approx(2 * np.cos(np.pi / 8))
    assert float(table.half_distance[rows["Mustache"]]) == pytest.approx(2 * np.cos(np.pi / 8))
    assert torch.equal(table.weight[rows["Eyeglasses"]], against_all), "others stay as they are"


@pytest.fixture
def editable():
    model = tiny_model()
    for name in ("Eyeglasses", "Wearing_Hat"):
        row = CELEBA_ATTRIBUTES.index(name)
        model.attributes.weight[row] = torch.randn(512, generator=torch.Generator().manual_seed(row))
        model.attributes.trained[row] = True
        model.attributes.midpoint[row], model.attributes.half_distance[row] = 0.5, 2.0
    return model


@pytest.fixture(scope="module")
def judge(even):
    """Learns in a second to tell glasses and hats somewhat."""
    return train_attribute_classifier(even, ClassifierTraining(Fitting(steps=60, batch_size=24, rate=0.01), width=8))


def test_calibration_takes_the_least_strength_that_is_enough_and_near_the_truth_at_either_end(editable, judge):
    config = Calibration(people=16, steps=2, strengths=(1.0, 4.0, 16.0), enough=0.99, least=0.0, hope=0.0)
    found = calibrate(editable, judge, config)
    assert set(found) == {"Eyeglasses", "Wearing_Hat"}
    table = editable.attributes
    for name, tried in found.items():
        row = CELEBA_ATTRIBUTES.index(name)
        reach = float(table.strength[row] * table.half_distance[row])
        for end, sign in (("on", 1), ("off", -1)):
            shares, chosen = tried[end], tried[f"strength_{end}"]
            nearest = min(one["error"] for one in shares.values())
            near = {strength: one["share"] for strength, one in shares.items() if one["error"] <= 1.05 * nearest}
            enough = [strength for strength, share in near.items() if share >= config.enough]
            assert chosen == (min(enough) if enough else max(near))
            assert float(table.midpoint[row]) + sign * reach == pytest.approx(0.5 + sign * chosen * 2.0)
        assert tried["offered"] and name in table.names


def test_what_no_strength_brings_out_is_not_offered(editable, judge):
    found = calibrate(
        editable, judge, Calibration(people=16, steps=2, strengths=(1.0, 3.0, 5.0), least=1.1, enough=1.2)
    )
    assert not any(tried["offered"] for tried in found.values()) and editable.attributes.names == ()
    assert all(tried["strength_on"] is None for tried in found.values())


def test_what_the_judge_of_the_calibration_cannot_tell_is_not_offered(editable, judge):
    blind = copy.deepcopy(judge)
    blind.head.bias.data.fill_(-1e6)
    found = calibrate(editable, blind, Calibration(people=16, steps=2, strengths=(1.0,)))
    assert found["Eyeglasses"]["on"] == {} and not found["Eyeglasses"]["offered"]
