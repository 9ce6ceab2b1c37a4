"""The recipe: rendered once, trained in resumable steps, delivered as a bundle that the engine opens."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.training.autoencoder import AutoencoderTraining, train_autoencoder
from dva_core.training.batches import draw_batch, face_masks, pixel_weights
from dva_core.training.calibration import Calibration, calibrate
from dva_core.training.conditions import Conditions, conditions_of
from dva_core.training.fitting import Fitting
from dva_core.training.identity import IdentityTraining, train_identity
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


def test_the_head_counts_more_than_the_background_and_the_eyes_most(faces):
    weights = pixel_weights(faces.parsing, faces.landmarks)
    torch.testing.assert_close(weights.mean((1, 2, 3)), torch.ones(len(weights)))
    eye = (faces.landmarks[0, 36:42].mean(0) * faces.parsing.shape[-1]).astype(int)
    corner, chin, eye = weights[0, 0, 0, 0], weights[0, 0][faces.parsing[0] == 13].min(), weights[0, 0, eye[1], eye[0]]
    assert (chin / corner, eye / corner) == pytest.approx((2, 4))


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


def test_calibration_picks_the_least_strength_that_comes_about_as_near_to_the_truth_as_any():
    model = tiny_model()
    for name in ("Eyeglasses", "No_Beard"):
        row = CELEBA_ATTRIBUTES.index(name)
        model.attributes.weight[row] = torch.randn(512)
        model.attributes.trained[row] = True
        model.attributes.midpoint[row], model.attributes.half_distance[row] = 0.0, 1.0
    errors = calibrate(model, Calibration(people=2, steps=2, strengths=(0.5, 2.0)))
    assert set(errors) == {"Eyeglasses", "No_Beard"}
    for name, found in errors.items():
        good = [strength for strength, error in found.items() if error <= 1.05 * min(found.values())]
        assert model.attributes.strength[model.attributes.row(name)] == min(good)
