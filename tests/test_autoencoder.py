"""The model's parts together: what it encodes, how the face latent is made, and what batches leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dva_core.autoencoder import fold_input_scaling
from dva_core.errors import DvaError
from dva_core.values import Identity, LandmarkCodes

from .tiny_model import crops, tiny_model

model = tiny_model()


def test_identities_have_length_one_and_the_models_name():
    identity = model.encode_identity(crops(5))
    assert identity.features.shape == (5, 512)
    assert torch.allclose(identity.features.norm(dim=1), torch.ones(5), atol=1e-5)
    assert identity.model == "tiny"


def test_landmark_codes_are_the_inner_points_in_crop_fractions():
    codes = model.encode_landmarks(crops(5)).codes
    points = model.landmarks(crops(5))
    assert torch.equal(codes, points[:, 17:].flatten(1))
    assert 0 <= codes.min() <= codes.max() <= 1


def test_the_face_latent_is_linear_in_identity_then_landmarks():
    identity, codes = model.encode_identity(crops(3)), model.encode_landmarks(crops(3))
    weight, bias = model.head.weight, model.head.bias
    expected = identity.features @ weight[:, :512].T + codes.codes @ weight[:, 512:].T + bias
    assert torch.allclose(model.face_latent(identity, codes), expected, atol=1e-5)


def test_one_identity_serves_all_frames():
    identity, codes = model.encode_identity(crops(3)).mean(), model.encode_landmarks(crops(3))
    repeated = Identity(identity.features.repeat(3, 1), "tiny")
    assert torch.equal(model.face_latent(identity, codes), model.face_latent(repeated, codes))


def test_parts_that_do_not_belong_together_are_refused():
    identity, codes = model.encode_identity(crops(3)), model.encode_landmarks(crops(3))
    with pytest.raises(DvaError, match="made by the model other"):
        model.face_latent(Identity(identity.features, "other"), codes)
    with pytest.raises(DvaError, match="3 identities do not fit 2"):
        model.face_latent(identity, LandmarkCodes(codes.codes[:2], "tiny"))


def test_face_masks_follow_the_parsing_classes():
    classes = model.parser(crops(4)).argmax(dim=1)
    for for_video, outside in ((False, {0, 16, 18}), (True, {0, 7, 8, 14, 16, 17, 18})):
        mask = model.face_mask(crops(4), for_video=for_video)
        assert mask.shape == (4, 1, 32, 32)
        for name in range(19):
            assert (mask[:, 0][classes == name] == float(name not in outside)).all()


def test_batch_sizes_change_nothing():
    x = crops(5)
    together, alone = model.encode_identity(x), model.encode_identity(x, batch_size=2)
    assert torch.allclose(together.features, alone.features, atol=1e-5)
    z_face = model.face_latent(together, model.encode_landmarks(x, batch_size=3))
    t = torch.full((5,), 400)
    assert torch.allclose(model.eps(z_face)(x, t), model.eps(z_face, batch_size=2)(x, t), atol=1e-5)
    assert torch.allclose(
        model.eps(z_face[:1], batch_size=2)(x, t)[1:2], model.eps(z_face[:1])(x[1:2], t[1:2]), atol=1e-5
    )


def test_the_noise_depends_on_the_face():
    x, t = crops(1), torch.tensor([600])
    z_face = model.face_latent(model.encode_identity(x), model.encode_landmarks(x))
    assert (model.eps(z_face)(x, t) - model.eps(-z_face)(x, t)).abs().max() > 1e-4


def test_input_scaling_folds_into_the_linear_head():
    torch.manual_seed(0)
    trained = nn.Linear(614, 512)
    mean, std = torch.rand(102), 0.02 + 0.05 * torch.rand(102)
    z_id, z_lnd = nn.functional.normalize(torch.randn(4, 512)), mean + std * torch.randn(4, 102)
    scaled = torch.cat([512**0.5 * z_id, (z_lnd - mean) / std], dim=1)
    folded = fold_input_scaling(trained, 512**0.5, mean, std)
    assert torch.allclose(folded(torch.cat([z_id, z_lnd], dim=1)), trained(scaled), atol=1e-4)
